"""The parts of the flow on rows: averages over the data, the propagator, and SGD's stability."""

import numpy as np
import pytest
import torch

from helpers.rows_data import as_rows, digits, skewed, standardised
from signscope.limits import rows_moments, rows_whole
from signscope.limits.rows_moments import prepare
from signscope.limits.rows_propagator import propagator
from signscope.limits.rows_stability import max_stable_lr, stationary_covariance


def random_state(dim, seed=1):
    gen = torch.Generator().manual_seed(seed)
    mean = torch.randn(dim, generator=gen, dtype=torch.float64)
    root = torch.randn(dim, dim, generator=gen, dtype=torch.float64) / dim**0.5
    return mean, 0.3 * root @ root.T, gen


@pytest.mark.parametrize("kind", ["sign", "gradient"])
def test_averages_are_what_sampling_the_parameters_sees(kind):
    data = prepare(skewed())
    mean, cov, gen = random_state(data.dim)
    local = data.sign_local(mean, cov, 1e-12) if kind == "sign" else data.gradient_local(mean, cov)
    draws = torch.randn(40_000, data.dim, generator=gen, dtype=torch.float64)
    v = mean + draws @ torch.linalg.cholesky(cov).T
    grad = (v @ data.features.T - data.residuals)[:, :, None] * data.features  # (draws, n, d)
    update = torch.sign(grad) if kind == "sign" else grad
    per_draw = update.mean(1)
    error = (per_draw.mean(0) - local.drift).abs() / (per_draw.std(0) / len(v) ** 0.5)
    assert error.max() < 4.5
    second = torch.einsum("rni,rnj->rij", update[:4000], update[:4000]) / data.num_rows
    spread = second.std(0) / 4000**0.5 + 1e-12
    assert ((second.mean(0) - local.second).abs() / spread).max() < 4.5
    assert ((second.mean(0) - local.noise).abs() / spread).max() > 10  # teeth: m m' is seen


@pytest.mark.parametrize("kind", ["sign", "gradient"])
def test_jacobian_is_the_derivative_of_the_drift(kind):
    data = prepare(skewed())
    mean, cov, _ = random_state(data.dim)

    def local(at):
        return data.sign_local(at, cov, 1e-12) if kind == "sign" else data.gradient_local(at, cov)

    found = torch.autograd.functional.jacobian(lambda at: local(at).drift, mean)
    torch.testing.assert_close(local(mean).jacobian, found, rtol=1e-10, atol=1e-12)


def test_turned_rows_give_the_same_gradient_moments():
    data = prepare(skewed())
    mean, cov, _ = random_state(data.dim)
    here, turn = data.gradient_local(mean, cov), data.turned.turn
    there = data.turned.gradient_local(turn.T @ mean, turn.T @ cov @ turn)
    torch.testing.assert_close(turn @ there.drift, here.drift)
    torch.testing.assert_close(turn @ there.noise @ turn.T, here.noise)
    torch.testing.assert_close(turn @ torch.diag(there.jacobian) @ turn.T, here.jacobian)


def test_subset_keeps_the_noise_power_and_its_orthogonality():
    rows = skewed(num_rows=4000)
    part = prepare(rows, max_rows=1000, seed=3)
    assert part.is_subset
    assert part.num_rows == 1000
    assert (part.features.T @ part.residuals).abs().max() < 1e-9
    whole = prepare(rows)
    assert not whole.is_subset
    torch.testing.assert_close(part.cov, whole.cov)
    assert not torch.equal(part.features, prepare(rows, max_rows=1000, seed=4).features)
    assert torch.equal(part.features, prepare(rows, max_rows=1000, seed=3).features)
    assert prepare(part) is part


def test_single_precision_products_are_close(monkeypatch):
    rows = skewed(num_rows=500)
    mean, cov, _ = random_state(5)
    double = prepare(rows).sign_local(mean, cov, 1e-12)
    monkeypatch.setattr(rows_moments, "SINGLE_PRECISION_FROM", 0.0)
    single = prepare(rows).sign_local(mean, cov, 1e-12)
    assert prepare(rows).wide.dtype == torch.float32
    torch.testing.assert_close(single.jacobian, double.jacobian, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(single.drift, double.drift, rtol=1e-5, atol=1e-6)


def integrals(jacobian, drift, noise, span):
    """decay, shift and added by Gauss-Legendre quadrature of matrix exponentials."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    shift, added = torch.zeros_like(drift), torch.zeros_like(noise)
    for u, w in zip(0.5 * span * (nodes + 1), 0.5 * span * weights, strict=True):
        e = torch.linalg.matrix_exp(-u * jacobian)
        shift, added = shift + w * e @ drift, added + w * e @ noise @ e.T
    return torch.linalg.matrix_exp(-span * jacobian), shift, added


@pytest.mark.parametrize("span", [1e-4, 0.3, 4.0])
def test_propagator_equals_quadrature_for_a_general_matrix(span):
    gen = torch.Generator().manual_seed(0)
    jacobian = torch.randn(7, 7, generator=gen, dtype=torch.float64) + 2 * torch.eye(7, dtype=torch.float64)
    root = torch.randn(7, 7, generator=gen, dtype=torch.float64)
    assert torch.linalg.eigvals(jacobian).imag.abs().max() > 0.5  # rotates: no real eigenbasis
    flow = propagator(jacobian, root[0], root @ root.T, span)
    for found, wanted in zip(
        (flow.decay, flow.shift, flow.added), integrals(jacobian, root[0], root @ root.T, span), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9 * float(wanted.abs().max()))


@pytest.mark.parametrize("span", [1e-6, 1.0, 300.0])
def test_diagonal_propagator_equals_the_general_one_with_zero_and_stiff_rates(span):
    rates = torch.tensor([0.0, 1e-9, 0.3, 50.0], dtype=torch.float64)
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    cov = root.T @ root
    plain = propagator(rates, root[0], root @ root.T, span)
    matrix = propagator(torch.diag(rates), root[0], root @ root.T, span)
    for flow in (plain, plain.doubled()):
        other = matrix if flow is plain else matrix.doubled()
        torch.testing.assert_close(flow.shift, other.shift, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(flow.variance(cov), other.variance(cov), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "limit", "digits_given"),
    [("columns", 0.0602, 4), ("global", 1.893, 3), ("breast_cancer", 0.4525, 4), ("diabetes", 1.429, 3)],
)
def test_stability_limit_of_bundled_data(name, limit, digits_given):
    from sklearn import datasets

    rows = digits(name) if name in ("columns", "global") else standardised(getattr(datasets, f"load_{name}")())
    found = max_stable_lr(rows)
    assert round(found, digits_given) == limit
    assert abs(found - 2.0) > 0.1  # teeth: the formula for Gaussian rows, 2 d/tr K


def growth(x, lr):
    """Spectral radius of M -> E[(1 - g x x') M (1 - g x x')] as a d^2 x d^2 matrix."""
    g, eye = lr / x.shape[1], np.eye(x.shape[1])
    steps = [eye - g * np.outer(row, row) for row in x]
    return np.abs(np.linalg.eigvals(sum(np.kron(s, s) for s in steps) / len(x))).max()


@pytest.mark.parametrize(("num_rows", "dim"), [(60, 5), (12, 2), (9, 1)])
def test_stability_limit_is_where_the_exact_second_moments_stop_contracting(num_rows, dim):
    rows = skewed(num_rows, dim)
    limit = max_stable_lr(rows)
    assert growth(rows.features.numpy(), 0.999 * limit) < 1 < growth(rows.features.numpy(), 1.001 * limit)


def test_directions_that_no_row_has_do_not_matter():
    rows = skewed(60, 4)
    wide = as_rows(np.c_[rows.features.numpy(), rows.features.numpy()[:, :1]], np.zeros(60))
    # the repeated column adds a dead direction; the live ones keep their own limit, in other units of d
    turned = rows.features.clone()
    turned[:, 0] *= 2**0.5
    alone = as_rows(turned.numpy(), np.zeros(60))
    assert max_stable_lr(wide) / 5 == pytest.approx(max_stable_lr(alone) / 4, rel=1e-5)


def test_stationary_covariance_solves_the_discrete_fixed_point():
    data = prepare(skewed())
    lr = 0.6 * max_stable_lr(data)
    g, cov = lr / data.dim, stationary_covariance(data, lr)
    x = data.features
    moved = torch.zeros_like(cov)
    for row, eps in zip(x, data.residuals, strict=True):
        step = torch.eye(data.dim, dtype=torch.float64) - g * torch.outer(row, row)
        moved += (step @ cov @ step.T + g**2 * eps**2 * torch.outer(row, row)) / len(x)
    torch.testing.assert_close(moved, cov, rtol=1e-6, atol=1e-8 * float(cov.abs().max()))


@pytest.mark.parametrize("diagonal", [True, False])
def test_drifts_side_by_side_move_like_one_after_the_other(diagonal):
    gen = torch.Generator().manual_seed(4)
    root = torch.randn(5, 5, generator=gen, dtype=torch.float64)
    jacobian = root.diagonal().abs() if diagonal else root @ root.T + 0.2 * root
    several = propagator(jacobian, root, root @ root.T, 2.0)
    for k in range(5):
        alone = propagator(jacobian, root[:, k].clone(), root @ root.T, 2.0)
        torch.testing.assert_close(several.shift[:, k], alone.shift)
        torch.testing.assert_close(several.doubled().shift[:, k], alone.doubled().shift)


def test_single_precision_propagator_is_close_and_given_up_for_long_spans():
    gen = torch.Generator().manual_seed(5)
    root = torch.randn(30, 30, generator=gen, dtype=torch.float64) / 5
    jacobian, drift, noise = root @ root.T, root[0].clone(), root @ root.T
    exact, rough = (propagator(jacobian, drift, noise, 3.0, single=single) for single in (False, True))
    assert 0 < float((exact.decay - rough.decay).abs().max()) < 2e-5
    torch.testing.assert_close(rough.shift, exact.shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rough.added, exact.added, rtol=1e-4, atol=1e-5)
    assert torch.equal(
        propagator(jacobian, drift, noise, 1e4, single=True).decay, propagator(jacobian, drift, noise, 1e4).decay
    )


def test_averages_over_all_rows_in_blocks_equal_those_in_one_piece(monkeypatch):
    rows = skewed(num_rows=500)
    mean, cov, _ = random_state(5)
    whole = rows_whole.Whole(rows.features, rows.residuals)
    monkeypatch.setattr(rows_whole, "BLOCK", 64)
    wanted = prepare(rows).sign_local(mean, cov, 1e-12)
    drift, jacobian = whole.sign_drift(mean, cov, 1e-12)
    torch.testing.assert_close(drift, wanted.drift, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(jacobian, wanted.jacobian, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.sign_second(), wanted.second, rtol=1e-14, atol=1e-14)


def test_rows_that_take_part_in_every_average_are_bounded():
    sizes = {dim: rows_moments._affordable(dim) for dim in (1, 50, 400, 3000)}
    assert sizes == {1: 20_000_000, 50: 400_000, 400: 6250, 3000: 36_000}


@pytest.mark.parametrize("kind", ["sign", "gradient"])
def test_what_a_row_brings_again_is_less_than_all_the_noise(kind):
    data = prepare(skewed())
    mean, cov, gen = random_state(data.dim)
    local = (
        data.sign_local(mean, cov, 1e-12, between=True)
        if kind == "sign"
        else data.gradient_local(mean, cov, between=True)
    )
    draws = torch.randn(40_000, data.dim, generator=gen, dtype=torch.float64)
    v = mean + draws @ torch.linalg.cholesky(cov).T
    grad = (v @ data.features.T - data.residuals)[:, :, None] * data.features
    mine = (torch.sign(grad) if kind == "sign" else grad).mean(0)  # (n, d): mean over runs of every row
    wanted = torch.cov(mine.T, correction=0)
    torch.testing.assert_close(local.between, wanted, rtol=0.05, atol=0.02 * float(wanted.abs().max()))
    assert torch.linalg.eigvalsh(local.noise - local.between)[0] > -1e-9
