"""Phases and loss bounds: constants, random quadratics never above a corrected bound, stated ones seen broken."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope.noise import as_noise
from signscope.problems.landscapes import Quadratic
from signscope.problems.oracle_noise import GaussianNoise
from signscope.sdes.loss_bounds import (
    BoundedLoss,
    chord_slope,
    law_chord,
    noisy_phase_one_bound,
    phase_one_bound,
    sgd_loss_bound,
    sign_loss_bound,
)
from signscope.sdes.moments import chain_law, chain_laws, expectations, gaussian_up, sgd_moments, signsgd_moments
from signscope.sdes.phases import phase_drift, phase_two_line, phase_two_spread, phases_of
from signscope.sdes.setting import Setting
from signscope.sdes.signsgd import SignSgdEquation

ROOT = math.sqrt(2)


def t64(value):
    return torch.tensor(value, dtype=torch.float64)


def test_printed_constants():
    line, in_z = phase_two_line(), phase_two_line("z")
    assert (line.slope, line.secant, line.tangent) == pytest.approx((0.246809, 0.595892, 0.614478), abs=5e-7)
    assert (in_z.slope, in_z.secant, in_z.tangent) == pytest.approx((0.367392, 0.315297, 0.329465), abs=5e-7)
    assert chord_slope(ROOT) == pytest.approx(0.595880, abs=1e-6)
    assert chord_slope(1.5 * ROOT) == pytest.approx(0.455426, abs=5e-7)
    assert chord_slope(1.0) == pytest.approx(0.682689, abs=5e-7)
    assert chord_slope(0.0) == pytest.approx(0.797885, abs=5e-7)
    assert law_chord("gaussian:1", ROOT) == pytest.approx(chord_slope(ROOT), rel=1e-9)
    assert law_chord("cauchy:0,1", 1.0) == pytest.approx(0.5)


def test_thresholds_belong_to_y_and_not_to_z():
    found = phases_of(t64([1.2, 1.45, 2.0, 2.2, -2.2, 0.0]), t64(1.0))
    assert found.phase.tolist() == [3, 2, 2, 1, 1, 3]
    assert found.shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert found.linear.tolist() == [True, False, False, False, False, True]  # 1.2 / sqrt 2 = 0.849 < 0.886
    with pytest.raises(InvalidInput, match="`std`"):
        phases_of(t64([1.0]), t64([0.0]))


def test_lines_of_phase_two_enclose_the_drift():
    for units, scale in (("Y", 1.0), ("z", ROOT)):
        line, y = phase_two_line(units), torch.linspace(1, 1.5, 201, dtype=torch.float64)
        curve = torch.erf(y / scale)
        assert bool((line.slope * y + line.secant <= curve + 1e-15).all())
        assert bool((curve <= line.slope * y + line.tangent + 1e-15).all())
        assert float((line.slope * y + line.tangent - curve).min()) < 1e-6


def test_errors_of_the_pieces_are_the_printed_ones():
    y = t64([0.25, 0.5, 0.75, 0.9999, 1.2, 1.6])
    drift, variance = phase_drift(y * ROOT, t64(1.0))
    over = drift / torch.erf(y) - 1
    torch.testing.assert_close(over[:4], t64([0.021, 0.084, 0.19, 0.339]), rtol=0, atol=1.5e-3)
    assert float(over[4].abs()) < 0.03
    assert 0 < float(over[5]) < 0.035
    assert float(variance[3]) < 0 < float(variance[1])


def test_spread_in_phase_two_by_the_chain():
    lr, steps, start = 0.002, 50, 1.3 * ROOT
    x, p = chain_law(start, gaussian_up(1, 1), lr=lr, num_steps=steps)
    mean = float((p * x).sum())
    variance, bound = float((p * (x - mean) ** 2).sum()), phase_two_spread(lr * steps, lr=lr, dim=1)
    assert 0.2 * bound < variance <= bound
    assert variance > phase_two_spread(lr, lr=lr, dim=1)  # without the factor t it would be wrong


def problem_1d(*, start, lr, mu=1.0, std=1.0):
    matrix = t64([[mu]])
    return BoundedLoss.of_quadratic(matrix, t64([[std**2]]), t64([start]), lr=lr)


def sde_loss(start, lr, time):
    """Mean loss of the true SDE, h = sigma = 1, by its backward equation."""
    equation = SignSgdEquation(Setting(Quadratic([1.0]), GaussianNoise(1, std=1.0), lr))

    def drift(x):
        return equation.coefficients(0.0, x[:, None])[0][:, 0]

    def variance(x):
        return equation.coefficients(0.0, x[:, None])[1](torch.ones_like(x)[:, None])[:, 0].square()

    return 0.5 * float(expectations(drift, variance, [lambda x: x * x], start, horizon=time, points=1001, steps=200))


@pytest.mark.parametrize("time", [0.5, 1.0, 2.0])
def test_the_stated_bound_of_phase_three_is_broken_and_the_corrected_one_holds(time):
    start, lr = 0.95 * ROOT, 0.001
    problem = problem_1d(start=start, lr=lr)
    stated = sign_loss_bound(problem, time, form="stated phase 3")
    corrected = sign_loss_bound(problem, time, largest_ratio=1.0)
    x, p = chain_law(start, gaussian_up(1, 1), lr=lr, num_steps=round(time / lr))
    runs, model = 0.5 * float((p * x * x).sum()), sde_loss(start, lr, time)
    assert stated.holds is False
    for loss in (runs, model):
        assert loss > 1.05 * float(stated.value)
        assert loss < float(corrected.value)
    assert corrected.holds is None
    assert "assumed: every |Y| at most 1" in str(corrected)
    assert "NOT a bound here" in str(stated)


def linearised_loss(start, lr, times):
    """Of the SDE with drift sqrt(2/pi) z and variance lr (1 - 2 z^2 / pi), h = sigma = 1: E x^2 in closed form."""
    rate = 2 * math.sqrt(2 / math.pi) + lr * 2 / math.pi
    return 0.5 * (start**2 * torch.exp(-rate * times) + lr / rate * -torch.expm1(-rate * times))


def test_the_stated_bound_holds_for_the_linearised_sde():
    times = torch.linspace(0, 4, 20, dtype=torch.float64)
    problem = problem_1d(start=0.9, lr=0.05)
    bound = sign_loss_bound(problem, times, form="stated phase 3").value
    assert bool((linearised_loss(0.9, 0.05, times) <= bound * (1 + 1e-12)).all())


def quadratic(seed, dim):
    gen = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=gen, dtype=torch.float64))[0]
    values = 10 ** (1.4 * torch.rand(dim, generator=gen, dtype=torch.float64))
    hessian = basis @ torch.diag(values) @ basis.T
    std = 0.5 + torch.rand(dim, generator=gen, dtype=torch.float64)
    start = torch.randn(dim, generator=gen, dtype=torch.float64)
    return 0.5 * (hessian + hessian.T), std, start


def largest_over(hessian, std, mean, spread):
    """|Y| that a Gaussian position stays below but for 1 in 1e6."""
    total = (hessian @ spread @ hessian).diagonal().clamp(min=0).sqrt()
    return float((((hessian @ mean).abs() + 5 * total) / std).max()) / ROOT


@pytest.mark.parametrize("seed", range(12))
def test_the_corrected_bound_is_not_exceeded_on_random_quadratics(seed):
    hessian, std, start = quadratic(seed, 2 + seed % 4)
    start = start * 0.9 * ROOT / float((hessian @ start / std).abs().max())
    lr, cov = 0.002, torch.diag(std.square())
    problem = BoundedLoss.of_quadratic(hessian, cov, start, lr=lr)
    seen = []
    largest = 0.0
    for mean, spread in itertools.islice(signsgd_moments(hessian, cov, start, itertools.repeat((lr, 1.0))), 301):
        largest = max(largest, largest_over(hessian, std, mean, spread))
        seen.append(float(0.5 * (mean @ hessian @ mean + (hessian * spread).sum())))
    times = lr * torch.arange(301, dtype=torch.float64)
    bound = sign_loss_bound(problem, times, largest_ratio=largest)
    assert bool((t64(seen) <= bound.value * (1 + 1e-12)).all())
    assert problem.is_diagonal


def test_the_bound_of_phase_two_holds_inside_it_and_is_weaker_than_the_chord():
    start, lr, steps = 1.45 * ROOT, 0.001, 300
    problem = problem_1d(start=start, lr=lr)
    times = lr * torch.arange(0, steps + 1, 50, dtype=torch.float64)
    weak = sign_loss_bound(problem, times, form="stated phase 2", largest_ratio=1.5)
    chord = sign_loss_bound(problem, times, largest_ratio=1.5)
    laws = list(itertools.islice(chain_laws(start, gaussian_up(1, 1), lr=lr, num_steps=steps), 0, None, 50))
    losses = t64([0.5 * float((p * x * x).sum()) for x, p in laws])
    assert bool((losses <= chord.value * (1 + 1e-12)).all())
    assert bool((chord.value <= weak.value).all())
    assert sign_loss_bound(problem, 1.0, form="stated phase 2", largest_ratio=2.0).holds is False


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["sharp", "stated"]))
def test_the_flow_of_signs_is_below_both_bounds_of_phase_one(seed, form):
    hessian, std, start = quadratic(seed, 3)
    hessian = torch.diag(hessian.diagonal())  # separable: the flow is known, each coordinate walks at speed 1
    problem = BoundedLoss.of_quadratic(hessian, torch.diag(std**2), start, lr=1e-9)
    times = torch.linspace(0, 1.2 * float(start.abs().max()), 30, dtype=torch.float64)
    at = torch.sign(start) * (start.abs() - times[:, None]).clamp(min=0)
    losses = 0.5 * (at.square() * hessian.diagonal()).sum(1)
    bound = phase_one_bound(problem, times, form=form)
    assert bool((losses <= bound.value + 1e-12).all())
    assert bool((phase_one_bound(problem, times).value <= bound.value + 1e-12).all())


def test_phase_one_is_sharp_in_one_dimension_and_says_what_it_needs():
    problem = problem_1d(start=10.0, lr=0.01)
    assert float(phase_one_bound(problem, 4.0).value) == pytest.approx(0.5 * 6.0**2)
    assert float(phase_one_bound(problem, 10.1).value) == 0
    assert phase_one_bound(problem, 1.0, smallest_ratio=1.2).holds is False
    assert phase_one_bound(problem, 1.0, smallest_ratio=1.7).holds is None


def test_phase_one_with_noise_by_the_chain():
    start, lr, floor = 6.0, 0.01, 0.5 * 3.5**2
    problem = problem_1d(start=start, lr=lr)
    for steps in (50, 200):
        x, p = chain_law(start, gaussian_up(1, 1), lr=lr, num_steps=steps)
        assert float(p[x < 3.5].sum()) < 1e-9
        root = float((p * x.abs()).sum()) * math.sqrt(0.5)
        assert root**2 <= float(noisy_phase_one_bound(problem, lr * steps, floor=floor).value)


@pytest.mark.parametrize("seed", range(10))
def test_sgd_and_its_bounds(seed):
    hessian, std, start = quadratic(seed, 3)
    cov = torch.diag(std**2)
    lr = 0.3 / float(torch.linalg.eigvalsh(hessian)[-1])
    problem = BoundedLoss.of_quadratic(hessian, cov, start, lr=lr)
    moments = itertools.islice(sgd_moments(hessian, cov, start, itertools.repeat((lr, 1.0))), 200)
    losses = t64([float(0.5 * (m @ hessian @ m + (hessian * s).sum())) for m, s in moments])
    bound = sgd_loss_bound(problem, lr * torch.arange(200, dtype=torch.float64))
    assert bool((losses <= bound.value * (1 + 1e-9)).all())


def test_the_bound_for_the_sde_is_exceeded_by_sgd_itself():
    lr = 0.3
    problem = problem_1d(start=0.1, lr=lr)
    level = lr**2 / (2 * (1 - (1 - lr) ** 2))
    late = torch.tensor([40.0], dtype=torch.float64)
    assert level > 1.1 * float(sgd_loss_bound(problem, late, form="sde").value)
    assert level <= float(sgd_loss_bound(problem, late).value) * (1 + 1e-9)
    assert sgd_loss_bound(problem_1d(start=1.0, lr=2.5), late).holds is False


def test_other_noise_has_its_own_slope():
    slope = law_chord("student-t:2", 1.0)
    problem = BoundedLoss(gap=0.5, mu=1.0, trace=1.0, std_max=1.0, lr=0.01)
    bound = sign_loss_bound(problem, [0.0, 1.0], slope=slope)
    assert float(bound.value[0]) == 0.5
    assert f"at least {slope:.4g} z" in str(bound)


SKEWED = [("gaussian:0.3,0.3", "0.683"), ("cauchy:2,1", "0.705"), ([-1.0, 0.2, 0.5], "0.333")]


@pytest.mark.parametrize(("law", "at_rest"), [*SKEWED, (scipy.stats.expon(-1), "-0.264")])
def test_noise_whose_median_is_not_0_has_no_chord(law, at_rest):
    """At a gradient just above 0 the sign is mostly minus: no positive kappa bounds the drift from below."""
    drift = float(np.sign(as_noise(law).sample((200_000,), np.random.default_rng(0))).mean())
    assert drift == pytest.approx(float(at_rest), abs=0.01)
    with pytest.raises(InvalidInput, match=f"median of `law` must be 0.* has a mean sign of {at_rest}"):
        law_chord(law, 1.0)


@pytest.mark.parametrize(
    "law", [scipy.stats.expon(-math.log(2)), "laplace:1", "rademacher:0.5", [-1.0, -0.2, 0.2, 3.0]]
)
def test_the_chord_of_a_law_is_the_least_slope_of_its_mean_sign(law):
    noise = as_noise(law)
    y = torch.linspace(-1.5, 1.5, 6002, dtype=torch.float64)
    slopes = (1 - noise.cdf(-y) - noise.cdf(torch.nextafter(-y, -y - 1))) / y
    assert law_chord(law, 1.5) == pytest.approx(float(slopes.min()), abs=2e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: sign_loss_bound(p, 1.0), "`largest_ratio`"),
        (lambda p: sign_loss_bound(p, -1.0, largest_ratio=1.0), "`time`"),
        (lambda p: sign_loss_bound(p, 1.0, largest_ratio=1.0, form="other"), "`form`"),
        (lambda p: sign_loss_bound(p, 1.0, slope=-1.0), "`slope`"),
        (lambda p: sgd_loss_bound(p, 1.0), "`smoothness`"),
        (lambda p: noisy_phase_one_bound(p, 1.0, floor=0.0), "`floor`"),
        (lambda p: BoundedLoss(gap=1, mu=1, trace=2, std_max=1, lr=0.1, dim=3), "`trace`"),
        (lambda p: BoundedLoss(gap=1, mu=1, trace=1, std_max=1, lr=1, smoothness=0.5), "`smoothness`"),
        (lambda p: BoundedLoss(gap=1, mu=0, trace=2, std_max=1, lr=0.1), "`mu`"),
        (lambda p: BoundedLoss(gap=math.nan, mu=1, trace=2, std_max=1, lr=0.1), "`gap`"),
        (lambda p: phase_two_line("x"), "`units`"),
        (lambda p: law_chord("cauchy:0,1", 0.0), "`largest_ratio`"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call(BoundedLoss(gap=0.5, mu=1.0, trace=1.0, std_max=1.0, lr=0.01))


def test_correlated_noise_is_said():
    cov = t64([[1.0, 0.5], [0.5, 1.0]])
    problem = BoundedLoss.of_quadratic(torch.eye(2).double(), cov, t64([0.1, 0.1]), lr=0.01)
    bound = sign_loss_bound(problem, 1.0, largest_ratio=0.5)
    assert bound.holds is False
    assert "NOT met: uncorrelated noise" in str(bound)
