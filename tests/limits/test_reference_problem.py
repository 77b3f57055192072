"""The four-dimensional reference problem: every printed digit of the specification."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from signscope import LeastSquares, limit, predict
from signscope.limits.spectrum import spectrum

COV = [[1, 0.3, 0.1, 0], [0.3, 0.5, 0.2, 0.05], [0.1, 0.2, 2, -0.4], [0, 0.05, -0.4, 0.25]]
START = [1, -1, 0.5, 0.25]
TIMES = [0, 0.5, 1, 2, 5]
RISKS = {
    "signsgd": [0.5953125, 0.51700064, 0.45355451, 0.35824259, 0.20270522],
    "sgd": [0.5953125, 0.44517156, 0.35038687, 0.23701643, 0.09759545],
    "adam": [0.5953125, 0.45169281, 0.35061998, 0.22341109, 0.08118215],
}
LIMITS = {"signsgd": 0.0935862067851419, "sgd": 0.013775510204081631, "adam": 0.04909163116998818}
NEAR_ONE = (0.0, 1 - 1e-9)  # Adam's heuristic limit beta2 -> 1 has no lag: see test_adam_without_lag


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    return LeastSquares(np.array(COV, float), start=START, target=np.zeros(4), noise=0.3)


def without_lag(problem):
    """Adam's risk ODE at beta2 -> 1 typed from (3.3) and the table of section 4, on the matrix v v' itself."""
    cov = np.array(COV, float)
    root = np.sqrt(np.diag(cov))
    drift, noise = cov / root[:, None], cov / np.outer(root, root)

    def slope(t, flat):
        second = flat.reshape(4, 4)
        power = np.trace(cov @ second) + 0.3**2
        a = 0.5 / math.sqrt(power)
        change = -a * (drift @ second + second @ drift.T) + 0.25 / 4 * noise
        return change.ravel()

    found = solve_ivp(slope, (0, 5), np.outer(START, START).ravel(), "Radau", TIMES, rtol=1e-11, atol=1e-14)
    return 0.5 * np.einsum("ij,jit->t", cov, found.y.reshape(4, 4, -1))


def test_spectrum(problem):
    modes = spectrum(problem, "signsgd")
    np.testing.assert_allclose(modes.eigvals, [0.23033807, 0.51537435, 1.20098732, 1.67462061], atol=6e-9)
    np.testing.assert_allclose(modes.start, [0.08805897, 0.26189359, 0.03810369, 0.20725625], atol=6e-9)
    np.testing.assert_allclose(modes.sources[0], [0.1380775, 0.48542648, 2.09168648, 4.02808333], atol=6e-9)
    total = float((modes.sources[0] / modes.eigvals).sum())
    assert total == pytest.approx(5.68835669, abs=6e-9)
    assert total == pytest.approx(math.pi / 2 * float(problem.cov.diagonal().sqrt().sum()), rel=1e-12)


@pytest.mark.parametrize("optimizer", ["signsgd", "sgd"])
def test_risk_table(problem, optimizer):
    curve = predict(problem, optimizer, lr=0.5, horizon=5, times=torch.tensor(TIMES), rtol=1e-10)
    np.testing.assert_allclose(curve.value, RISKS[optimizer], atol=6e-9)
    assert curve.status == "ok"


def test_adam_table_by_the_matrix_equation(problem):
    np.testing.assert_allclose(without_lag(problem), RISKS["adam"], atol=6e-9)


@pytest.mark.parametrize("quantity", ["distance", "grad_norm"])
def test_other_statistics(problem, quantity):
    expected = {
        "distance": [2.3125, 2.143756, 1.984522, 1.691905, 1.024616],
        "grad_norm": [1.245312, 1.026512, 0.865065, 0.655456, 0.397087],
    }[quantity]
    curve = predict(problem, "signsgd", lr=0.5, horizon=5, times=torch.tensor(TIMES), rtol=1e-9, quantity=quantity)
    np.testing.assert_allclose(curve.value, expected, atol=6e-7)
    assert curve.quantity == quantity


def test_the_short_cut_for_the_distance_is_rejected(problem):
    # sum 2 r/lambda is the squared distance only where D is a multiple of I.
    modes = spectrum(problem, "signsgd")
    assert abs(float((2 * modes.start / modes.eigvals).sum()) - 2.3125) > 0.1


@pytest.mark.parametrize("optimizer", ["signsgd", "sgd"])
def test_limit_risk(problem, optimizer):
    found = limit(problem, optimizer, lr=0.5)
    assert found.excess_risk == pytest.approx(LIMITS[optimizer], rel=1e-13)
    assert found.stable
    assert found.status == "ok"


def test_adam_limit_as_beta2_tends_to_one(problem):
    found = limit(problem, "adam", lr=0.5, betas=(0.0, 0.999999))
    assert found.excess_risk == pytest.approx(LIMITS["adam"], rel=1e-5)


def test_signsgd_rate(problem):
    assert limit(problem, "signsgd", lr=0.5).rate == pytest.approx(0.262368027, abs=6e-10)


def test_sgd_stability_limit(problem):
    top = limit(problem, "sgd", lr=0.5).max_lr
    assert top == pytest.approx(8 / 3.75, rel=1e-14)
    assert limit(problem, "sgd", lr=top * 0.999).stable
    beyond = limit(problem, "sgd", lr=top * 1.001)
    assert (beyond.stable, beyond.status) == (False, "unstable")
    assert beyond.rate < 0 < limit(problem, "sgd", lr=top * 0.999).rate
    assert limit(problem, "signsgd", lr=0.5).max_lr == math.inf
