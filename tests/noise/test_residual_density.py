"""The density of z - eps: integrates to one, matches sampling and quadrature, differentiates."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from noise.catalogue import ROWS, t
from signscope._core.errors import InvalidInput
from signscope.noise import Empirical, Laplace, Rademacher, ScipyLaw, Uniform, as_noise
from signscope.noise.quadrature import composite

DRAWS = 400_000
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def masses(law, edges: torch.Tensor, risk: float) -> torch.Tensor:
    """Probability of each interval between ``edges``."""
    nodes, weights = (torch.from_numpy(v) for v in composite(edges.numpy(), order=20))
    return (law.residual_density(nodes, t(risk)) * weights).sum(-1)


@rows
def test_integrates_to_one(row):
    for risk in (4e-3, 0.3):
        std = (2 * risk) ** 0.5
        far = torch.logspace(np.log10(8 + std), 16, 40, dtype=torch.float64)  # for the heavy tails
        core = torch.arange(-8 - std, 8 + std + 1e-9, 4 * std, dtype=torch.float64)
        edges = torch.cat([-far.flip(0), core[1:-1], far])
        missing = 1e-9 if row.moment_limit > 0.9 else 1e-8
        # edges are 4 standard deviations apart, so 20 nodes resolve even bare atoms within the core
        assert abs(float(masses(row.law, edges, risk).sum()) - 1) < missing + outside(row, 8)


def outside(row, x: float) -> float:
    """Mass of atoms beyond x: intervals there are too wide for them."""
    if row.has_pdf:
        return 0.0
    return 2 * float(1 - row.law.cdf(t(x - 1)) + row.law.cdf(t(-x + 1)))


@rows
def test_matches_a_histogram(row):
    rng, risk = np.random.default_rng(5), 0.1
    residual = rng.normal(0, (2 * risk) ** 0.5, DRAWS) - row.law.sample(DRAWS, rng)
    edges = torch.from_numpy(np.quantile(residual, np.linspace(0.05, 0.95, 25)))
    p = masses(row.law, edges, risk)
    counts, _ = np.histogram(residual, edges.numpy())
    z = (torch.from_numpy(counts) / DRAWS - p) / (p / DRAWS).sqrt()
    assert z.abs().max() < 5  # the edges come from the same draws, which only narrows z
    shifted = masses(row.law, edges + 0.05, risk)  # teeth: a shift of 0.05 is seen
    assert ((torch.from_numpy(counts) / DRAWS - shifted) / (p / DRAWS).sqrt()).abs().max() > 5


@rows
def test_gradients(row):
    x = t(-1.3, 0.2, 2.5).requires_grad_()
    risk = t(0.15, 0.3, 0.02).requires_grad_()
    assert torch.autograd.gradcheck(row.law.residual_density, (x, risk))
    assert torch.autograd.gradgradcheck(lambda v: row.law.residual_density(v, t(0.2)), x)


CLOSED = [scipy.stats.norm(0.3, 0.5), scipy.stats.laplace(0, 0.4), scipy.stats.cauchy(2, 1), scipy.stats.t(3, 0, 0.5)]


@pytest.mark.parametrize("frozen", [*CLOSED, scipy.stats.uniform(-0.8, 1.6)], ids=lambda f: f.dist.name)
def test_quadrature_agrees_with_the_closed_form_at_any_width(frozen):
    closed, numeric = as_noise(frozen), ScipyLaw(frozen)
    x = torch.logspace(-5, 6, 80, dtype=torch.float64)
    x = torch.cat([-x.flip(0), t(0), x])
    for risk in (1e-12, 1e-5, 0.1, 30, 1e6):
        exact = closed.residual_density(x, t(risk))
        assert (numeric.residual_density(x, t(risk)) - exact).abs().max() < 1e-10 * exact.max()
        here = exact > 1e-10 * exact.max()
        assert (numeric.residual_density(x, t(risk)) / exact - 1)[here].abs().max() < 1e-6


@pytest.mark.parametrize("law", [Laplace(0.4), Uniform(0.8), as_noise("stable:1.2,0.5"), as_noise("student-t:2,0.3")])
def test_against_adaptive_quadrature(law):
    std = 0.35
    kinks = (-0.8, -0.4, 0.0, 0.4, 0.8)
    for x in (0.0, 0.6, 3.0):

        def integrand(e, x=x):
            return float(law.pdf(t(e))) * scipy.stats.norm.pdf(x + e, 0, std)

        exact = scipy.integrate.quad(integrand, -x - 3.2, -x + 3.2, points=kinks, epsabs=1e-13, limit=200)[0]
        assert float(law.residual_density(t(x), t(std**2 / 2))) == pytest.approx(exact, rel=1e-8)


def test_narrow_laws_under_wide_gaussians_do_not_cancel():
    x = torch.linspace(-8, 8, 33, dtype=torch.float64)
    bell = torch.exp(-(x**2) / 2) / (2 * np.pi) ** 0.5
    for law in (Uniform(1e-9), Laplace(1e-9), Rademacher(1e-9), ScipyLaw(scipy.stats.norm(0, 1e-9))):
        torch.testing.assert_close(law.residual_density(x, t(0.5)), bell, rtol=1e-12, atol=0)


def test_large_samples_are_merged_for_the_density_only():
    sample = np.random.default_rng(0).standard_t(4, 50_000)
    law = Empirical(torch.from_numpy(sample))
    assert 1800 < len(law._atoms_for_density[0]) <= 2000
    x = torch.linspace(-4, 4, 41, dtype=torch.float64)
    exact = torch.exp(-((x[:, None] + torch.from_numpy(sample)) ** 2) / 0.08).mean(1) / (0.08 * np.pi) ** 0.5
    torch.testing.assert_close(law.residual_density(x, t(0.02)), exact, rtol=3e-4, atol=1e-6)
    assert len(law._squares[0]) == 50_000


def test_zero_risk_is_refused():
    with pytest.raises(InvalidInput, match="above 0"):
        Laplace(1.0).residual_density(t(0), t(0))
