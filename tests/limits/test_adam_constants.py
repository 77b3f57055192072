"""Adam's constants against the published table, literal quadrature, and streams of scalar gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope import InvalidInput, Unsupported
from signscope.limits.adam_constants import AdamMoments, gaussian_constants, reliable
from signscope.noise import Discrete, NoiseLaw, as_noise


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def moments(noise, betas, *risks, batch_size=1):
    found = AdamMoments(as_noise(noise), betas=betas, batch_size=batch_size)(tensor(*risks))
    return [m.numpy() for m in found]


# ---------------------------------------------------------------- the published values


@pytest.mark.parametrize(
    ("beta2", "c1", "c2", "c3"),
    [
        (0.5, 0.68940, 0.55800, 0.66662),
        (0.8, 0.79816, 0.68386, 0.75096),
        (0.9, 0.86599, 0.77794, 0.82270),
        (0.95, 0.91680, 0.85577, 0.88353),
        (0.99, 0.97788, 0.95915, 0.96623),  # c2: the literal double integral gives .95915 as well
    ],
)
def test_gaussian_constants_match_the_table(beta2, c1, c2, c3):
    assert gaussian_constants((0.0, beta2)) == pytest.approx((c1, c2, c3), abs=6e-6)


@pytest.mark.parametrize(("beta2", "expected"), [(0.8, (0.75064, 0.63879)), (0.9, (0.83602, 0.77397))])
def test_rademacher_slopes_match_the_published_values(beta2, expected):
    risk = np.array([0.1, 0.02])
    slope, _, _ = moments("rademacher:0.5", (0.0, beta2), *risk)
    assert slope * np.sqrt(2 * risk + 0.25) == pytest.approx(expected, abs=1e-5)


def test_cauchy_needs_no_variance():
    slope, _, _ = moments("cauchy:2,1", (0.0, 0.9), 0.1, 0.02)
    assert slope == pytest.approx([0.1475, 0.1482], abs=5e-5)


def test_batch_of_three_matches_the_published_value():
    slope, _, _ = moments(0.3, (0.0, 0.8), 0.1, batch_size=3)
    assert slope == pytest.approx(2.778, abs=5e-4)


# ---------------------------------------------------------------- literal quadrature of (9.2)-(9.4)


def literal(law: NoiseLaw, risk: float, beta2: float, *, published: bool = True) -> tuple[float, float, float]:
    """(9.2)-(9.4) typed as printed: densities on a grid of residuals, one factor after another.

    ``published=False`` puts r0 for zeta0, the mistake that (9.2) warns of.
    """
    t = torch.arange(-28, 24, 0.06, dtype=torch.float64)
    r = torch.cat([-torch.exp(t).flip(0), torch.exp(t)]).requires_grad_()
    density = law.residual_density(r, tensor(risk))
    (falls,) = torch.autograd.grad(density.sum(), r)
    x, p, dp = r.detach().numpy(), density.detach().numpy(), falls.numpy()
    mass = p * np.abs(x) * 0.06
    pull = -x * dp * np.abs(x) * 0.06 if published else mass * x**2 / (2 * risk + law.second_moment)
    u = np.exp(np.arange(-16, 9, 0.15))
    du, weight, steps = u * 0.15, 1 - beta2, math.ceil(45 / -math.log(beta2))
    log_one, log_two = np.zeros(len(u)), np.zeros((len(u), len(u)))
    for j in range(1, steps):
        half = (1 + 2 * u[:, None] ** 2 * weight * beta2**j * x**2) ** -0.5
        log_one += np.log((half * mass).sum(1))
        log_two += np.log((half * mass) @ half.T)
    newest = (1 + 2 * u[:, None] ** 2 * weight * x**2) ** -1.5
    slope = 2 / math.sqrt(math.pi) * (newest @ pull * np.exp(log_one) * du).sum()
    c3 = 2 * (newest @ (mass * x**2) * np.exp(log_one) * u * du).sum()
    c2 = 4 / math.pi * ((newest * (mass * x**2)) @ newest.T * np.exp(log_two) * du[:, None] * du).sum()
    return slope, c2, c3


@pytest.mark.parametrize("noise", [0.3, "rademacher:0.5", "student-t:3,0.5", "cauchy:2,1"])
@pytest.mark.parametrize(("risk", "beta2"), [(0.1, 0.3), (0.02, 0.6)])
def test_constants_are_the_published_integrals(noise, risk, beta2):
    law = as_noise(noise)
    found = [float(m[0]) for m in moments(law, (0.0, beta2), risk)]
    assert found == pytest.approx(literal(law, risk, beta2), rel=1e-5)
    if noise == "rademacher:0.5":  # teeth: the residual in place of the signal
        wrong, _, _ = literal(law, risk, beta2, published=False)
        assert wrong > 1.05 * found[0]


# ---------------------------------------------------------------- streams of scalar gradients


def stream(noise, betas, risk, *, batch_size=1, runs=20_000, burn=40, margin=30, steps=60, seed=0):
    """Samples of the slope, c2 and c3 from Adam's update on correlated scalar gradients.

    Pairs with correlation +-h share all random numbers; the errors of order h^2 are part of the tolerance. The
    inner window pairs with an outer one that is longer by ``margin`` lags on either side.
    """
    law, (beta1, beta2), rng = as_noise(noise), betas, np.random.default_rng(seed)
    tilt, corr = 0.02, 0.1
    first, second, inner, outer = (np.zeros((5, runs)) for _ in range(4))
    for k in range(burn + steps + 2 * margin):
        z, x, y = rng.standard_normal((3, batch_size, runs))
        r = math.sqrt(2 * risk) * z - law.sample((batch_size, runs), rng)
        lean, across = math.sqrt(1 - tilt**2) * x, math.sqrt(1 - corr**2) * y
        coordinates = np.stack([lean + tilt * z, lean - tilt * z, x, across + corr * x, across - corr * x])
        g = (r * coordinates).sum(1)
        first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g**2
        u = first / np.sqrt(second)
        outer += u * (k >= burn)
        inner += u * (burn + margin <= k < burn + margin + steps)
    slope = (inner[0] - inner[1]) / (2 * tilt * math.sqrt(2 * risk) * steps)
    shared = outer[2] * (inner[3] - inner[4]) / (2 * corr * steps)
    return np.stack([slope, shared, outer[2] * inner[2] / steps], axis=1)


def assert_mean_close(samples, expected, *, z=4.5, bias=0.0):
    stderr = samples.std(0) / len(samples) ** 0.5
    gap = np.abs(samples.mean(0) - expected)
    assert (gap <= z * stderr + bias * np.abs(expected)).all(), f"off by {gap / stderr} standard errors"
    return stderr


STREAMS = [
    (0.3, (0.0, 0.8), 0.1, 3),
    ("rademacher:0.5", (0.0, 0.8), 0.02, 1),
    (0.3, (0.8, 0.5), 0.1, 1),
    ("rademacher:0.5", (0.8, 0.9), 0.02, 2),
    ("cauchy:2,1", (0.8, 0.9), 0.1, 1),
]


@pytest.mark.parametrize(("noise", "betas", "risk", "batch_size"), STREAMS)
def test_constants_are_what_a_stream_of_gradients_shows(noise, betas, risk, batch_size):
    samples = stream(noise, betas, risk, batch_size=batch_size)
    found = np.array([m[0] for m in moments(noise, betas, risk, batch_size=batch_size)])
    assert_mean_close(samples, found, bias=0.005)
    if betas[0] > 0:  # teeth: the constants without momentum are caught
        still = np.array([m[0] for m in moments(noise, (0.0, betas[1]), risk, batch_size=batch_size)])
        with pytest.raises(AssertionError, match="standard errors"):
            assert_mean_close(samples, still, bias=0.005)
    elif batch_size == 1:  # teeth: the residual in place of the signal is caught
        wrong = np.array([literal(as_noise(noise), risk, betas[1], published=False)[0], *found[1:]])
        with pytest.raises(AssertionError, match="standard errors"):
            assert_mean_close(samples, wrong, bias=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "betas", "risk", "batch_size"), [*STREAMS, (0.3, (0.9, 0.95), 0.1, 1)])
def test_constants_are_what_a_long_stream_shows(noise, betas, risk, batch_size):
    samples = stream(noise, betas, risk, batch_size=batch_size, runs=100_000, burn=100, margin=80, steps=160, seed=1)
    found = np.array([m[0] for m in moments(noise, betas, risk, batch_size=batch_size)])
    stderr = assert_mean_close(samples, found, bias=0.005)
    assert (stderr < 0.01 * found).all()


# ---------------------------------------------------------------- limits and invariances

LAWS = ["rademacher:0.5", "laplace:0.4", "cauchy:2,1", "uniform:0.8", "gaussian:0.3,0.5"]


@pytest.mark.parametrize("noise", [*LAWS, 0.5])
@pytest.mark.parametrize("batch_size", [1, 2, 20])
def test_without_memory_it_is_the_sign(noise, batch_size):
    law, risk = as_noise(noise), tensor(0.05, 0.3, 4.0)
    now = AdamMoments(law, betas=(0.0, 0.0), batch_size=batch_size)(risk)
    soon = AdamMoments(law, betas=(0.0, 1e-10), batch_size=batch_size)(risk)
    assert torch.equal(now[0], law.phi(risk, batch_size=batch_size))
    for index, tolerance in enumerate((2e-5, 3e-4, 3e-4)):  # approached like sqrt(beta2), by the slope faster
        torch.testing.assert_close(soon[index], now[index], rtol=tolerance, atol=0)


@pytest.mark.parametrize("noise", ["rademacher:0.5", "laplace:0.4", 0.5])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_with_endless_memory_it_is_the_classical_limit(noise, beta1):
    law = as_noise(noise)
    slope, c2, c3 = AdamMoments(law, betas=(beta1, 1 - 1e-6))(tensor(0.1, 1.0))
    assert (slope * torch.sqrt(tensor(0.2, 2.0) + law.second_moment)).numpy() == pytest.approx(1, abs=1e-5)
    assert torch.stack([c2, c3]).numpy() == pytest.approx(1, abs=2e-5)


@pytest.mark.parametrize("noise", ["rademacher:0.5", "cauchy:2,1", 0.5])
@pytest.mark.parametrize("beta2", [0.5, 0.9, 0.99])
def test_vanishing_momentum_changes_nothing(noise, beta2):
    for still, moving in zip(moments(noise, (0.0, beta2), 0.1), moments(noise, (1e-9, beta2), 0.1), strict=True):
        assert moving == pytest.approx(still, rel=2e-7)


def test_table_route_agrees_with_the_closed_gaussian_one():
    mixed = as_noise("gaussian:0.5")
    table = AdamMoments(mixed, betas=(0.5, 0.9), batch_size=2)
    closed = table(tensor(1e-3, 0.1, 10.0))
    table.is_gaussian = False
    for one, other in zip(table(tensor(1e-3, 0.1, 10.0)), closed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=0)


@settings(deadline=None, max_examples=5)
@given(st.floats(-9, 9), st.sampled_from([0.6, 0.97]), st.integers(1, 5))
def test_scale_of_the_data_cancels(log_factor, beta2, batch_size):
    factor = math.exp(log_factor)
    base = moments("cauchy:2,1", (0.0, beta2), 0.1, batch_size=batch_size)
    scaled = moments(f"cauchy:{2 * factor},{factor}", (0.0, beta2), 0.1 * factor**2, batch_size=batch_size)
    for one, other, tolerance in zip(base, (scaled[0] * factor, *scaled[1:]), (1e-8, 1e-6, 1e-6), strict=True):
        assert other == pytest.approx(one, rel=tolerance)


@pytest.mark.parametrize("noise", LAWS)
def test_shared_part_is_below_the_variance(noise):
    risk = np.logspace(-9, 6, 40)
    slope, c2, c3 = moments(noise, (0.0, 0.8), *risk)
    assert (slope > 0).all()
    assert ((c2 > 0) & (c2 < c3) & (c3 < 1 / (1 - 0.8))).all()
    if "cauchy" not in noise:  # risk above noise: Gaussian residuals
        expected = gaussian_constants((0.0, 0.8))
        assert (slope[-1] * math.sqrt(2 * risk[-1]), c2[-1], c3[-1]) == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------- as a function of the risk


@pytest.mark.parametrize("betas", [(0.0, 0.0), (0.0, 0.8), (0.9, 0.95)])
@pytest.mark.parametrize("noise", ["laplace:0.4", 0.5])
def test_moments_are_differentiable(noise, betas):
    table = AdamMoments(as_noise(noise), betas=betas)
    risk = tensor(0.01, 0.3, 2.0).requires_grad_()
    for index in range(3):
        value = table(risk)[index]
        (slope,) = torch.autograd.grad(value.sum() + 0 * risk.sum(), risk)
        step = 1e-4 * risk.detach()
        rise = table(risk.detach() + step)[index] - table(risk.detach() - step)[index]
        torch.testing.assert_close(slope, rise / (2 * step), rtol=1e-4, atol=1e-6)


def test_slope_is_smooth_between_panels():
    table = AdamMoments(as_noise("rademacher:0.5"), betas=(0.0, 0.5))
    edges = torch.exp(torch.arange(-6.0, 2.0, dtype=torch.float64))
    for below, above, tolerance in zip(table(edges * (1 - 1e-12)), table(edges), (1e-9, 1e-5, 1e-5), strict=True):
        torch.testing.assert_close(below, above, rtol=tolerance, atol=0)


def test_values_do_not_depend_on_the_order_of_questions():
    law = as_noise("laplace:0.4")
    forth, back = AdamMoments(law, betas=(0.0, 0.9)), AdamMoments(law, betas=(0.0, 0.9))
    risks = tensor(1e-4, 0.03, 5.0)
    apart = [back(r) for r in (risks[1], risks[2], risks[0])]
    for whole, *parts in zip(forth(risks), apart[2], apart[0], apart[1], strict=True):
        torch.testing.assert_close(whole, torch.stack(parts), rtol=1e-12, atol=0)


@pytest.mark.parametrize("noise", ["laplace:0.4", 0.5])
def test_shapes_zero_and_nan(noise):
    table = AdamMoments(as_noise(noise), betas=(0.0, 0.9))
    assert all(m.shape == (2, 3) for m in table(torch.full((2, 3), 0.1, dtype=torch.float64)))
    assert all(m.shape == () for m in table(torch.tensor(0.1)))
    assert all(bool(torch.isfinite(m)) for m in table(torch.tensor(0.0)))
    assert bool(torch.isnan(table(torch.tensor(math.nan))[0]))
    slope, _, _ = table(tensor(0.1, math.nan))
    assert torch.isfinite(slope).tolist() == [True, False]


def test_far_beyond_the_noise_the_slope_falls_as_the_root():
    table = AdamMoments(as_noise("laplace:0.4"), betas=(0.0, 0.9))
    slope, _, _ = table(tensor(1e12, 1e20))
    assert float(slope[0] / slope[1]) == pytest.approx(1e4, rel=1e-6)


def test_atoms_at_zero_make_the_slope_grow():
    law = Discrete(tensor(0.0, 1.0), tensor(0.9, 0.1))
    slope, _, _ = AdamMoments(law, betas=(0.0, 0.5))(tensor(1e-10, 1e-8))
    assert float(slope[0]) > 2 * float(slope[1])


# ---------------------------------------------------------------- what is refused, what is reported


@pytest.mark.parametrize("betas", [(0.9, 1.0), (-0.1, 0.9), (0.9,), (0.0, math.nan)])
def test_bad_betas_are_named(betas):
    with pytest.raises(InvalidInput, match="betas"):
        AdamMoments(as_noise(0.5), betas=betas)


def test_bad_batch_size_is_named():
    with pytest.raises(InvalidInput, match="batch_size"):
        AdamMoments(as_noise(0.5), betas=(0.0, 0.9), batch_size=0)


def test_directions_without_variance_are_refused():
    with pytest.raises(Unsupported, match="no variance"):
        AdamMoments(as_noise(0.5), betas=(0.9, 0.0))
    with pytest.raises(Unsupported, match="cauchy:2,1"):
        AdamMoments(as_noise("cauchy:2,1"), betas=(0.9, 0.8))
    AdamMoments(as_noise("cauchy:2,1"), betas=(0.9, 0.82))
    AdamMoments(as_noise(0.5), betas=(0.9, 0.5))


def test_reliable_says_why_not():
    assert reliable((0.9, 0.999), 500) == (True, "")
    assert reliable((0.0, 0.5), 4) == (True, "")
    assert reliable((0.9, 0.5), 500) == (True, "")  # the momentum correction is exact
    ok, why = reliable((0.9, 0.999), 61)
    assert not ok
    assert "10 steps" in why
    assert "61" in why
    assert not reliable((0.9, 0.0), 5000)[0]
