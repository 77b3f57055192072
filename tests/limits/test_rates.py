"""The secular equation against dense eigenvalues, with both signs and repeated poles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope import LeastSquares, limit, predict
from signscope.limits.rates import rightmost_root


def dense(poles, weights):
    return np.linalg.eigvals(np.diag(poles) + np.outer(weights, np.ones(len(poles)))).real.max()


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 12, 80]), st.sampled_from([1, -1, 0]), st.floats(-6, 1))
def test_root_matches_dense_eigenvalues(seed, size, sign, scale):
    gen = np.random.default_rng(seed)
    poles = -gen.uniform(0.1, 3, size)
    weights = (sign or gen.choice([-1, 1], size)) * 10**scale * gen.uniform(0.1, 1, size)
    assert rightmost_root(poles, weights) == pytest.approx(dense(poles, weights), abs=1e-9)


def test_many_modes_with_both_signs():
    gen = np.random.default_rng(1)
    poles, weights = -gen.uniform(0.1, 3, 300), gen.normal(size=300) * 1e-3
    assert rightmost_root(poles, weights) == pytest.approx(dense(poles, weights), abs=1e-10)


def test_equal_poles_are_merged():
    poles, weights = np.full(5, -2.0), np.full(5, 0.1)
    assert rightmost_root(poles, weights) == pytest.approx(-1.5, rel=1e-12)


def test_poles_without_weight_stay():
    assert rightmost_root(np.array([-1.0, -0.5]), np.array([0.2, 0.0])) == -0.5
    assert rightmost_root(np.array([-1.0, -0.5]), np.zeros(2)) == -0.5


@pytest.mark.parametrize(
    "noise", [0.3, *(pytest.param(n, marks=pytest.mark.slow) for n in ("cauchy:2,1", "laplace:0.4"))]
)
def test_rate_is_the_slope_of_the_late_risk_curve(noise):
    problem = LeastSquares(np.array([2.0, 1.2, 0.2]), start=[1, 1, 1], target=[0, 0, 0], noise=noise)
    for lr in (0.1, 0.4):
        found = limit(problem, "signsgd", lr=lr)
        horizon = 22 / found.rate
        curve = predict(problem, "signsgd", lr=lr, horizon=horizon, rtol=1e-12)
        gap = np.log(np.abs(curve.at([0.9 * horizon, horizon]).numpy() - found.excess_risk))
        assert (gap[0] - gap[1]) / (0.1 * horizon) == pytest.approx(found.rate, rel=2e-3)


def test_both_sides_of_the_smallest_pole_occur():
    # phi falling in R pushes the rate below 2 a lambda_min, phi rising in R (Cauchy away from 0) above it.
    slow = {}
    for noise in ("gaussian:0.3", "cauchy:2,1"):
        problem = LeastSquares(np.array([2.0, 1.2, 0.2]), start=[1, 1, 1], target=[0, 0, 0], noise=noise)
        found = limit(problem, "signsgd", lr=0.4)
        risk = problem.excess_risk(problem.start) * 0 + found.excess_risk
        slow[noise] = found.rate / (2 * 0.4 * float(problem.noise.phi(risk)) * 0.2**0.5)
    assert slow["gaussian:0.3"] < 1 < slow["cauchy:2,1"]
