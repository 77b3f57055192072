"""SGD, Muon and batch-1 signSGD: best steps against search, constants against print, stand-ins on the safe side."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope import bounds
from signscope._core.errors import InvalidInput
from signscope.bounds import Constants

KNOWN = Constants(2.0, 3.0, 5.0, dim=40, noise_l2=1.2, smoothness_l2=0.4)
PARTS = Constants.separable(2.0, [0.5, 1.0, 0.1], noise=[1.0, 0.2, 3.0])
GRID = np.geomspace(0.05, 20, 81)


@pytest.mark.parametrize("calls", [1, 30, 10**4, 10**8])
@pytest.mark.parametrize(
    ("known", "make", "bound"),
    [
        (KNOWN, bounds.sgd, bounds.sgd_bound),
        (replace(KNOWN, noise_l1=0.0, noise_l2=0.0), bounds.sgd, bounds.sgd_bound),
        (PARTS, bounds.sgd_separable, bounds.sgd_separable_bound),
        (Constants.separable(2.0, [0.5, 1.0]), bounds.sgd_separable, bounds.sgd_separable_bound),
    ],
)
def test_no_step_and_no_batch_beats_the_plan_of_sgd(known, make, bound, calls):
    plan = make(known, num_calls=calls)
    least = min(bound(known, lr=a * plan.lr, num_steps=calls) for a in GRID)
    assert plan.value <= least * (1 + 1e-12)
    assert plan.holds
    for batch in (2, 7, 30):
        if batch <= calls:
            assert make(known, num_calls=calls // batch * batch, batch_size=batch).value >= plan.value * (1 - 1e-12)
    assert bound(known, lr=2.01 / known.smoothness_l2, num_steps=calls) == math.inf


def test_leading_terms_are_the_printed_ones():
    calls = 10**14
    any_f, parts = bounds.sgd(KNOWN, num_calls=calls), bounds.sgd_separable(PARTS, num_calls=calls)
    assert any_f.leading == pytest.approx((2 * 40**2 * 1.2**2 * 0.4 * 2 / calls) ** 0.25)
    assert any_f.value == pytest.approx(any_f.leading, rel=1e-4)
    weight = math.sqrt(0.5) + 0.2 + 3 * math.sqrt(0.1)
    assert parts.leading == pytest.approx((8 * 3 * 2 * weight**2 / calls) ** 0.25)
    assert parts.value == pytest.approx(parts.leading, rel=1e-4)
    assert parts.leading <= (8 * 3 * PARTS.noise_l2**2 * PARTS.smoothness * 2 / calls) ** 0.25
    quiet = bounds.sgd(replace(KNOWN, noise_l1=0.0, noise_l2=0.0), num_calls=500)
    assert quiet.value == quiet.leading == pytest.approx(math.sqrt(2 * 40 * 0.4 * 2 / 500))
    assert quiet.lr == pytest.approx(1 / 0.4)


def test_missing_constants_are_replaced_on_the_safe_side():
    bare = replace(KNOWN, noise_l2=None, smoothness_l2=None)
    assert bounds.sgd(bare, num_calls=1000).value > bounds.sgd(KNOWN, num_calls=1000).value
    assert bounds.sgd_lower(bare, num_calls=1000).value < bounds.sgd_lower(KNOWN, num_calls=1000).value
    assert [c.name for c in bounds.sgd(bare, num_calls=1000).conditions] == ["stable step", "larger constants"]
    with pytest.raises(InvalidInput, match="dim"):
        bounds.sgd(Constants(1.0, 1.0), num_calls=3)
    with pytest.raises(InvalidInput, match=r"Constants\.separable"):
        bounds.sgd_separable(KNOWN, num_calls=3)
    with pytest.raises(InvalidInput, match="batch_size"):
        bounds.sgd(KNOWN, num_calls=3, batch_size=4)


@settings(deadline=None, max_examples=40)
@given(noise=st.floats(0, 50), lr=st.floats(1e-4, 10), steps=st.integers(1, 10**6))
def test_the_symmetric_bound_is_the_worst_split_and_below_the_printed_form(noise, lr, steps):
    known = Constants(1.3, 0.7, noise)
    rho, scale = 1.3 / (lr * steps) + lr * 0.35, math.sqrt(3) * noise
    part = np.append(np.linspace(0, rho, 2001), min(rho, scale / 9))
    worst = (np.sqrt(scale * part) + 1.5 * (rho - part)).max()
    value = bounds.signsgd_symmetric_bound(known, lr=lr, num_steps=steps)
    assert value == pytest.approx(worst, rel=1e-9)
    assert value <= math.sqrt(scale * rho) + 1.5 * rho


def test_batch_one_has_the_printed_constant():
    plan = bounds.signsgd_symmetric(Constants(1.0, 1.0, 1.0), num_calls=10**16)
    assert plan.leading * 10**4 == pytest.approx(1.565, abs=5e-4)
    assert plan.value <= plan.leading
    assert [c.verdict for c in plan.conditions] == ["assumed"]
    gaussian = bounds.signsgd(Constants(1.0, 1.0, 1.0), num_calls=10**12, law="gaussian")
    assert gaussian.leading * 1000 == pytest.approx(2.378 * (2 / math.pi) ** 0.25, abs=1e-3)


@pytest.mark.parametrize(("noise", "eps"), [(0.0, 0.1), (0.01, 0.1), (3.0, 0.1), (3.0, 1e-3)])
def test_calls_to_an_accuracy(noise, eps):
    known = Constants(1.0, 1.0, noise)
    calls = math.ceil(bounds.signsgd_calls(known, target=eps))
    assert bounds.signsgd(known, num_calls=calls).leading == pytest.approx(eps, rel=2e-3)
    assert bounds.signsgd(known, num_calls=math.ceil(1.02 * calls) + 50).value <= eps


def test_muon_is_signsgd_in_the_nuclear_norm_and_pays_for_an_inexact_sign():
    known = Constants(2.0, 3.0, 5.0)
    exact, vector = bounds.muon(known, num_calls=10**5), bounds.signsgd(known, num_calls=10**5)
    assert (exact.value, exact.lr, exact.batch_size) == (vector.value, vector.lr, vector.batch_size)
    assert exact.norm == "nuclear"
    newton = bounds.muon(known, num_calls=10**5, singular_range=(0.682, 1.203))
    assert newton.value == pytest.approx(exact.value * 1.203 / 0.682, rel=1e-9)
    used = {"num_steps": newton.num_steps, "batch_size": newton.batch_size, "singular_range": (0.682, 1.203)}
    assert newton.value <= min(bounds.muon_bound(known, lr=a * newton.lr, **used) for a in GRID) * (1 + 1e-12)
    with pytest.raises(InvalidInput, match="singular_range"):
        bounds.muon(known, num_calls=10, singular_range=(1.2, 0.7))


def test_the_bregman_constant_serves_where_descent_alone_counts():
    saddle, safe = Constants(1.0, 2.0, 1.0, bregman=1.0), Constants(1.0, 2.0, 1.0)
    half = Constants(1.0, 1.0, 1.0)
    assert bounds.signsgd(saddle, num_calls=999).value == bounds.signsgd(half, num_calls=999).value
    assert bounds.signsgd(saddle, num_calls=999).value < bounds.signsgd(safe, num_calls=999).value
    used = {"lr": 0.01, "beta": 0.1, "num_steps": 99}
    gains = bounds.signum_bound(safe, **used) - bounds.signum_bound(saddle, **used)
    assert gains == pytest.approx(0.01 * (2 - 1) / 2)  # the drift of the average needs the Lipschitz constant


def test_a_plan_says_what_it_is():
    text = str(bounds.ssvr(Constants(1.0, 1.0, 0.001), num_steps=4))
    assert "NOT met: averaging" in text
    assert "assumed: same sample" in text
    assert "sqrt(2 beta/(2-beta)) sigma_1" in text
    assert "nuclear norm" in str(bounds.signsgd_lower(KNOWN, num_calls=9, norm="nuclear"))
