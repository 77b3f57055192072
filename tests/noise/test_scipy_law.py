"""Frozen scipy laws: the quadrature against closed forms and adaptive integration."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from noise.catalogue import t
from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise import Cauchy, Gaussian, Laplace, ScipyDiscrete, ScipyLaw, Stable, StudentT, Uniform, as_noise

CLOSED = [
    (scipy.stats.norm(0, 0.5), Gaussian(0.5)),
    (scipy.stats.norm(0.3, 0.5), Gaussian(0.5, 0.3)),
    (scipy.stats.t(3, 0, 0.5), StudentT(3, 0.5)),
    (scipy.stats.t(0.4), StudentT(0.4)),
    (scipy.stats.laplace(0, 0.4), Laplace(0.4)),
    (scipy.stats.cauchy(2, 1), Cauchy(1, 2)),
    (scipy.stats.uniform(-0.8, 1.6), Uniform(0.8)),
]
closed = pytest.mark.parametrize(("frozen", "law"), CLOSED, ids=[law.spec for _, law in CLOSED])


@closed
def test_closed_forms_are_used_and_agree_with_the_quadrature(frozen, law):
    assert as_noise(frozen) == law
    a = torch.logspace(-25, 15, 161, dtype=torch.float64)
    exact = law.m(a)
    here = exact > 1e-200
    assert (ScipyLaw(frozen).m(a) / exact - 1)[here].abs().max() < 1e-10


def test_a_rule_without_small_a_is_caught():
    """N(0, .5^2) at a = 1e-5, which a rule at the scale of exp(-a e^2) alone returns as 0."""
    law = ScipyLaw(scipy.stats.norm(0, 0.5))
    assert float(law.m(t(1e-5))) == pytest.approx((1 + 2e-5 * 0.25) ** -0.5, rel=1e-13)


def by_integration(frozen, a: float) -> float:
    """m(a) in log |e| by adaptive integration, piece by piece."""

    def integrand(s: float) -> float:
        e = math.exp(s)
        return e * math.exp(-a * e * e) * (float(frozen.pdf(e)) + float(frozen.pdf(-e)))

    top = 0.5 * math.log(50 / a)
    low, high = frozen.support()
    kinks = [math.log(abs(v)) for v in (low, high) if math.isfinite(v) and v != 0]
    edges = sorted({*np.arange(-50, top, 3.0).tolist(), top, *[k for k in kinks if -50 < k < top]})
    pieces = itertools.pairwise(edges)
    return math.fsum(scipy.integrate.quad(integrand, *ends, epsabs=1e-13, epsrel=1e-10)[0] for ends in pieces)


LAWS = [
    scipy.stats.gamma(0.6),
    scipy.stats.gamma(2, loc=-2),
    scipy.stats.expon(1, 0.5),
    scipy.stats.pareto(1.5),
    scipy.stats.uniform(1, 1),
    scipy.stats.lognorm(1.5),
    scipy.stats.logistic(0.3),
    scipy.stats.triang(0.3, -1, 3),
    scipy.stats.burr12(0.7, 1.2),
]


@pytest.mark.parametrize("frozen", LAWS, ids=lambda f: f.dist.name)
def test_m_is_the_integral(frozen):
    law = as_noise(frozen)
    for a in (1e-6, 0.1, 3.0, 200.0):
        assert float(law.m(t(a))) == pytest.approx(by_integration(frozen, a), rel=1e-8, abs=1e-15)


def test_m_to_twenty_digits_of_reference():
    """Gamma(2, 1): E exp(-a eps^2) = int x exp(-x - a x^2), by mpmath."""
    law = as_noise(scipy.stats.gamma(2))
    for a in (1e-4, 1.0, 1e4):
        exact = mpmath.quad(lambda x, a=a: x * mpmath.exp(-x - a * x * x), [0, 0.01, 0.1, 1, 5, 30, mpmath.inf])
        assert float(law.m(t(a))) == pytest.approx(float(exact), rel=1e-11)


def test_far_and_narrow_laws_are_found():
    law = as_noise(scipy.stats.norm(100, 0.01)).m(t(1e-4))
    assert float(law) == pytest.approx(math.exp(-1), rel=1e-6)
    spike = ScipyLaw(scipy.stats.laplace(1, 0.001))
    assert float(spike.m(t(1.0))) == pytest.approx(math.exp(-1), rel=1e-5)
    assert float(ScipyLaw(scipy.stats.norm(100, 0.01)).m(t(0.0))) == pytest.approx(1, abs=1e-14)


def test_discrete_laws_become_atoms():
    law = as_noise(scipy.stats.poisson(2, loc=-2))
    assert isinstance(law, ScipyDiscrete)
    k = np.arange(200)
    for a in (0.01, 1.0):
        exact = float((scipy.stats.poisson.pmf(k, 2) * np.exp(-a * (k - 2.0) ** 2)).sum())
        assert float(law.m(t(a))) == pytest.approx(exact, rel=1e-13)
    assert as_noise(scipy.stats.geom(0.3)).gap == 1
    assert as_noise(scipy.stats.randint(-3, 4)).mean == pytest.approx(0)


def test_stable_routes():
    assert as_noise(scipy.stats.levy_stable(1.5, 0, scale=2)) == Stable(1.5, 2)
    with pytest.raises(Unsupported, match="symmetric"):
        as_noise(scipy.stats.levy_stable(1.5, 0.5))


def test_what_cannot_be_integrated_says_so():
    with pytest.raises(Unsupported, match="sample"):
        as_noise(scipy.stats.zipf(1.5)).m(t(1))

    class Wrong(scipy.stats.rv_continuous):
        def _pdf(self, x):
            return 2 * scipy.stats.norm.pdf(x)

        def _cdf(self, x):
            return scipy.stats.norm.cdf(x)

        def _ppf(self, q):
            return scipy.stats.norm.ppf(q)

    with pytest.raises(Unsupported, match="adds to 2"):
        as_noise(Wrong(name="wrong")()).m(t(1))


@pytest.mark.parametrize("frozen", [scipy.stats.gamma(-1), scipy.stats.norm(0, -1), scipy.stats.gamma([1, 2])])
def test_bad_parameters_are_refused(frozen):
    with pytest.raises(InvalidInput, match="parameters"):
        as_noise(frozen)


def test_lognormal_has_all_moments_and_pareto_has_not():
    assert as_noise(scipy.stats.lognorm(2)).has_moment(6)
    assert as_noise(scipy.stats.laplace(1, 0.01)).has_moment(40)
    burr = as_noise(scipy.stats.burr12(2, 1.5))  # tail x^-3
    assert burr.has_moment(2.9)
    assert not burr.has_moment(3)
