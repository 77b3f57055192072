"""Risk of signSGD to order 1/dim: against runs, against the limit, and each of its terms needed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope import LeastSquares, predict, schedules, simulate
from signscope._core.errors import Unsupported
from signscope.limits import finite_dimension
from signscope.limits.exact import exact_sgd_risk
from signscope.limits.finite_dimension import _mean_signs, _Shape
from signscope.limits.spectrum import arcsine_matrix

TIMES = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
SAME = {"lr": 0.7, "horizon": 4, "times": TIMES}


def problem(dim, noise=0.5, correlation=0.6, seed=2):
    place = np.arange(dim)
    std = np.logspace(-0.4, 0.4, dim)
    return LeastSquares(correlation ** np.abs(place[:, None] - place) * np.outer(std, std), noise=noise, seed=seed)


@pytest.mark.parametrize("noise", [0.5, pytest.param("cauchy:0,1", marks=pytest.mark.slow)])
def test_twelve_coordinates_against_runs(noise):
    """5,000 runs; what is left is of order 1/dim^2."""
    case = problem(12, noise)
    runs = simulate(case, "signsgd", num_runs=5000, seed=5, **SAME)
    found = predict(case, "signsgd", finite_dim=True, **SAME)
    assert bool(((found.value - runs.value).abs() <= 4.5 * runs.stderr + runs.value / case.dim**2).all())
    assert found.status == "ok"


def pieces(case, scale=1.0):
    cov = case.cov.dense()
    std = cov.diagonal().sqrt()
    shape = _Shape(cov, std, cov / std[:, None], 2 / math.pi * arcsine_matrix(cov))
    gen = torch.Generator().manual_seed(3)
    root = scale * torch.randn(case.dim, case.dim, generator=gen, dtype=torch.float64) / case.dim
    return shape, scale * case.displacement, root @ root.T


@pytest.mark.parametrize("noise", ["gaussian:0.5", "rademacher:0.5"])
def test_moments_of_the_signs_against_sampled_displacements(noise):
    """E b and Cov(v, b) for a Gaussian displacement: sampled v, b by its integral. The limit alone is rejected."""
    case = problem(24, noise, correlation=0.3)
    shape, mean, spread = pieces(case, scale=0.7)
    gen = torch.Generator().manual_seed(4)
    away = torch.randn(25_000, case.dim, generator=gen, dtype=torch.float64) @ torch.linalg.cholesky(spread).T
    away = torch.cat([away, -away])
    v = mean + away
    w = v @ shape.kernel.T
    risk = 0.5 * ((v @ shape.cov) * v).sum(1)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    b = torch.zeros_like(w)
    for x, weight in zip(0.5 * (nodes + 1), 0.5 * weights, strict=True):
        b += weight * case.noise.phi(risk[:, None] - 0.5 * w.square() * x**2) * w
    level = 0.5 * float(mean @ shape.cov @ mean + (shape.cov * spread).sum())
    eps = 1e-3 * level
    below, here, above = case.noise.phi(torch.tensor([level - eps, level, level + eps], dtype=torch.float64)).tolist()
    law = (here, (above - below) / (2 * eps), (above - 2 * here + below) / eps**2)
    signs, turn, doubt = _mean_signs(law, shape, mean, spread)
    drawn = spread @ turn.T
    wanted_mean, wanted_cov = b.mean(0), away.T @ (b - b.mean(0)) / len(v)
    limit_cov = spread @ (law[0] * shape.kernel).T

    def miss(a, c):
        return float((a - c).norm() / c.norm())

    assert miss(signs, wanted_mean) < 0.25 * miss(law[0] * shape.kernel @ mean, wanted_mean)
    assert miss(drawn, wanted_cov) < 0.35 * miss(limit_cov, wanted_cov)
    assert miss(signs, wanted_mean) < 6e-3
    assert float(doubt) < 0.2


def test_the_correction_falls_like_one_over_dim():
    gaps, same = [], {"quantity": "distance", **SAME}
    for dim in (20, 80):
        ratios = [
            predict(c, "signsgd", **same).final / predict(c, "signsgd", finite_dim=True, **same).final
            for c in (problem(dim, seed=s) for s in range(2))
        ]
        gaps.append(float(np.mean([float(r) - 1 for r in ratios])))
    assert 0.1 / 20 < gaps[0] < 2 / 20
    assert gaps[1] == pytest.approx(gaps[0] / 4, rel=0.8)


def test_half_of_the_corrections_is_worse_than_none(monkeypatch):
    """The nonlinearity of the signs alone moves the risk of 30 coordinates by 2%; with the spread of R, less."""
    case = problem(30)
    limit, full = (predict(case, "signsgd", finite_dim=f, **SAME).final for f in (False, True))

    def without_spread(law, shape, mean, spread):
        slope, first, _ = law
        along = shape.kernel @ mean
        tau = (shape.kernel @ spread * shape.kernel).sum(1)
        bend = -0.5 * first * (tau + along.square())
        signs = slope * along - first / 6 * (along.pow(3) + 3 * along * tau)
        return signs, (slope + bend)[:, None] * shape.kernel, bend.max()

    monkeypatch.setattr(finite_dimension, "_mean_signs", without_spread)
    half = predict(case, "signsgd", finite_dim=True, **SAME).final
    assert half / full < 0.98
    assert abs(limit / full - 1) < 0.5 * abs(half / full - 1)


@pytest.mark.slow
def test_updates_taken_together_change_little(monkeypatch):
    case = problem(100)
    same = {**SAME, "horizon": 1, "times": TIMES[:2]}
    together = predict(case, "signsgd", finite_dim=True, **same).value
    monkeypatch.setattr(finite_dimension, "_FRACTION", 1e-9)
    single = predict(case, "signsgd", finite_dim=True, **same).value
    torch.testing.assert_close(together, single, rtol=2e-4, atol=0)
    assert not torch.equal(together, single)


def test_other_quantities_and_schedules():
    case = problem(20)
    risk, distance = (
        predict(case, "signsgd", finite_dim=True, quantity=q, **SAME).value for q in ("excess_risk", "distance")
    )
    matrix = predict(case, "signsgd", finite_dim=True, quantity=0.5 * case.cov.dense(), **SAME).value
    torch.testing.assert_close(matrix, risk)
    assert not torch.equal(distance, risk)
    falling = predict(case, "signsgd", finite_dim=True, **{**SAME, "lr": schedules.Cosine(0.7, horizon=4)}).value
    assert bool((falling[-1] < risk[-1]).all())
    named = predict(case, "adam", betas=(0, 0), finite_dim=True, **SAME).value
    torch.testing.assert_close(named, risk)


def test_sgd_at_finite_dimension_is_exact():
    case = problem(20)
    found = predict(case, "sgd", finite_dim=True, **{**SAME, "lr": 0.3})
    wanted = exact_sgd_risk(case, schedules.Constant(0.3), TIMES, batch_size=1)
    torch.testing.assert_close(found.value, wanted)
    assert not torch.allclose(found.value, predict(case, "sgd", **{**SAME, "lr": 0.3}).value, rtol=1e-3)


def test_few_effective_coordinates_are_said():
    std = np.full(30, 1e-3)
    std[0] = 1.0
    case = LeastSquares(std**2, noise=0.01, target=np.ones(30))
    found = predict(case, "signsgd", finite_dim=True, lr=0.2, horizon=2)
    assert found.status == "inaccurate"
    assert "effective coordinates" in found.message


@settings(deadline=None, max_examples=5)
@given(st.floats(0.2, 5.0), st.integers(0, 1000))
def test_a_change_of_units_changes_nothing_but_the_unit(factor, seed):
    """Rows times c, displacement over c: labels, risks and signs stay, and the rate is over c."""
    case = problem(8, seed=seed)
    other = LeastSquares(
        case.cov.dense() * factor**2, start=case.start / factor, target=case.target / factor, noise=0.5
    )
    one = predict(case, "signsgd", finite_dim=True, **SAME).value
    two = predict(other, "signsgd", finite_dim=True, **{**SAME, "lr": 0.7 / factor}).value
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adam"},
        {"batch_size": 2},
        {"method": "quadrature"},
        {"method": "rows"},
        {"problem": LeastSquares(np.ones(1001), noise=1.0)},
    ],
    ids=lambda c: next(iter(c)),
)
def test_where_it_does_not_apply(change):
    options = {"optimizer": "signsgd", **SAME, **change}
    with pytest.raises(Unsupported):
        predict(options.pop("problem", problem(8)), options.pop("optimizer"), finite_dim=True, **options)


SUDDEN = {
    "warm-up and decay": schedules.WarmupStableDecay(0.7, 2, warmup=0.5, decay=0.5),
    "jumps": schedules.PiecewiseConstant((0.0, 0.5, 1.0), (1e-4, 0.9, 0.05)),
    "bump": schedules.Function(lambda t: 0.001 + 1.5 * torch.exp(-(((t - 1) / 0.15) ** 2))),
}


@pytest.mark.parametrize("name", SUDDEN)
def test_the_answer_does_not_hang_on_the_times_reported(name):
    """A rate that starts at 0, jumps or peaks between two reported times is seen."""
    case, lr = problem(20), SUDDEN[name]
    few, many = (
        predict(case, "signsgd", lr=lr, horizon=2, times=torch.linspace(0, 2, n).double(), finite_dim=True).final
        for n in (2, 41)
    )
    assert few == pytest.approx(many, rel=5e-4)
    limit = predict(case, "signsgd", lr=lr, horizon=2).final
    assert abs(limit / many - 1) > 5e-4, "teeth: the correction itself is larger"
