"""Every assumption holds on a problem made for it and fails on one made against it."""

import math

import numpy as np
import pytest
import torch

from signscope.comparison import compare
from signscope.comparison.gaussianity import row_shape
from signscope.problems import Dense, LeastSquares, gaussian_problem


def checks_of(problem, **options):
    found = compare(
        problem, **{"lr": {"sgd": 0.05, "signsgd": 0.1, "adam": 0.1}, "horizon": 0.3, "num_runs": 2, **options}
    )
    return {a.name: a for a in found.assumptions}


def test_a_friendly_problem_passes_every_check():
    found = checks_of(gaussian_problem(200, rotated=True, noise="gaussian:0.3"), horizon=1, num_runs=16)
    assert {
        "dimension",
        "condition number",
        "noise variance",
        "noise near zero",
        "delocalisation",
        "sgd stability",
    } <= set(found)
    assert [a.name for a in found.values() if not a.ok] == []


SPIKED = Dense(0.05 * torch.eye(60) + 0.95 * torch.ones(60, 60))  # one direction holds nearly everything


@pytest.mark.parametrize(
    ("problem", "options", "name"),
    [
        (gaussian_problem(10, noise="gaussian:0.3"), {}, "dimension"),
        (gaussian_problem(30, spectrum="log:1e-10,1"), {}, "condition number"),
        (LeastSquares(SPIKED, noise=0.3), {}, "largest eigenvalue"),
        (gaussian_problem(30, noise="cauchy:0,1"), {}, "noise variance"),
        (gaussian_problem(30, noise="rademacher:0.5"), {}, "noise near zero"),
        (
            gaussian_problem(30, spectrum="constant:1"),
            {"lr": {"sgd": 3.0, "signsgd": 0.1, "adam": 0.1}},
            "sgd stability",
        ),
        (gaussian_problem(20), {}, "adam momentum"),
        (
            gaussian_problem(120),
            {"optimizers": ("sgd", "signum"), "lr": {"sgd": 0.05, "signum": 0.02}},
            "signum average",
        ),
    ],
)
def test_each_check_fails_where_it_should(problem, options, name):
    found = checks_of(problem, **options)
    assert not found[name].ok
    assert found[name].text
    assert found[name].value is None or math.isfinite(found[name].value)


def test_coupled_coordinates_are_noticed():
    pairs = torch.block_diag(*[torch.tensor([[1.0, 0.999], [0.999, 1.0]])] * 100).double()
    assert not checks_of(LeastSquares(pairs, noise=0.3))["delocalisation"].ok


def test_rows_of_data_are_looked_at():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 12))
    found = checks_of(LeastSquares.from_data(X, X[:, 0] + rng.standard_normal(60)))
    assert found["rows per column"].value == 5
    assert not found["rows per column"].ok
    assert {"mean of signs", "spread of row norms"} <= set(found)


@pytest.mark.parametrize(
    ("draw", "signs", "norms"),
    [
        (lambda rng: rng.standard_normal((4000, 20)), True, True),
        (lambda rng: rng.exponential(size=(4000, 20)) - 1, False, True),
        (lambda rng: rng.standard_normal((4000, 20)) * rng.lognormal(0, 1, (4000, 1)), True, False),
    ],
)
def test_row_shape_tells_skewed_and_heavy_rows_from_gaussian_ones(draw, signs, norms):
    features = torch.from_numpy(draw(np.random.default_rng(1)))
    found = {a.name: a.ok for a in row_shape(features)}
    assert found["mean of signs"] is signs
    if signs:
        assert found["spread of row norms"] is norms


def test_rows_of_one_length_fail_against_the_lower_end_of_the_range():
    features = torch.from_numpy(np.random.default_rng(3).standard_normal((2000, 10)))
    short = row_shape(features / features.norm(dim=1, keepdim=True))[1]
    assert not short.ok
    assert short.value < short.threshold == 0.5
    assert "0.5 to 2 is close enough" in short.text
    assert "long rows" not in short.advice
    assert row_shape(features)[1].ok


def test_row_shape_is_one_for_gaussian_rows_of_any_covariance():
    rng = np.random.default_rng(2)
    features = torch.from_numpy(rng.standard_normal((20_000, 8)) * np.linspace(0.2, 3, 8))
    bias, ratio = row_shape(features)
    assert bias.value < 0.01
    assert ratio.value == pytest.approx(1, abs=0.06)
