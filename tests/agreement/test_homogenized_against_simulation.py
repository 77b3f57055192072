"""Paths of the homogenized SDE against runs of the algorithm: means agree, and for signSGD the whole band.

Sample sizes were fixed before looking. Bands are compared by quantiles and by standard deviations over runs.
"""

import numpy as np
import pytest
import torch

from signscope import LeastSquares, simulate
from signscope.limits.homogenized import homogenized_paths

RUNS, TIMES = 1000, torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def problem(dim: int, noise) -> LeastSquares:
    gen = np.random.default_rng(7)
    basis, _ = np.linalg.qr(gen.standard_normal((dim, dim)))
    cov = (basis * np.logspace(-2, 0, dim)) @ basis.T
    cov = cov * np.outer(*[np.logspace(-0.3, 0.3, dim)] * 2)
    return LeastSquares(cov * dim / np.trace(cov), noise=noise, seed=3)


def pair(optimizer: str, dim: int, noise, *, batch_size: int = 1, **options):
    law = problem(dim, noise)
    common = {"lr": 0.5, "horizon": 4, "times": TIMES, "batch_size": batch_size, "betas": (0.0, 0.9)}
    runs = simulate(law, optimizer, num_runs=RUNS, seed=11, dtype="float32", **common)
    return runs, homogenized_paths(law, optimizer, num_paths=RUNS, seed=5, **common, **options)


def spread_ratio(runs, paths) -> torch.Tensor:
    return paths.runs.std(0) / runs.runs.std(0)


SPREAD_ERROR = 4.5 / RUNS**0.5 * 1.2  # of a ratio of two standard deviations, tails a little heavier than normal


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["gaussian:0.1", "rademacher:0.5", "cauchy:2,1"])
def test_band_of_signsgd_is_that_of_its_runs(noise):
    """200 coordinates, diffusion of one update: mean, standard deviation, 10% and 90% quantiles."""
    dim = 200
    runs, paths = pair("signsgd", dim, noise, diffusion="update")
    assert bool(((spread_ratio(runs, paths) - 1).abs() <= SPREAD_ERROR + 4 / dim).all())
    stderr = (runs.stderr**2 + paths.stderr**2).sqrt()
    assert bool(((runs.value - paths.value).abs() <= 4.5 * stderr + 2 / dim * runs.value).all())
    for ours, theirs in zip(paths.band, runs.band, strict=True):
        assert bool(((ours - theirs).abs() <= 4.5 * 1.7 * stderr + 2 / dim * runs.value).all())


@pytest.mark.slow
def test_published_diffusion_of_signs_is_too_wide():
    """(2/pi) Ksig is the second moment of a sign vector, not its covariance: a quarter too much at low noise."""
    runs, paths = pair("signsgd", 200, "gaussian:0.1")
    assert 1 + SPREAD_ERROR < float(spread_ratio(runs, paths).mean()) < 1.5
    stderr = (runs.stderr**2 + paths.stderr**2).sqrt()
    assert bool(((runs.value - paths.value).abs() <= 4.5 * stderr + 4 / 200 * runs.value).all())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "batch_size"), [("sgd", 1), ("sgd", 5), ("adam", 1), ("signsgd", 5), ("adam", 5)]
)
def test_means_agree_and_bands_nearly(optimizer, batch_size):
    runs, paths = pair(optimizer, 200, "gaussian:0.5", batch_size=batch_size)
    stderr = (runs.stderr**2 + paths.stderr**2).sqrt()
    assert bool(((runs.value - paths.value).abs() <= 4.5 * stderr + 4 / 200 * runs.value).all())
    ratio = spread_ratio(runs, paths)
    print(optimizer, batch_size, ratio)
    assert bool(((ratio > 0.65) & (ratio < 1.5)).all())
