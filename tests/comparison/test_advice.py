"""`advise`: ratios by their formulas, both verdicts, the phase, and the rules for the learning rate."""

import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from signscope import InvalidInput
from signscope.bounds.ratios import aligned_ratio, curvature_ratio, noisy_range
from signscope.comparison.advice import advise
from signscope.comparison.lr_moves import matching_lr
from signscope.comparison.speed_ratios import predicted_calls
from signscope.measure import gradient_noise, smoothness


class Separable(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.w = nn.Parameter(0.01 * torch.ones(dim, dtype=torch.float64))


def reports(sigma, curvature, *, signal=1.0, seed=0, dim=64):
    """Measurements of sum_i h_i w_i^2 / 2 + <noise, w> with known sigma_i and h_i."""
    gen = torch.Generator().manual_seed(seed)
    batches = [signal * curvature + sigma * torch.randn(4, dim, generator=gen, dtype=torch.float64) for _ in range(64)]
    model = Separable(dim)

    def loss(m, batch):
        return 0.5 * (curvature * m.w**2).sum() + (batch @ m.w).mean()

    return gradient_noise(model, loss, batches), smoothness(model, loss, batches, num_probes=2, num_restarts=1)


ONES = torch.ones(64, dtype=torch.float64)
SPARSE = torch.cat([torch.full((1,), 30.0, dtype=torch.float64), torch.full((63,), 0.05, dtype=torch.float64)])


def test_aligned_curvature_on_sparse_noise_favours_signs():
    advice = advise(*reports(SPARSE, SPARSE**2 / 100, signal=0.0))
    assert advice.verdict == "advantage expected"
    assert advice.aligned_ratio == pytest.approx(advice.largest_ratio, rel=0.15)
    assert advice.alignment == "coordinates"
    assert advice.phase == 3
    assert "a bound, not a forecast" in advice.text
    assert advice.status == "bound, not forecast"


def test_dense_noise_does_not_and_sparse_noise_with_uniform_curvature_neither():
    dense = advise(*reports(ONES, ONES, signal=0.0))
    uniform = advise(*reports(SPARSE, ONES, signal=0.0))
    assert dense.verdict == uniform.verdict == "no advantage expected"
    assert uniform.aligned_ratio == pytest.approx(1, abs=1e-6)
    assert uniform.largest_ratio > 10  # teeth: the density alone would have said otherwise
    assert dense.text.startswith("Would a sign method help? No advantage expected.")


def test_anti_aligned_curvature_is_said_to_be_uncertain():
    flat = torch.where(SPARSE > 1, 1e-4, 1.0).double()
    advice = advise(*reports(SPARSE, flat, signal=0.0))
    assert advice.aligned_ratio < 0.5
    assert advice.verdict == "no advantage expected"
    assert "27 times" in advice.text


def test_without_smoothness_dense_noise_already_decides_and_sparse_noise_does_not():
    dense, _ = reports(ONES, ONES, signal=0.0)
    sparse, _ = reports(SPARSE, ONES, signal=0.0)
    assert advise(dense).verdict == "no advantage expected"
    assert advise(sparse).verdict == "undecided"
    assert math.isnan(advise(sparse).aligned_ratio)
    assert math.isnan(advise(sparse).predicted_ratio)
    assert "run measure.smoothness" in advise(sparse).text


def test_in_phase_one_the_noise_does_not_matter():
    noise, curved = reports(1e-4 * SPARSE, ONES, signal=1.0)
    advice = advise(noise, curved)
    assert advice.phase == 1
    assert advice.verdict == "no advantage expected"
    assert advice.noiseless_ratio == pytest.approx(1, rel=1e-6)
    assert "leave the rate of a sign method as it is" in advice.rule
    steep, flat = reports(1e-4 * ONES, torch.cat([ONES[:1], 1e-3 * ONES[:63]]), signal=1.0)
    assert advise(steep, flat).noiseless_ratio == pytest.approx(64 / 1.063, rel=1e-4)


def test_each_phase_is_judged_by_its_own_ratio():
    """Ratios under noise and without it on opposite sides of 4, in every phase."""
    noise, curved = reports(SPARSE, SPARSE**2 / 100, signal=0.0)

    def verdict(phase, *, grad_density=1.0, maximum=None, **changes):
        phases = type(noise.phases)(*(float(number == phase) for number in (1, 2, 3)))
        overall = dataclasses.replace(noise.overall, phases=phases, grad_density=grad_density, **changes)
        given = curved if maximum is None else dataclasses.replace(curved, maximum=maximum, crossfit=math.nan)
        return advise(dataclasses.replace(noise, overall=overall), given).verdict

    sharp, wide = curved.dim * curved.largest_eigenvalue / 64, curved.dim * curved.largest_eigenvalue
    assert verdict(3, maximum=wide) == "advantage expected"  # 64 under noise; without it 1
    assert verdict(1, maximum=wide) == "no advantage expected"
    assert verdict(2, maximum=wide) == "undecided"
    assert [verdict(phase, maximum=sharp) for phase in (1, 2, 3)] == ["advantage expected"] * 3
    assert verdict(1, maximum=sharp, grad_density=0.05) == "no advantage expected"  # 64 for an even gradient, here 3.2
    assert verdict(2, maximum=sharp, grad_density=0.05) == "undecided"


def test_without_smoothness_the_noise_decides_in_phase_three_alone_and_with_its_interval():
    dense, _ = reports(ONES, ONES, signal=0.0)
    assert advise(dense).verdict == "no advantage expected"
    first = dataclasses.replace(dense.overall, phases=type(dense.phases)(1.0, 0.0, 0.0))
    unsure = dataclasses.replace(dense.overall, density_low=0.2)
    for overall in (first, unsure):
        assert advise(dataclasses.replace(dense, overall=overall)).verdict == "undecided"


def test_the_rule_warns_when_the_new_batch_leaves_phase_three():
    noise, curved = reports(ONES, 0.4 * ONES, signal=1.0)
    stay, leave = advise(noise, curved, new_batch_size=5), advise(noise, curved, new_batch_size=4096)
    assert "should grow less" not in stay.rule
    assert "sqrt(1.25) = 1.12" in stay.rule
    assert "should grow less" in leave.rule


def test_rare_coordinates_leave_an_advantage_undecided():
    noise, curved = reports(SPARSE, SPARSE**2 / 100, signal=0.0)
    half = dataclasses.replace(noise.overall, never_seen=32)
    advice = advise(dataclasses.replace(noise, overall=half), curved)
    assert advice.verdict == "undecided"
    assert "at most one gradient" in advice.text


def test_other_reports_and_bad_arguments_are_refused():
    noise, curved = reports(ONES, ONES)
    other, _ = reports(ONES[:8], ONES[:8], dim=8)
    with pytest.raises(InvalidInput, match="different models"):
        advise(other, curved)
    with pytest.raises(InvalidInput, match="`accuracy`"):
        advise(noise, curved, accuracy=0)
    silent = dataclasses.replace(noise.overall, density=math.nan, sigma1=0.0)
    with pytest.raises(InvalidInput, match="no noise"):
        advise(dataclasses.replace(noise, overall=silent))


def test_a_mean_gradient_of_zero_leaves_no_accuracy_to_reach():
    gen = torch.Generator().manual_seed(0)
    half = [torch.randn(4, 8, generator=gen, dtype=torch.float64) for _ in range(8)]
    model = Separable(8)

    def loss(m, batch):
        return 0.5 * ((m.w - 0.01) ** 2).sum() + (batch @ m.w).mean() + 1

    batches = [sign * batch for batch in half for sign in (1, -1)]
    noise = gradient_noise(model, loss, batches, num_batches=16)
    noise = dataclasses.replace(noise, overall=dataclasses.replace(noise.overall, grad_l1=0.0))
    curved = smoothness(model, loss, batches, num_probes=2, num_restarts=1)
    advice = advise(noise, curved)
    assert math.isnan(advice.calls.sign)
    assert "Bounds on gradients until" not in advice.text
    with pytest.raises(InvalidInput, match="`accuracy`"):
        advise(noise, curved, accuracy=1e-200)


@pytest.mark.parametrize("wrong", [{"momentum": 1.0}, {"momentum": 1.5}, {"sigma1": 0.0}, {"batch_size": -1.0}])
def test_rates_that_do_not_exist_are_refused(wrong):
    with pytest.raises(InvalidInput, match=f"`{next(iter(wrong))}`"):
        matching_lr(0.1, **{"sigma1": 1.0, "sigma2": 1.0, "batch_size": 4.0, **wrong})


def test_bounds_on_calls_need_a_gap_above_zero():
    noise, curved = reports(ONES, ONES)
    below = dataclasses.replace(noise, loss=-1.0)
    assert "Bounds on gradients until" in advise(below, curved, gap=2.0).text
    advice = advise(below, curved)
    assert math.isnan(advice.predicted_ratio)
    assert "need `gap`" in advice.text
    assert advice.verdict == advise(noise, curved).verdict


def test_summary_is_json():
    noise, curved = reports(ONES, ONES)
    content = json.loads(json.dumps(advise(noise).summary(), allow_nan=False))
    assert content["aligned_ratio"] == "nan"
    full = advise(noise, curved)
    assert json.loads(json.dumps(full.summary(), allow_nan=False))["predicted_ratio"] == full.predicted_ratio


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3))
def test_the_aligned_ratio_is_at_most_one_over_the_density(seed, scale):
    gen = torch.Generator().manual_seed(seed)
    sigma, curved = torch.randn(2, 20, generator=gen, dtype=torch.float64).mul(1.5).exp()
    weight = torch.ones(20, dtype=torch.float64)
    phi = float(sigma.sum() ** 2 / (20 * (sigma**2).sum()))

    def aligned(noise, curvature, counts):
        return aligned_ratio(noise.tolist(), curvature.tolist(), weight=counts.tolist())

    ratio = aligned(sigma, curved, weight)
    assert ratio <= 1 / phi * (1 + 1e-12)
    assert aligned(sigma, sigma**2, weight) == pytest.approx(1 / phi)
    assert aligned(sigma, torch.ones(20).double(), weight) == pytest.approx(1)
    assert aligned(scale * sigma, curved / scale, weight) == pytest.approx(ratio)
    doubled = aligned(sigma.repeat(2), curved.repeat(2), weight.repeat(2))
    assert doubled == pytest.approx(aligned(sigma, curved, 2 * weight))


def test_constants_of_the_bounds():
    assert noisy_range(1 / 128) == pytest.approx((1, 1024))
    assert curvature_ratio(10, l2=3.0, linf=6.0) == 5
    calls = predicted_calls(accuracy=0.5, gap=2.0, linf=3.0, l2=0.7, dim=5, sigma1=4.0, sigma2=2.0, sigma_root_l=3.5)
    assert calls.sign == pytest.approx(32 * 16 * 3 * 2 / 0.5**4)
    assert calls.sgd == pytest.approx(2 * 5 * 0.7 * 2 / 0.25 + 8 * 5 * 2 * 3.5**2 / 0.0625)
    assert calls.sgd_any == pytest.approx(2 * 5 * 0.7 * 2 / 0.25 + 2 * 25 * 4 * 0.7 * 2 / 0.0625)
    quiet = predicted_calls(accuracy=0.5, gap=2.0, linf=3.0, l2=0.7, dim=5, sigma1=0.0, sigma2=0.0, sigma_root_l=0.0)
    assert quiet.sign == pytest.approx(8 * 3 * 2 / 0.25)


def test_matching_rates_settle_at_the_same_loss():
    """SGD and signSGD on a noisy quadratic: late losses agree at the matched rates, and only there."""
    sigma = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    sgd_lr, batch, runs = 0.01, 4, 400
    sign_lr = matching_lr(sgd_lr, sigma1=float(sigma.sum()), sigma2=float(sigma.norm()), batch_size=batch)
    assert matching_lr(
        sgd_lr / 10, momentum=0.9, sigma1=float(sigma.sum()), sigma2=float(sigma.norm()), batch_size=batch
    ) == pytest.approx(sign_lr)

    def late_loss(direction, lr):
        gen, w, total = torch.Generator().manual_seed(0), torch.zeros(runs, 4, dtype=torch.float64), []
        for step in range(1500):
            noise = sigma / batch**0.5 * torch.randn(runs, 4, generator=gen, dtype=torch.float64)
            w = w - lr * direction(w + noise)
            if step >= 700:
                total.append(0.5 * (w**2).sum(1).mean())
        return float(torch.stack(total).mean())

    by_sgd = late_loss(lambda g: g, sgd_lr)
    assert late_loss(torch.sign, sign_lr) == pytest.approx(by_sgd, rel=0.03)
    assert abs(late_loss(torch.sign, sgd_lr) / by_sgd - 1) > 0.3  # teeth
