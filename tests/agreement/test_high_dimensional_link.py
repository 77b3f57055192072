"""SignSGD on least squares, three witnesses: the algorithm, its SDE with exact moments, the limit (with 1/dim, too).

Sample sizes were fixed before looking. The SDE is of first order in lr / dim, the limit of first order in 1 / dim: both
are off by a multiple of 1 / dim, in opposite directions, and the corrected limit is not.
"""

import math

import numpy as np
import pytest
import torch

from signscope import LeastSquares, predict, simulate
from signscope.limits import homogenized_paths
from signscope.sdes.streaming import streaming_paths

TIMES = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
SAME = {"lr": 0.7, "horizon": 4, "times": TIMES}


def problem(dim, noise, correlation=0.6):
    place = np.arange(dim)
    std = np.logspace(-0.4, 0.4, dim)
    return LeastSquares(correlation ** np.abs(place[:, None] - place) * np.outer(std, std), noise=noise, seed=2)


def distances(one, other):
    """Relative gap of two curves and its standard error, over the recorded times."""
    stderr = sum((c.stderr if c.stderr is not None else torch.zeros(4).double()) ** 2 for c in (one, other)).sqrt()
    return one.value / other.value - 1, stderr / other.value


def spread(one, other):
    return one.runs.std(0) / other.runs.std(0)


def test_twenty_coordinates():
    """1,000 runs and paths: the limit and the SDE are within 1/dim, the corrected limit within the error."""
    dim, runs = 20, 1000
    case = problem(dim, 0.5)
    own = simulate(case, "signsgd", num_runs=runs, seed=1, **SAME)
    gap, error = distances(predict(case, "signsgd", finite_dim=True, **SAME), own)
    assert bool((gap.abs() < 4.5 * error + 2 / dim**2).all())
    gap, error = distances(predict(case, "signsgd", **SAME), own)
    assert bool((gap.abs() < 4.5 * error + 1 / dim).all())
    model = streaming_paths(case, num_paths=runs, seed=3, **SAME)
    gap, error = distances(model, own)
    assert bool((gap.abs() < 4.5 * error + 1 / dim).all())
    assert bool(((spread(model, own) - 1).abs() < 4.5 * 1.2 / math.sqrt(runs) + 1 / dim).all())
    naive = streaming_paths(case, num_paths=runs, seed=3, moments="gaussian", **SAME)
    gap, error = distances(naive, own)
    assert float(gap[-1]) < float(-4.5 * error[-1]) - 1 / dim, (
        "teeth: a Gaussian gradient is seen to be the wrong model"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "dim", "runs"),
    [(0.5, 30, 4000), ("rademacher:0.5", 30, 2000), ("cauchy:0,1", 30, 2000), (0.5, 120, 1000)],
)
def test_all_of_them_come_together(noise, dim, runs):
    case = problem(dim, noise)
    own = simulate(case, "signsgd", num_runs=runs, seed=1, **SAME)
    models = {
        "limit": predict(case, "signsgd", **SAME),
        "corrected": predict(case, "signsgd", finite_dim=True, **SAME),
        "paths of the limit": homogenized_paths(case, "signsgd", num_paths=runs, seed=4, **SAME),
        "exact moments": streaming_paths(case, num_paths=runs, seed=3, **SAME),
    }
    allowed = {"limit": 1 / dim, "corrected": 2 / dim**2, "paths of the limit": 2 / dim, "exact moments": 1.5 / dim}
    for name, curve in models.items():
        gap, error = distances(curve, own)
        assert bool((gap.abs() < 4.5 * error + allowed[name]).all()), name
    error = 4.5 * 1.2 / math.sqrt(runs)
    assert bool(((spread(models["exact moments"], own) - 1).abs() < error + 3 / dim).all())
    if noise == 0.5:  # under strong noise the square of the mean signs is small against their second moment
        assert float(spread(models["paths of the limit"], own).mean()) > 1.05


@pytest.mark.slow
def test_the_order_of_the_sde_and_of_the_corrected_limit():
    """12 and 24 coordinates, 40,000 runs: the SDE's gap is seen and halves; that of the corrected limit is not seen."""
    late = {"lr": 0.7, "horizon": 4, "times": torch.tensor([4.0], dtype=torch.float64)}
    gaps = {}
    for dim in (12, 24):
        case = problem(dim, 0.5)
        own = simulate(case, "signsgd", num_runs=40_000, seed=6, **late)
        model = streaming_paths(case, num_paths=40_000, seed=7, **late)
        finite = predict(case, "signsgd", finite_dim=True, **late)
        error = float((own.stderr**2 + model.stderr**2).sqrt() / own.value)
        gaps[dim] = float(model.value / own.value - 1)
        assert gaps[dim] < -2 * error
        assert abs(float(finite.value / own.value - 1)) < 4.5 * float(own.stderr / own.value) + 1 / dim**2
    assert gaps[24] / gaps[12] == pytest.approx(0.5, abs=0.35)
