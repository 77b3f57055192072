"""Every run is the algorithm's own path: compared with a literal loop fed the same random numbers."""

import numpy as np
import pytest
import torch

import signscope as ss
from helpers.reference import least_squares_path, risks
from signscope._core.random import stream
from signscope.schedules import Cosine
from signscope.simulation.streams import GRANULE

DIM, STEPS, RUNS, SEED = 5, 40, 3, 11
TIMES = np.arange(STEPS + 1) / DIM


def covariance() -> np.ndarray:
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((DIM, DIM)) * np.array([[1.0], [0.3], [2.0], [0.7], [1.2]])
    return factor @ factor.T / DIM + 0.1 * np.eye(DIM)


def problem(noise=0.4) -> ss.LeastSquares:
    return ss.LeastSquares(covariance(), start=np.linspace(-1, 1, DIM), noise=noise, seed=5)


def simulated(optimizer="signsgd", prob=None, **options) -> ss.Curve:
    chosen = {"lr": 0.5, "horizon": STEPS / DIM, "num_runs": RUNS, "seed": SEED, "times": TIMES, **options}
    return ss.simulate(problem() if prob is None else prob, optimizer, **chosen)


def numbers_of(prob: ss.LeastSquares, run: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and the noise that run ``run`` draws in float64."""
    z = stream(SEED, "rows", run).standard_normal((STEPS, batch_size, DIM))
    rng = stream(SEED, "noise", run)
    noise = prob.noise.sample(GRANULE, rng)[: STEPS * batch_size]
    return z @ np.linalg.cholesky(np.asarray(prob.cov)).T, noise.reshape(STEPS, batch_size)


def reference(optimizer, prob, run, *, batch_size=1, rates=None, **options) -> np.ndarray:
    rows, noise = numbers_of(prob, run, batch_size)
    start = prob.displacement.numpy()
    rates = [0.5] * STEPS if rates is None else rates
    path = least_squares_path(optimizer, start=start, rows=rows, noise=noise, rates=rates, **options)
    return risks(path, np.asarray(prob.cov))


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_simulation_is_the_literal_loop(optimizer, batch_size):
    prob = problem()
    curve = simulated(optimizer, prob, batch_size=batch_size)
    for run in range(RUNS):
        wanted = reference(optimizer, prob, run, batch_size=batch_size)
        np.testing.assert_allclose(curve.runs[run].numpy(), wanted, rtol=1e-10)
    other = reference(optimizer, prob, 1, batch_size=batch_size)
    assert np.abs(curve.runs[0].numpy() / other - 1).max() > 1e-3  # teeth: another run's numbers are rejected


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
@pytest.mark.parametrize(
    "lr", [Cosine(0.8, horizon=STEPS / DIM), lambda t: 0.6 / (1 + t)], ids=["schedule", "function"]
)
def test_schedules_are_read_at_the_time_of_the_update(optimizer, lr):
    prob = problem()
    rates = lr(torch.arange(STEPS, dtype=torch.float64) / DIM).tolist()
    curve = simulated(optimizer, prob, lr=lr)
    ours = curve.runs[0].numpy()
    np.testing.assert_allclose(ours, reference(optimizer, prob, 0, rates=rates), rtol=1e-10)
    shifted = [*rates[1:], rates[-1]]
    assert np.abs(ours / reference(optimizer, prob, 0, rates=shifted) - 1).max() > 1e-4
    assert curve.lr == pytest.approx(float(lr(torch.zeros(()))))
    assert curve.step_size == curve.lr / DIM


def test_adam_options_reach_the_rule():
    prob = problem()
    options = {"betas": (0.5, 0.8), "eps": 0.1}
    curve = simulated("adam", prob, **options)
    np.testing.assert_allclose(curve.runs[2], reference("adam", prob, 2, **options), rtol=1e-10)


@pytest.mark.parametrize(
    ("optimizer", "option", "value"),
    [
        ("adam", "betas", (0.8, 0.999)),
        ("adam", "betas", (0.9, 0.99)),
        ("adam", "eps", 0.05),
        ("signsgd", "batch_size", 2),
        ("signsgd", "lr", 0.4),
        ("signsgd", "seed", 12),
        ("signsgd", "dtype", "float32"),
        ("sgd", "batch_size", 2),
        ("sgd", "lr", 0.4),
        ("sgd", "seed", 12),
    ],
)
def test_every_option_moves_the_path(optimizer, option, value):
    assert not torch.equal(simulated(optimizer).runs, simulated(optimizer, **{option: value}).runs)


def test_diagonal_covariance_needs_no_matrix():
    variances = np.array([1.0, 0.1, 3.0, 0.5, 2.0])
    start = np.linspace(-1, 1, DIM)
    diagonal = ss.LeastSquares(variances, start=start, noise=0.4)
    z = stream(SEED, "rows", 0).standard_normal((STEPS, 1, DIM))
    noise = diagonal.noise.sample(GRANULE, stream(SEED, "noise", 0))[:STEPS, None]
    path = least_squares_path(
        "signsgd",
        start=diagonal.displacement.numpy(),
        rows=z * np.sqrt(variances),
        noise=noise,
        rates=[0.5] * STEPS,
    )
    wanted = risks(path, np.diag(variances))
    np.testing.assert_allclose(simulated("signsgd", diagonal).runs[0], wanted, rtol=1e-10)


def test_dense_rows_are_coloured_panel_by_panel():
    from signscope.problems import Dense
    from signscope.simulation.colouring import colouring

    rng = np.random.default_rng(0)
    factor = rng.standard_normal((200, 250))
    cov = Dense(factor @ factor.T / 200)
    z = torch.from_numpy(rng.standard_normal((7, 200)))
    out = torch.empty(7, 200, dtype=torch.float64)
    colouring(cov, dtype=torch.float64, device=torch.device("cpu"))(z, out)
    torch.testing.assert_close(out, z @ torch.linalg.cholesky(cov.dense()).T, rtol=1e-12, atol=1e-12)


def test_float32_follows_float32_rules_on_the_same_problem():
    curves = [simulated("signsgd", num_runs=2000, dtype=t, times=[0, 4, 8]) for t in (torch.float32, None)]
    gap = (curves[0].value - curves[1].value).abs()
    assert bool((gap <= 4.5 * (curves[0].stderr ** 2 + curves[1].stderr ** 2).sqrt() + 1e-6).all())
    assert curves[0].runs.dtype == torch.float64
