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
