"""Lower bounds: never above an upper bound or the start, near the best step by search, and wrong forms caught."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope import bounds
from signscope._core.errors import InvalidInput
from signscope.bounds import Constants, sgd_lower, sgd_lower_at, signsgd_lower
from signscope.bounds.instances import hard_signsgd

SCALES = st.floats(-3, 3).map(lambda v: 10**v)


@settings(deadline=None, max_examples=60)
@given(
    gap=SCALES,
    smooth=SCALES,
    noise=SCALES,
    spread=st.floats(0, 1),
    dim=st.integers(1, 10**6),
    calls=st.integers(1, 10**9),
)
def test_no_lower_bound_exceeds_the_start_or_an_upper_bound(gap, smooth, noise, spread, dim, calls):
    known = Constants(gap, smooth, noise, dim=dim, noise_l2=noise * dim ** (-spread / 2), smoothness_l2=smooth)
    sign, plain = signsgd_lower(known, num_calls=calls), sgd_lower(known, num_calls=calls)
    for lower, upper in ((sign, bounds.signsgd(known, num_calls=calls)), (plain, bounds.sgd(known, num_calls=calls))):
        assert lower.value <= known.ceiling * (1 + 1e-9)
        assert lower.value <= upper.value * (1 + 1e-9)


def test_the_published_noise_term_without_its_range_exceeds_the_start():
    known = Constants(1.0, 1.0, 300.0)
    published = (300.0**2 / (128 * 10)) ** 0.25
    assert published > 2 * known.ceiling
    few = signsgd_lower(known, num_calls=10)
    assert few.value <= known.ceiling
    assert not few.holds
    assert few.conditions[0].verdict == "NOT met"
    assert signsgd_lower(known, num_calls=90_000).holds


@settings(deadline=None, max_examples=60)
@given(gap=SCALES, noise=st.floats(-3, 6).map(lambda v: 10**v), dim=st.integers(1, 10**6), calls=st.integers(1, 10**9))
def test_more_calls_never_have_the_larger_lower_bound(gap, noise, dim, calls):
    """A problem that stops N calls stops fewer calls as well."""
    known = Constants(gap, 1.0, noise, dim=dim, noise_l2=noise / dim**0.25)
    for lower in (signsgd_lower, sgd_lower):
        for later in (calls + 1, 3 * calls, 1000 * calls):
            assert lower(known, num_calls=later).value <= lower(known, num_calls=calls).value * (1 + 1e-12)


def test_few_calls_in_loud_noise_against_the_instances():
    """Below the range of the noise term its end holds: least over step and batch of the exact instances."""
    loud = Constants(1.0, 1.0, 300.0, dim=1000, noise_l2=100.0)
    rates = np.geomspace(0.001, 10, 20)
    least = min(
        hard_signsgd(loud, lr=float(lr), num_steps=200 // b, batch_size=b).stated for b in (1, 10) for lr in rates
    )
    assert signsgd_lower(loud, num_calls=200).value == pytest.approx(0.49)
    assert least > 0.49
    least = min(max(sgd_lower_at(loud, lr=lr, num_steps=200 // b, batch_size=b)) for b in (1, 10) for lr in rates / 100)
    assert sgd_lower(loud, num_calls=200).value == pytest.approx(1.0)
    assert least > 1.0


def test_the_calls_of_a_lower_bound_are_the_last_ones_above_the_target():
    rows = bounds.compare_bounds(Constants(1.0, 1.0, 300.0), target=0.3).rows
    calls = next(row.calls for row in rows if (row.name, row.kind) == ("signsgd", "lower"))
    assert calls == pytest.approx(0.49**4 * 300**2 / 0.3**4, rel=1e-5)


def test_lower_bounds_say_where_the_curvature_is_not_free():
    """L_2 far below L: SGD's upper bound for it is below the lower bound of the class, whose problems have L_2 = L."""
    known = Constants(1.0, 1.0, 0.0, dim=1000, smoothness_l2=0.001)
    lower = sgd_lower(known, num_calls=10_000)
    assert bounds.sgd(known, num_calls=10_000).value < lower.value
    assert "free curvature" in [c.name for c in lower.conditions]
    for separable in (signsgd_lower, sgd_lower):
        found = separable(Constants.separable(1.0, [1.0, 0.5]), num_calls=9)
        assert "free curvature" in [c.name for c in found.conditions]
    assert "free curvature" not in [c.name for c in sgd_lower(Constants(1.0, 1.0, dim=10), num_calls=9).conditions]


@pytest.mark.parametrize(("calls", "printed"), [(100, 0.859), (1000, 0.899)])
def test_the_best_step_and_batch_of_signsgd_on_its_hard_instance(calls, printed):
    """Minimax over step and batch of the exact instance, in units of (sigma^2 L Delta/N)^(1/4)."""
    known = Constants(1.0, 1.0, 1.0)
    least = min(
        hard_signsgd(known, lr=float(lr), num_steps=calls // batch, batch_size=batch).stated
        for batch in (1, 2, 4)
        for lr in np.geomspace(0.1, 2, 24)
    )
    assert printed - 0.005 <= least * calls**0.25 <= printed + 0.015  # more cells are tried than for the print
    assert least >= signsgd_lower(known, num_calls=calls).value


def test_the_best_step_of_signsgd_without_noise():
    known, steps = Constants(1.0, 1.0), 400
    values = [hard_signsgd(known, lr=float(lr), num_steps=steps).stated for lr in np.geomspace(0.01, 5, 60)]
    assert 0.98 <= min(values) * math.sqrt(steps) <= 1.01
    assert min(values) >= signsgd_lower(known, num_calls=steps).value * (1 - 1e-12)


@pytest.mark.parametrize("dim", [10, 100, 1000])
@pytest.mark.parametrize("calls", [10**4, 10**6])
def test_the_best_step_and_batch_of_sgd_on_its_two_instances(dim, calls):
    noisy = Constants(1.0, 1.0, 1.0, dim=dim, noise_l2=1.0)
    quiet = Constants(1.0, 1.0, dim=dim)
    rates, batches = np.geomspace(1e-6, 10, 1500), [1, 2, 4, 16, 64]
    least = min(max(sgd_lower_at(noisy, lr=a, num_steps=calls // b, batch_size=b)) for a in rates for b in batches)
    unit = (dim / calls) ** 0.25
    assert 0.69 <= least / unit <= 0.72
    assert least >= sgd_lower(noisy, num_calls=calls).value
    still = min(max(x) if a >= 4 else x[1] for a in rates for x in [sgd_lower_at(quiet, lr=a, num_steps=calls)])
    assert 0.495 <= still / math.sqrt(dim / calls) <= 0.505
    assert still >= sgd_lower(quiet, num_calls=calls).value


def test_the_published_sgd_instance_is_easy_under_sparse_noise():
    """With L_i = L sigma_i^2/sigma_2^2 and one noisy coordinate the function has one coordinate; d plays no part."""
    dim, calls = 10**5, 10**8
    claimed = sgd_lower(Constants(1.0, 1.0, 1.0, dim=dim, noise_l2=1.0), num_calls=calls).value
    published = bounds.sgd_separable(Constants.separable(1.0, [1.0], noise=[1.0]), num_calls=calls)
    assert published.value < 0.3 * claimed  # so that instance cannot prove the claim, which holds for another


def test_ratios():
    known = Constants(1.0, 1.0, 1.0, dim=10**4, noise_l2=1.0)
    assert bounds.speedup_range(known) == pytest.approx((10**4 / 128, 8 * 10**4))
    assert bounds.speedup_range(Constants(1.0, 1.0, dim=64)) == (8.0, math.inf)
    flat = Constants(1.0, 1.0, 10.0, dim=100, noise_l2=1.0)
    assert bounds.speedup_range(flat)[0] == pytest.approx(1 / 128)  # dense noise: no speed-up is guaranteed
    noise = [3.0, 1.0, 0.2]
    density = bounds.density(noise)
    assert bounds.aligned_ratio(noise, [s * s for s in noise]) == pytest.approx(1 / density)
    assert bounds.aligned_ratio(noise, [1.0] * 3) == pytest.approx(1)
    assert bounds.aligned_ratio(noise, noise[::-1]) < 1
    assert bounds.noiseless_ratio(
        Constants(1.0, 1.0, dim=10, smoothness_l2=0.5), gradient_density=0.3
    ) == pytest.approx(1.5)
    for wrong in (Constants(1.0, 1.0), Constants(1.0, 1.0, 1.0, dim=3)):
        with pytest.raises(InvalidInput, match="speedup_range"):
            bounds.speedup_range(wrong)
    with pytest.raises(InvalidInput, match="above 0"):
        bounds.aligned_ratio([0.0], [1.0])
    with pytest.raises(InvalidInput, match="1 at most"):
        bounds.noiseless_ratio(Constants(1.0, 1.0, dim=10, smoothness_l2=0.5), gradient_density=2.0)
