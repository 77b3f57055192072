"""Student-t and alpha-stable laws against scipy, special cases and two independent routes."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from noise.catalogue import t
from signscope._core.errors import InvalidInput
from signscope.noise import Cauchy, Gaussian, Stable, StudentT
from signscope.noise.scale_mixture import ScaleMixture

A = torch.logspace(-30, 30, 121, dtype=torch.float64)


@pytest.mark.parametrize("dof", [0.05, 0.5, 1.0, 3.0, 40.0, 1e3, 1e6])
def test_student_density_is_the_scale_mixture(dof):
    law, frozen = StudentT(dof, 0.7), scipy.stats.t(dof, 0, 0.7)
    x = torch.logspace(-8, 1, 40, dtype=torch.float64)
    exact = torch.from_numpy(frozen.pdf(x.numpy()))
    here = exact > 1e-8 * exact.max()
    for pdf in (law.pdf, lambda v: ScaleMixture.pdf(law, v)):
        assert (pdf(x) / exact - 1)[here].abs().max() < 1e-9
    assert law.density_at_zero == pytest.approx(float(frozen.pdf(0)), rel=1e-12)
    torch.testing.assert_close(law.cdf(-x), torch.from_numpy(frozen.cdf(-x.numpy())), rtol=1e-8, atol=1e-20)


def test_student_with_one_degree_of_freedom_is_cauchy():
    assert (StudentT(1, 0.7).m(A) / Cauchy(0.7).m(A) - 1).abs().max() < 1e-13
    x = torch.linspace(-9, 0, 31, dtype=torch.float64)
    torch.testing.assert_close(StudentT(1, 0.7).cdf(x), Cauchy(0.7).cdf(x), rtol=1e-12, atol=0)


def test_student_m_by_the_tricomi_function():
    """m(a) = Gamma((nu+1)/2) / Gamma(nu/2) U(1/2, 1 - nu/2, nu a s^2), Kummer's second solution."""
    for nu, scale, a in ((3.0, 0.5, 2.0), (0.7, 2.0, 0.01), (12.0, 1.0, 300.0)):
        ratio = mpmath.gamma((nu + 1) / 2) / mpmath.gamma(nu / 2)
        exact = ratio * mpmath.hyperu(0.5, 1 - nu / 2, nu * a * scale**2)
        assert float(StudentT(nu, scale).m(t(a))) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(("alpha", "law"), [(2.0, Gaussian(0.7 * math.sqrt(2))), (1.0, Cauchy(0.7))])
def test_stable_special_cases(alpha, law):
    stable = Stable(alpha, 0.7)
    assert (stable.m(A) / law.m(A) - 1).abs().max() < 1e-12
    x = torch.logspace(-6, 0.8, 30, dtype=torch.float64)
    assert (stable.pdf(x) / law.pdf(x) - 1).abs().max() < 1e-10
    assert (stable.cdf(-x) / law.cdf(-x) - 1).abs().max() < 1e-10


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.8, 1.3, 1.9, 1.999])
def test_stable_m_by_two_routes(alpha):
    """Through the characteristic function, and through the positive stable law of the variance."""
    law = Stable(alpha, 1.3)
    assert (ScaleMixture.m(law, A) / law.m(A) - 1).abs().max() < 1e-12
    assert ScaleMixture.density_at_zero.fget(law) == pytest.approx(law.density_at_zero, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.2, 1.7])
def test_stable_density_by_fourier_inversion(alpha):
    """p(x) = Re int exp(iux - u^alpha) du / pi, along a ray on which both factors decay."""
    turn = mpmath.expjpi(0.5 if alpha < 1 else 0.25 / alpha)
    for x in (0.4, 2.0):
        exact = mpmath.quad(
            lambda v, x=x: turn * mpmath.exp(1j * turn * v * x - (turn * v) ** alpha),
            [0, 1e-8, 1e-5, 1e-3, 0.1, 1, 10, 100, 1000],
        ).real
        assert float(Stable(alpha).pdf(t(x))) == pytest.approx(float(exact / mpmath.pi), rel=1e-10)


@pytest.mark.parametrize("alpha", [0.5, 1.2, 1.7])
def test_stable_tail(alpha):
    """p(x) ~ Gamma(1 + alpha) sin(pi alpha / 2) / (pi x^(1 + alpha))."""
    x = 1e3 ** (2 / alpha)
    tail = math.gamma(1 + alpha) * math.sin(math.pi * alpha / 2) / math.pi * x ** (-1 - alpha)
    assert float(Stable(alpha).pdf(t(x))) == pytest.approx(tail, rel=1e-4)


def test_stable_sampler_has_the_right_characteristic_function():
    sample = Stable(1.4, 0.5).sample(300_000, np.random.default_rng(0))
    for freq in (0.5, 2.0, 6.0):
        seen = np.cos(freq * sample)
        assert abs(seen.mean() - math.exp(-((0.5 * freq) ** 1.4))) < 4.5 * seen.std() / len(sample) ** 0.5


@pytest.mark.parametrize("alpha", [0.05, 2.1, 0, math.nan])
def test_stable_refuses_other_indices(alpha):
    with pytest.raises(InvalidInput, match="alpha"):
        Stable(alpha)
