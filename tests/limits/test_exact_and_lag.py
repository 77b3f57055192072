"""The finite-dimensional recursion against brute force, and Adam's lag against its matrix equation."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from signscope import LeastSquares, limit, predict
from signscope.limits import max_lr

COV = np.array([[1.0, 0.4, 0.0], [0.4, 0.6, -0.2], [0.0, -0.2, 0.3]])
START = np.array([1.0, -0.5, 0.8])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_exact_recursion_is_the_mean_of_brute_force(batch_size):
    """A NumPy loop over 200,000 runs at dim 3, where every term of (4.2) counts."""
    problem = LeastSquares(COV, start=START, target=np.zeros(3), noise=0.4)
    gen, runs, lr = np.random.default_rng(0), 200_000, 0.7
    factor = np.linalg.cholesky(COV)
    v, risks = np.tile(START, (runs, 1)), []
    for _ in range(13):
        risks.append(0.5 * ((v @ COV) * v).sum(1))
        x = gen.standard_normal((runs, batch_size, 3)) @ factor.T
        residual = np.einsum("rbd,rd->rb", x, v) - 0.4 * gen.standard_normal((runs, batch_size))
        v = v - lr / 3 * np.einsum("rb,rbd->rd", residual, x) / batch_size
    times = torch.arange(13, dtype=torch.float64) / 3
    found = predict(problem, "sgd", lr=lr, horizon=4, times=times, method="exact", batch_size=batch_size).value
    mean = np.mean(risks, 1)
    stderr = np.std(risks, 1) / runs**0.5
    assert (np.abs(found.numpy() - mean) <= 4.5 * stderr + 1e-12).all()
    # Teeth: without the term lambda_j M_j the last risks are many standard errors away.
    assert _without_own_term(lr, batch_size)[-1] < mean[-1] - 10 * stderr[-1]


def _without_own_term(lr, batch_size):
    eigvals, eigvecs = np.linalg.eigh(COV)
    m, g, risks = (eigvecs.T @ START) ** 2, lr / 3, []
    for _ in range(13):
        risks.append(0.5 * eigvals @ m)
        m = m * (1 - g * eigvals) ** 2 + g**2 / batch_size * eigvals * (eigvals @ m + 0.16)
    return risks


BETA2, C1, C2, C3 = 0.9, 0.86599, 0.77794, 0.82270  # Gaussian residuals, to the printed digits


def adam_matrix_equation(times, lr, lagging):
    root = np.sqrt(np.diag(COV))
    drift, corr = COV / root[:, None], COV / np.outer(root, root)
    rho = -3 * math.log(BETA2)

    def slope(t, state):
        second, w = state[:9].reshape(3, 3), state[9]
        power = np.trace(COV @ second) + 0.4**2
        w = w if lagging else power
        a = lr * C1 / math.sqrt(w)
        noise = lr**2 / 3 * (C2 * corr + (C3 - C2) * np.eye(3)) * power / w
        change = -a * (drift @ second + second @ drift.T) + noise
        pull = rho / -np.expm1(-rho * max(t, 1e-9)) * (power - w)
        return np.append(change.ravel(), pull)

    begin = np.append(np.outer(START, START).ravel(), START @ COV @ START + 0.4**2)
    found = solve_ivp(slope, (0, times[-1]), begin, "LSODA", times, rtol=1e-10, atol=1e-13)
    return 0.5 * np.einsum("ij,jit->t", COV, found.y[:9].reshape(3, 3, -1))


def test_adam_follows_the_matrix_equation_with_lag():
    problem = LeastSquares(COV, start=START, target=np.zeros(3), noise=0.4)
    times = np.linspace(0, 4, 9)
    curve = predict(problem, "adam", lr=0.3, horizon=4, times=torch.tensor(times), betas=(0.0, BETA2), rtol=1e-8)
    np.testing.assert_allclose(curve.value, adam_matrix_equation(times, 0.3, True), rtol=3e-5)
    gap = np.abs(adam_matrix_equation(times, 0.3, False) / curve.value.numpy() - 1)
    assert gap.max() > 0.01  # the lag is seen


def test_adam_rate_with_lag_is_the_slope_of_the_late_curve():
    problem = LeastSquares([2.0, 1.2, 0.2], start=[1, 1, 1], target=[0, 0, 0], noise=0.4)
    for beta2 in (0.5, 0.3):  # at 0.9 the slowest pair is complex and the curve oscillates around its limit
        found = limit(problem, "adam", lr=0.3, betas=(0.0, beta2))
        horizon = 16 / found.rate
        curve = predict(problem, "adam", lr=0.3, horizon=horizon, betas=(0.0, beta2), rtol=1e-11)
        gap = np.log(np.abs(curve.at([0.9 * horizon, horizon]).numpy() - found.excess_risk))
        assert (gap[0] - gap[1]) / (0.1 * horizon) == pytest.approx(found.rate, rel=1e-3)


def test_stability_limit_grows_with_the_batch():
    problem = LeastSquares(COV, noise=0.1)
    top, _ = max_lr(problem, "sgd", batch_size=1)
    assert top == pytest.approx(6 / 1.9)
    assert max_lr(problem, "sgd", batch_size=4)[0] == pytest.approx(4 * top)
    assert limit(problem, "sgd", lr=2 * top, batch_size=4).stable


def test_null_directions_do_not_enter_the_rate():
    cov = np.outer([1.0, 2.0], [1.0, 2.0]) + np.zeros((2, 2))
    for optimizer in ("sgd", "signsgd"):
        found = limit(LeastSquares(cov, noise=0.2), optimizer, lr=0.1)
        assert found.rate > 1e-3
        assert found.stable


def test_large_batches_in_small_dimension_are_called_inaccurate():
    problem = LeastSquares(np.ones(40), noise=0.3)
    assert predict(problem, "signsgd", lr=0.1, horizon=1, batch_size=4).status == "ok"
    curve = predict(problem, "signsgd", lr=0.1, horizon=1, batch_size=5)
    assert curve.status == "inaccurate"
    assert "batch_size 5" in curve.message
    assert limit(problem, "adam", lr=0.1, betas=(0.99, 0.9)).status == "inaccurate"
