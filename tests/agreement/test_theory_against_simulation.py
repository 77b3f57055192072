"""Predicted and simulated risk curves agree at dimension 500, and the disagreement shrinks with dimension.

A rotated covariance with unequal scales is used throughout, on which the published ODE (singular vectors in place
of left and right eigenvectors) fails. Sample sizes were fixed before looking.
"""

import numpy as np
import pytest
import torch

from signscope import LeastSquares, gap, predict, simulate

DIM, RUNS = 500, 256


def covariance(dim: int) -> np.ndarray:
    """Log-spaced spectrum in a random basis, then unequal scales: D is far from a multiple of I."""
    gen = np.random.default_rng(7)
    basis, _ = np.linalg.qr(gen.standard_normal((dim, dim)))
    cov = (basis * np.logspace(-2, 0, dim)) @ basis.T
    scales = np.logspace(-0.3, 0.3, dim)
    cov = cov * np.outer(scales, scales)
    return cov * dim / np.trace(cov)


def problem(noise, dim=DIM) -> LeastSquares:
    return LeastSquares(covariance(dim), noise=noise, seed=3)


SETTINGS = [
    ("sgd", "gaussian:0.5", {}, 0.01),
    ("sgd", "laplace:0.4", {}, 0.01),
    ("sgd", "rademacher:0.5", {"batch_size": 5}, 0.01),
    ("signsgd", "gaussian:0.5", {}, 0.01),
    ("signsgd", "cauchy:2,1", {}, 0.01),
    ("signsgd", "rademacher:0.5", {}, 0.01),
    ("signsgd", "laplace:0.4", {}, 0.01),
    ("signsgd", "rademacher:0.5", {"batch_size": 2}, 0.01),
    ("signsgd", "gaussian:0.5", {"batch_size": 5}, 0.01),
    ("signsgd", "laplace:0.4", {"batch_size": 20}, 0.01),
    ("adam", "gaussian:0.5", {"betas": (0.0, 0.5)}, 0.015),
    ("adam", "gaussian:0.5", {"betas": (0.0, 0.9)}, 0.015),
    ("adam", "gaussian:0.5", {"betas": (0.0, 0.99)}, 0.015),
    ("adam", "gaussian:0.5", {"betas": (0.9, 0.999)}, 0.015),
    ("adam", "rademacher:0.5", {"betas": (0.0, 0.9)}, 0.015),
    ("adam", "laplace:0.4", {"betas": (0.0, 0.9)}, 0.015),
    ("adam", "cauchy:2,1", {"betas": (0.0, 0.9)}, 0.015),
    ("adam", "rademacher:0.5", {"betas": (0.0, 0.9), "batch_size": 2}, 0.015),
]


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "noise", "options", "allowed"), SETTINGS)
def test_prediction_matches_simulation_at_dimension_500(optimizer, noise, options, allowed, record_property):
    law = problem(noise)
    batch = options.get("batch_size", 1)
    horizon = 10 if batch == 1 else 5
    times = torch.linspace(0, horizon, 41, dtype=torch.float64)
    predicted = predict(law, optimizer, lr=0.5, horizon=horizon, times=times, **options)
    dtype = torch.float32 if batch > 1 else torch.float64
    runs = simulate(
        law,
        optimizer,
        lr=0.5,
        horizon=horizon,
        times=times,
        num_runs=RUNS if batch < 20 else 64,
        seed=11,
        dtype=dtype,
        **options,
    )
    found = gap(predicted, runs)
    record_property("gap", f"mean {found.mean:.4f} worst {found.worst:.4f} max_z {found.max_z:.2f}")
    print(optimizer, noise, options, f"mean {found.mean:.4f} worst {found.worst:.4f} max_z {found.max_z:.2f}")
    assert predicted.status == "ok"
    assert found.mean <= allowed
    later = runs.time > 0
    difference = (predicted.at(runs.time) - runs.value).abs()[later]
    assert bool((difference <= 4.5 * runs.stderr[later] + 2 / DIM * runs.value[later]).all())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_signed_gap_shrinks_with_dimension(optimizer):
    """From dim 50 to 200 with 4,000 runs: a gap of order 1/dim falls by about four."""
    signed, stderr = {}, {}
    for dim in (50, 200):
        law = problem("gaussian:0.5", dim)
        options = {"lr": 0.5, "horizon": 1, "times": torch.linspace(0, 1, 11, dtype=torch.float64), "betas": (0.0, 0.9)}
        predicted = predict(law, optimizer, **options)
        runs = simulate(law, optimizer, num_runs=4000, seed=5, dtype=torch.float32, **options)
        ratio = (runs.runs[:, 1:] / predicted.value[1:]).mean(1)  # one number per run: times are not independent
        signed[dim], stderr[dim] = float(ratio.mean() - 1), float(ratio.std() / 4000**0.5)
    assert abs(signed[50]) > 4.5 * stderr[50], "too few runs to see the gap"
    assert abs(signed[200]) < 0.25 * abs(signed[50]) + 4.5 * (stderr[200] + 0.25 * stderr[50])
    assert abs(signed[200]) < 0.5 * abs(signed[50])


QUICK = [
    ("sgd", "laplace:0.4", {}),
    ("signsgd", "gaussian:0.5", {}),
    ("signsgd", "cauchy:2,1", {"batch_size": 3}),
    ("adam", "gaussian:0.5", {"betas": (0.0, 0.9)}),
]


@pytest.mark.parametrize(("optimizer", "noise", "options"), QUICK)
def test_prediction_matches_simulation_in_small(optimizer, noise, options):
    dim = 100
    law = problem(noise, dim)
    times = torch.linspace(0, 4, 9, dtype=torch.float64)
    predicted = predict(law, optimizer, lr=0.5, horizon=4, times=times, **options)
    runs = simulate(
        law, optimizer, lr=0.5, horizon=4, times=times, num_runs=256, seed=2, dtype=torch.float32, **options
    )
    difference = (predicted.at(runs.time) - runs.value).abs()
    allowed = 4.5 * runs.stderr + 4 / dim * runs.value + 1e-6
    assert bool((difference <= allowed).all())
    # Teeth: the curve of another learning rate is rejected.
    other = predict(law, optimizer, lr=0.6, horizon=4, times=times, **options)
    assert not bool(((other.at(runs.time) - runs.value).abs() <= allowed).all())


def test_published_decomposition_is_rejected():
    """The singular-vector form of the risk ODE disagrees with ours where D is not a multiple of I."""
    cov = covariance(30)
    root = np.sqrt(np.diag(cov))
    preconditioned = cov / root[:, None]
    left, singular, right = np.linalg.svd(preconditioned)
    eigvals = np.sort(np.linalg.eigvals(preconditioned).real)
    assert not np.allclose(np.sort(singular), eigvals, rtol=0.05)
    law = LeastSquares(cov, noise=0.5, seed=3)
    v = law.displacement.numpy()
    modes = 0.5 * (right @ v) * (left.T @ (cov @ v))
    assert modes.min() < 0  # "risks" that are negative
