"""phi_B against independent integrals, its limits and its extremes."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from noise.catalogue import BY_NAME, ROWS, t
from signscope._core.errors import InvalidInput
from signscope.noise import (
    Discrete,
    Empirical,
    Gaussian,
    Laplace,
    NoiseLaw,
    NoNoise,
    Rademacher,
    Stable,
    Uniform,
    as_noise,
    batch_factor,
)
from signscope.noise.slope import phi_batch

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def brute_force(law: NoiseLaw, risk: float, size: int) -> float:
    """(2.2) as printed, in u = e^s, by adaptive quadrature."""

    def integrand(s: float) -> float:
        u2 = math.exp(2 * s)
        spread = 1 + 4 * risk * u2
        return math.exp(s) * (float(law.m(t(u2 / spread))) / math.sqrt(spread)) ** size

    pieces = [scipy.integrate.quad(integrand, a, a + 4, epsabs=0, epsrel=1e-10)[0] for a in range(-60, 40, 4)]
    return math.sqrt(2 / math.pi) * (size - 1) * 2 / math.sqrt(math.pi) * math.fsum(pieces)


NAMES = ["cauchy-shifted", "laplace", "uniform", "stable-0.6", "gamma", "discrete", "pareto"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("risk", "size"), [(1e-4, 2), (0.1, 3), (5.0, 40)])
def test_batches_match_the_printed_integral(name, risk, size):
    law = BY_NAME[name].law
    assert float(law.phi(t(risk), batch_size=size)) == pytest.approx(brute_force(law, risk, size), rel=1e-8)


@pytest.mark.parametrize("size", [2, 3])
def test_batches_match_the_average_over_the_sphere(size):
    values, weights, risk = (-1.0, 0.4, 0.9), (0.3, 0.5, 0.2), 0.07
    angle = (np.arange(4000) + 0.5) * np.pi / 4000
    if size == 2:
        points, density = np.stack([np.cos(2 * angle), np.sin(2 * angle)]), np.full(4000, 1 / 4000)
    else:
        around = (np.arange(64) + 0.5) * 2 * np.pi / 64
        polar = np.cos(angle)[:, None] + 0 * around
        flat = np.sin(angle)[:, None]
        points = np.stack([polar, flat * np.cos(around), flat * np.sin(around)]).reshape(3, -1)
        density = (flat / flat.sum() / 64 + 0 * around).ravel()
    mean = 0.0
    for combo in itertools.product(range(3), repeat=size):
        inner = sum(values[k] * points[i] for i, k in enumerate(combo))
        chance = math.prod(weights[k] for k in combo)
        mean += chance * float((np.exp(-(inner**2) / (4 * risk)) * density).sum())
    expected = batch_factor(size) * 2 / (math.pi * math.sqrt(2 * risk)) * mean
    law = Discrete(t(*values), t(*weights))
    assert float(law.phi(t(risk), batch_size=size)) == pytest.approx(expected, rel=1e-6)
    assert float(law.phi(t(risk))) != pytest.approx(expected, rel=0.1)  # teeth: the batch matters


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 10_000])
def test_general_integral_gives_the_gaussian_closed_form(size):
    risk = torch.logspace(-12, 6, 19, dtype=torch.float64)
    for std in (1e-6, 0.5, 1e4):
        law = Gaussian(std)
        closed = batch_factor(size) * 2 / (math.pi * torch.sqrt(2 * risk + std**2))
        torch.testing.assert_close(law.phi(risk, batch_size=size), closed, rtol=1e-12, atol=0)
        general = super(Gaussian, law)._phi(risk, size)
        torch.testing.assert_close(general, closed, rtol=1e-10, atol=0)
    bare = phi_batch(torch.ones_like, risk, batch_size=max(size, 2), knee=math.inf)
    torch.testing.assert_close(bare, NoNoise().phi(risk, batch_size=max(size, 2)), rtol=1e-10, atol=0)


@rows
@pytest.mark.parametrize("size", [1, 2, 5, 10_000])
def test_extremes_are_finite_positive_and_tend_to_the_limits(row, size):
    risk = torch.logspace(-12, 6, 37, dtype=torch.float64)
    phi = row.law.phi(risk, batch_size=size)
    assert torch.isfinite(phi).all()
    assert (phi >= 0).all()
    assert (phi <= NoNoise().phi(risk, batch_size=size) * (1 + 1e-9)).all()
    if row.moment_limit > 2 and size < 10_000:  # far above the noise it no longer matters
        assert float(phi[-1] / NoNoise().phi(risk[-1:], batch_size=size)) == pytest.approx(1, abs=1e-4)
    at_zero = float(row.law.phi(t(0), batch_size=size))
    if math.isfinite(row.density_at_zero):
        near = float(row.law.phi(t(1e-12), batch_size=size))
        assert near == pytest.approx(at_zero, rel=1e-4, abs=1e-12)


@rows
def test_limit_at_zero_risk(row):
    expected = 2 * math.sqrt(2 / math.pi) * row.law.density_at_zero
    assert float(row.law.phi(t(0))) == pytest.approx(expected)
    assert torch.isnan(row.law.phi(t(math.nan, 0.1))).tolist() == [True, False]


@pytest.mark.parametrize("size", [2, 5])
def test_limit_of_batches_is_the_density_of_a_random_projection(size):
    rng = np.random.default_rng(0)
    angles = rng.normal(size=(400_000, size))
    angles /= np.linalg.norm(angles, axis=1, keepdims=True)
    projected = (rng.uniform(-0.8, 0.8, angles.shape) * angles).sum(1)
    seen = np.abs(projected) < 0.02
    density, stderr = seen.mean() / 0.04, seen.std() / 0.04 / len(seen) ** 0.5
    unit = batch_factor(size) * 2 * math.sqrt(2 / math.pi)
    limit = float(Uniform(0.8).phi(t(0), batch_size=size))
    assert abs(limit - unit * density) < unit * (4.5 * stderr + 1e-3)


def test_singular_densities_and_atoms_have_infinite_limits():
    assert as_noise("scipy:gamma,0.4").phi(t(0), batch_size=2) == math.inf
    assert math.isfinite(as_noise("scipy:gamma,0.4").phi(t(0), batch_size=3))
    assert math.isfinite(as_noise("scipy:gamma,0.6").phi(t(0), batch_size=2))
    assert Discrete(t(0, 1), t(0.01, 0.99)).phi(t(0), batch_size=50) == math.inf


def test_heavy_tails_with_large_batches():
    law = Stable(0.3, 5.0)
    assert float(law.phi(t(1e-3), batch_size=100)) == pytest.approx(brute_force(law, 1e-3, 100), rel=1e-7)


def test_many_atoms_use_a_table_of_m_with_no_loss():
    sample = torch.from_numpy(np.random.default_rng(1).laplace(0, 0.4, 700))
    law = Empirical(sample)
    assert law.is_costly
    risk = torch.logspace(-8, 3, 12, dtype=torch.float64)
    exact = torch.stack([phi_batch(law.m, r, batch_size=4, knee=1e-6) for r in risk])
    torch.testing.assert_close(law.phi(risk, batch_size=4), exact, rtol=1e-10, atol=0)


def test_shapes_and_bad_input():
    law = Laplace(0.4)
    assert law.phi(torch.ones(2, 3, dtype=torch.float64), batch_size=3).shape == (2, 3)
    assert law.phi(torch.ones((), dtype=torch.float64), batch_size=3).ndim == 0
    assert law.phi(torch.ones(0, dtype=torch.float64), batch_size=3).shape == (0,)
    with pytest.raises(InvalidInput, match="0 or more"):
        law.phi(t(-1))
    for bad in (0, 1.5, True, "2"):
        with pytest.raises(InvalidInput, match="batch_size"):
            law.phi(t(1), batch_size=bad)


def test_gap_underflows_to_zero_with_zero_gradient():
    risk = t(1e-12, 1e-5).requires_grad_()
    value = Rademacher(0.5).phi(risk)
    (slope,) = torch.autograd.grad(value.sum(), risk)
    assert value.tolist() == [0, 0]
    assert slope.tolist() == [0, 0]
