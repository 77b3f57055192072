"""Special functions and their derivatives against mpmath."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from torch.autograd.functional import hessian, jacobian

from noise.catalogue import t
from signscope.noise import Gaussian, Mixture, Stable
from signscope.noise.special import erf_ratio, erfcx, erfcx_ratio, faddeeva, laplace_sum

mpmath.mp.dps = 40


def exact_erfcx(x):
    return mpmath.exp(x * x) * mpmath.erfc(x) if x < 1e4 else (1 - 1 / (2 * x * x)) / (x * mpmath.sqrt(mpmath.pi))


@pytest.mark.parametrize("x", [-2.0, 0.0, 0.7, 6.0, 13.0, 29.9, 30.1, 1e3])
def test_erfcx_and_two_derivatives(x):
    x_mp = mpmath.mpf(x)
    value = exact_erfcx(x_mp)
    first = 2 * x_mp * value - 2 / mpmath.sqrt(mpmath.pi)
    second = 2 * value + 2 * x_mp * first
    assert float(erfcx(t(x))) == pytest.approx(float(value), rel=1e-13)
    assert float(jacobian(erfcx, t(x))) == pytest.approx(float(first), rel=1e-11)
    assert float(hessian(lambda v: erfcx(v).sum(), t(x))) == pytest.approx(float(second), rel=1e-8)


def test_erfcx_slope_does_not_cancel_far_out():
    x = t(1e8).requires_grad_()
    (slope,) = torch.autograd.grad(erfcx(x).sum(), x)
    assert float(slope) == pytest.approx(-1e-16 / math.sqrt(math.pi), rel=1e-12)
    naive = 2e8 * float(erfcx(t(1e8))) - 2 / math.sqrt(math.pi)
    assert abs(naive / float(slope) - 1) > 0.1  # teeth: the recurrence has no digit left


@pytest.mark.parametrize("z", [0.3 + 0.2j, 4 + 1e-3j, 1e-6 + 1e-6j, 25 + 16j, 40 + 1j, 2e4 + 1e4j])
def test_faddeeva_real_part_and_gradient(z):
    def w(x, y):
        v = mpmath.mpc(x, y)
        return mpmath.re(mpmath.exp(-v * v) * mpmath.erfc(-1j * v))

    x, y = t(z.real).requires_grad_(), t(z.imag).requires_grad_()
    value = faddeeva(torch.complex(x, y)).real
    by_x, by_y = torch.autograd.grad(value.sum(), (x, y))
    if abs(z) < 1e3:
        assert value.item() == pytest.approx(float(w(z.real, z.imag)), rel=1e-11)
        assert float(by_x) == pytest.approx(float(mpmath.diff(w, (z.real, z.imag), (1, 0))), rel=1e-8)
        assert float(by_y) == pytest.approx(float(mpmath.diff(w, (z.real, z.imag), (0, 1))), rel=1e-8)
    else:  # w ~ i / (sqrt(pi) z)
        assert float(by_y) == pytest.approx((1 / (math.sqrt(math.pi) * z * z)).real, rel=1e-6)
    inputs = torch.tensor([z, z * 1.1], dtype=torch.complex128, requires_grad=True)
    if abs(z) < 1e3:
        assert torch.autograd.gradgradcheck(faddeeva, inputs, atol=1e-4)


@pytest.mark.parametrize("q", [1e-12, 0.0199, 0.0201, 1.0, 1e4])
def test_erf_ratio(q):
    root = mpmath.sqrt(q)
    exact = mpmath.sqrt(mpmath.pi) / 2 * mpmath.erf(root) / root
    slope = (mpmath.exp(-q) - exact) / (2 * mpmath.mpf(q))
    assert float(erf_ratio(t(q))) == pytest.approx(float(exact), rel=1e-14)
    assert float(jacobian(erf_ratio, t(q))) == pytest.approx(float(slope), rel=1e-11)


@pytest.mark.parametrize("q", [1e-9, 0.00055, 0.00056, 0.3, 1e6])
def test_erfcx_ratio(q):
    x = 1 / mpmath.sqrt(2 * mpmath.mpf(q))
    exact = mpmath.sqrt(mpmath.pi) * x * (exact_erfcx(x) if x < 1e4 else 0) if x < 1e4 else 1 - q
    assert float(erfcx_ratio(t(q))) == pytest.approx(float(exact), rel=1e-13)


def test_ratios_are_smooth_at_zero():
    assert float(erf_ratio(t(0))) == 1
    assert float(jacobian(erf_ratio, t(0))) == pytest.approx(-1 / 3)
    assert float(erfcx_ratio(t(0))) == 1
    assert float(jacobian(erfcx_ratio, t(0))) == pytest.approx(-1)


def test_laplace_sum_skips_nothing_that_counts():
    generator = torch.Generator().manual_seed(0)
    squares = (torch.randn(2**18, generator=generator, dtype=torch.float64) ** 2).sort().values
    weights = torch.rand(2**18, generator=generator, dtype=torch.float64)
    a = torch.logspace(12, -12, 40, dtype=torch.float64)  # blocks of 4: most of them are cut
    exact = torch.exp(-a[:, None] * squares) @ weights
    torch.testing.assert_close(laplace_sum(a, squares, weights), exact, rtol=1e-13, atol=0)


def test_normal_distribution_function_keeps_its_left_tail():
    x = np.array([-37.0, -10.3, -8.3, -3.0, 0.0, 2.0, 9.0])
    places = torch.from_numpy(x)
    for law, scale in ((Gaussian(1.0), 1.0), (Mixture((0.5, 0.5), (0.0, 0.0), (1.0, 1.0)), 1.0), (Stable(2.0), 2**0.5)):
        np.testing.assert_allclose(law.cdf(places * scale), scipy.special.ndtr(x), rtol=1e-12)
