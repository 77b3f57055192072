"""What `limits.assumptions` measures, against inverses, eigenvalues and sampling."""

import math

import numpy as np
import pytest
import torch

from signscope.limits import assumptions as measured
from signscope.limits.spectrum import arcsine_matrix
from signscope.noise import batch_factor
from signscope.problems import Dense, LeastSquares, gaussian_problem, rescaled, rotated
from signscope.problems.spectra import log_spaced


def unequal(dim, seed=0):
    """A full covariance whose variances differ by a factor of 100."""
    return rescaled(rotated(log_spaced(dim, low=0.05, high=1.0), seed), np.logspace(-0.5, 0.5, dim))


def resolvent_by_inversion(cov, *, angles=measured.ANGLES):
    bar = cov.dense().numpy() / cov.diagonal().sqrt().numpy()[:, None]
    radius = 2 * np.abs(np.linalg.eigvals(bar)).max()
    worst = 0.0
    for angle in np.linspace(0, math.pi, angles):
        z = radius * np.exp(1j * angle)
        size = np.abs(z * np.linalg.inv(bar - z * np.eye(cov.dim)))
        np.fill_diagonal(size, 0)
        worst = max(worst, size.max())
    return worst


def test_coupling_is_that_of_the_inverted_matrix():
    cov = unequal(40)
    found = measured.strongest_coupling(LeastSquares(cov))
    assert found == pytest.approx(resolvent_by_inversion(cov), rel=1e-9)
    symmetric = Dense(cov.dense() / torch.outer(cov.diagonal(), cov.diagonal()).sqrt())  # teeth: Kbar is not symmetric
    assert resolvent_by_inversion(symmetric) != pytest.approx(found, rel=1e-3)


def test_five_angles_are_enough():
    for seed in range(3):
        cov = unequal(30, seed)
        found = measured.strongest_coupling(LeastSquares(cov))
        assert found == pytest.approx(resolvent_by_inversion(cov, angles=181), rel=0.02)


@pytest.mark.parametrize("name", ["EVERY_COLUMN", "DENSE_REACH"])
def test_coupling_beyond_reach_agrees_where_all_columns_are_taken(monkeypatch, name):
    cov = unequal(measured.COLUMNS)
    whole = measured.strongest_coupling(LeastSquares(cov))
    monkeypatch.setattr(measured, name, 10)
    monkeypatch.setattr(measured, "DRAWN", measured.COLUMNS)
    assert measured.strongest_coupling(LeastSquares(cov)) == pytest.approx(whole, rel=2e-3)


def test_the_one_close_pair_among_many_coordinates_is_found(monkeypatch):
    monkeypatch.setattr(measured, "EVERY_COLUMN", 10)
    cov = torch.eye(200, dtype=torch.float64)
    cov[17, 133] = cov[133, 17] = 0.9
    assert measured.strongest_coupling(LeastSquares(cov)) == pytest.approx(0.486, abs=1e-3)


def test_independent_coordinates_are_not_coupled():
    assert measured.strongest_coupling(gaussian_problem(20)) == 0


def test_norm_of_ksig_is_its_largest_eigenvalue():
    cov = unequal(50)
    expected = float(torch.linalg.eigvalsh(arcsine_matrix(cov.dense()))[-1])
    assert measured.sign_noise_norm(cov) == pytest.approx(expected, rel=1e-3)
    assert measured.sign_noise_norm(Dense(torch.full((9, 9), 1.0))) == pytest.approx(9 * math.pi / 2, rel=1e-3)
    assert measured.sign_noise_norm(gaussian_problem(9).cov) == math.pi / 2


def test_norm_of_ksig_beyond_reach_is_its_linearisation(monkeypatch):
    cov = unequal(120)
    whole = measured.sign_noise_norm(cov)
    monkeypatch.setattr(measured, "DENSE_REACH", 10)
    assert measured.sign_noise_norm(cov) == pytest.approx(whole, rel=0.01)


def test_bounds_by_products_hold_the_spectrum(monkeypatch):
    cov = unequal(80)
    exact = measured.spectrum_bounds(cov)
    assert exact.exact
    assert exact.condition_number == pytest.approx(cov.condition_number)
    monkeypatch.setattr(measured, "DENSE_REACH", 10)
    found = measured.spectrum_bounds(cov)
    assert not found.exact
    assert found.high == pytest.approx(exact.high, rel=2e-3)
    assert exact.low * (1 - 1e-6) <= found.low <= exact.high


def test_a_singular_covariance_has_no_condition_number():
    factor = np.random.default_rng(0).standard_normal((12, 5))
    assert math.isinf(measured.spectrum_bounds(Dense(factor @ factor.T)).condition_number)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
@pytest.mark.parametrize("count", [1, 4, 30])
def test_participation_counts_the_modes(optimizer, count):
    target = torch.zeros(30, dtype=torch.float64)
    target[:count] = 3.0
    problem = LeastSquares(torch.full((30,), 2.0), target=target)
    assert measured.participation(problem, optimizer) == pytest.approx(count)


def test_participation_needs_a_displacement():
    nothing = torch.zeros(5, dtype=torch.float64)
    assert measured.participation(LeastSquares(torch.ones(5), target=nothing), "sgd") is None


@pytest.mark.parametrize("batch_size", [1, 3])
def test_mean_signs_at_the_start_are_what_sampling_sees(batch_size):
    """The drift sum_i (Kv)_i E sign(g_i) of 400,000 gradients, with nearly all displacement in one coordinate."""
    cov = unequal(6)
    v = np.array([2.0, 0.3, -0.2, 0.1, 0.0, 0.4])
    problem = LeastSquares(cov, start=v, target=np.zeros(6), noise=0.4)
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((400_000, batch_size, 6)) @ np.linalg.cholesky(cov.dense().numpy()).T
    residual = rows @ v - 0.4 * rng.standard_normal(rows.shape[:2])
    pull = cov.dense().numpy() @ v
    drift = np.sign((residual[..., None] * rows).sum(1)) @ pull
    slope = float(problem.noise.phi(problem.excess_risk(problem.start), batch_size=batch_size))
    linear = slope * float((pull**2 / cov.diagonal().sqrt().numpy()).sum())
    expected = (1 + measured.linearisation_error(problem, batch_size=batch_size)) * linear
    stderr = drift.std() / len(drift) ** 0.5
    assert abs(drift.mean() - expected) < 4.5 * stderr
    assert abs(drift.mean() - linear) > 20 * stderr  # teeth: the linear theory is seen to be off


def test_the_error_of_linear_signs_vanishes_with_the_dimension_and_grows_with_the_batch():
    errors = [measured.linearisation_error(gaussian_problem(d, noise=0.5, rotated=True)) for d in (50, 200, 800)]
    assert errors[0] > errors[1] > errors[2] > 0
    batches = [measured.linearisation_error(gaussian_problem(50, noise=0.5), batch_size=b) for b in (5, 20, 100)]
    assert 0 > batches[0] > batches[1] > batches[2] > -1
    assert float(batch_factor(1)) == pytest.approx(1)
