"""The greedy rate: closed forms for K = I, its definition along the way, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from helpers.schedule_problems import isotropic, section_seven
from signscope import InvalidInput, LeastSquares, Unsupported, predict
from signscope.limits.greedy import greedy_schedule
from signscope.limits.optimal import design_schedule
from signscope.schedules import Function, PiecewiseLinear

TIME = torch.linspace(0, 6, 25, dtype=torch.float64)


@pytest.mark.parametrize("noise", ["gaussian:0.5", "laplace:0.4", "cauchy:0,1", "none"])
def test_isotropic_signsgd_uses_twice_r_phi(noise):
    law = isotropic(noise)
    schedule = greedy_schedule(law, "signsgd", horizon=6)
    curve = predict(law, "signsgd", lr=schedule, horizon=6, times=TIME, rtol=1e-5)
    np.testing.assert_allclose(schedule(TIME), 2 * curve.value * law.noise.phi(curve.value), rtol=2e-3)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_isotropic_sgd_uses_r_over_p(batch_size):
    law = isotropic("gaussian:0.5")
    schedule = greedy_schedule(law, "sgd", horizon=6, batch_size=batch_size)
    curve = predict(law, "sgd", lr=schedule, horizon=6, times=TIME, batch_size=batch_size, rtol=1e-5)
    expected = batch_size * curve.value / (curve.value + 0.5 * law.noise.second_moment)
    np.testing.assert_allclose(schedule(TIME), expected, rtol=2e-3)


def test_isotropic_sgd_follows_its_closed_risk():
    """Log R - s^2/(2R) falls by t."""
    law = isotropic("gaussian:0.5", risk=0.5)
    curve = predict(law, "sgd", lr=greedy_schedule(law, "sgd", horizon=6), horizon=6, times=TIME, rtol=1e-5)

    def level(r):
        return math.log(r) - 0.125 / r

    for time, risk in zip(TIME.tolist()[1:], curve.value.tolist()[1:], strict=True):
        expected = brentq(lambda r, t=time: level(r) - level(0.5) + t, 0.5 * math.exp(-time) / 10, 0.5)
        assert risk == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("signsgd", {}),
        pytest.param("sgd", {"batch_size": 3}, marks=pytest.mark.slow),
        pytest.param("adam", {"betas": (0.0, 0.9)}, marks=pytest.mark.slow),
    ],
)
def test_no_other_rate_lowers_the_risk_faster(optimizer, options):
    """The greedy rate up to time 1, then another factor for an instant."""
    law = section_seven("gaussian:0.3", dim=30)
    schedule = greedy_schedule(law, optimizer, horizon=1.2, **options)

    def after(factor):
        def rate(time):
            return schedule(time) * torch.where(time > 1.0, factor, 1.0)

        return predict(law, optimizer, lr=Function(rate, (1.0,)), horizon=1.02, times=[1.02], **options).final

    assert after(1.0) < min(after(0.9), after(1.1))


def test_few_knots_are_needed_and_the_horizon_changes_nothing():
    law = section_seven()
    long, short = (greedy_schedule(law, "signsgd", horizon=horizon) for horizon in (10, 2))
    assert isinstance(long, PiecewiseLinear)
    assert len(long.times) < 100
    time = torch.linspace(0, 2, 50, dtype=torch.float64)
    np.testing.assert_allclose(long(time), short(time), rtol=3e-3)


def test_rotated_covariances_and_data_sets():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((100, 6)) @ rng.standard_normal((6, 6))
    law = LeastSquares.from_data(X, X.sum(1) + rng.standard_normal(100), noise="gaussian")
    schedule = greedy_schedule(law, "adam", horizon=3, betas=(0.0, 0.5))
    theory = {"method": "gaussian", "betas": (0.0, 0.5), "rtol": 1e-3, "times": [3.0]}
    assert predict(law, "adam", lr=schedule, horizon=3, **theory).final < float(law.excess_risk(law.start))


def test_what_is_refused():
    with pytest.raises(Unsupported, match="greedy_schedule: sgd has no risk curve"):
        greedy_schedule(isotropic("cauchy:0,1"), "sgd", horizon=1)
    for horizon in (0, -1, math.inf, "long"):
        with pytest.raises(InvalidInput, match="greedy_schedule: `horizon`"):
            greedy_schedule(isotropic(0.1), "sgd", horizon=horizon)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_without_noise_at_the_optimum_there_is_nothing_to_do(optimizer):
    law = LeastSquares(np.ones(6), start=np.ones(6), target=np.ones(6))
    assert float(greedy_schedule(law, optimizer, horizon=2)(TIME).max()) < 1e-6
    design = design_schedule(law, optimizer, horizon=2)
    assert 0 <= design.risk < 1e-12
    assert "starts at the optimum" in design.message
