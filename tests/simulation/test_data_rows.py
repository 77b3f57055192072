"""Simulations on the rows of a data set: with replacement, and once each."""

import numpy as np
import pytest
import torch

import signscope as ss
from helpers.reference import least_squares_path, risks
from signscope._core.random import stream
from signscope.simulation.streams import GRANULE

DIM, NUM_ROWS, SEED = 4, 60, 7


def data(noise=0.5) -> ss.LeastSquares:
    rng = np.random.default_rng(2)
    features = rng.exponential(size=(NUM_ROWS, DIM)) * np.array([1.0, 2.0, 0.5, 1.0])  # skewed
    labels = features @ np.array([1.0, -0.5, 2.0, 0.0]) + noise * rng.standard_normal(NUM_ROWS) * features[:, 0]
    return ss.LeastSquares.from_data(features, labels)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
@pytest.mark.parametrize("rows", ["replace", "once"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_rows_carry_their_own_labels(optimizer, rows, batch_size):
    problem = data()
    steps = 20
    curve = ss.simulate(
        problem,
        optimizer,
        lr=0.3,
        horizon=steps / DIM,
        num_runs=3,
        seed=SEED,
        rows=rows,
        batch_size=batch_size,
        times=np.arange(steps + 1) / DIM,
    )
    rng = stream(SEED, "indices", 1)
    order = rng.permutation(NUM_ROWS) if rows == "once" else rng.integers(NUM_ROWS, size=GRANULE)
    taken = order[: steps * batch_size].reshape(steps, batch_size)
    x, y = problem.rows.features.numpy()[taken], problem.rows.targets.numpy()[taken]
    path = least_squares_path(
        optimizer,
        start=problem.displacement.numpy(),
        rows=x,
        noise=y - x @ problem.target.numpy(),
        rates=[0.3] * steps,
    )
    np.testing.assert_allclose(curve.runs[1], risks(path, np.asarray(problem.cov)), rtol=1e-9)
    assert curve.provenance["rows"] == rows


def orthogonal() -> ss.LeastSquares:
    """Row i moves coordinate i alone: after one pass the order no longer shows."""
    scale = np.array([1.0, 2.0, 0.5, 1.5, 1.0])
    return ss.LeastSquares.from_data(np.diag(scale), scale * np.arange(1, 6), center=False, scale="none", ridge=0.0)


def test_one_pass_uses_every_row_once():
    problem = orthogonal()
    once, replace = (
        ss.simulate(problem, "sgd", lr=1.0, horizon=1, num_runs=40, rows=rows) for rows in ("once", "replace")
    )
    squares = problem.rows.features.diagonal() ** 2
    v = problem.displacement * (1 - squares / 5)
    expected = float(problem.excess_risk(v + problem.target))
    np.testing.assert_allclose(once.runs[:, -1], expected, rtol=1e-10)
    assert len(once.runs[:, 80].unique()) > 1  # the order differs from run to run
    assert float((replace.runs[:, -1] / expected - 1).abs().max()) > 0.01  # teeth


def test_one_pass_that_needs_too_many_rows_says_how_many():
    problem = data()
    with pytest.raises(ss.InvalidInput, match=r"needs 80 rows \(40 steps of 2\), but the data have 60"):
        ss.simulate(problem, "sgd", lr=0.1, horizon=10, batch_size=2, rows="once")
    with pytest.raises(ss.InvalidInput, match=r"horizon of at most 7\.5 steps/dim"):
        ss.simulate(problem, "sgd", lr=0.1, horizon=10, batch_size=2, rows="once")
    full = ss.simulate(problem, "sgd", lr=0.1, horizon=7.5, batch_size=2, rows="once", num_runs=2)
    assert full.status == "ok"


def test_the_stream_moves_the_path():
    finals = {
        rows: ss.simulate(data(), "signsgd", lr=0.2, horizon=10, num_runs=4, rows=rows).final
        for rows in ("gaussian", "replace", "once")
    }
    assert len(set(finals.values())) == 3


def test_replacement_draws_rows_evenly():
    counts = torch.bincount(torch.from_numpy(stream(0, "indices", 0).integers(NUM_ROWS, size=60_000)))
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 59 + 4.5 * (2 * 59) ** 0.5  # chi-square, 59 degrees
