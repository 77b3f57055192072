"""Exponential moments agree with arbitrary-precision quadrature over forty orders of magnitude."""

import mpmath
import pytest
import torch

from signscope.integrate import exponential_moments


@pytest.mark.parametrize("z", [0.0, 1e-20, 1e-8, 0.3, 0.999, 1.0, 1.001, 7.0, 50.0, 1e4, 1e12])
def test_moments_match_arbitrary_precision(z):
    found = exponential_moments(torch.tensor(z, dtype=torch.float64), 5)
    with mpmath.workdps(60):
        exact = mpmath.mpf(z)
        for k in range(5):
            # k! phi_{k+1}(-z) through the confluent hypergeometric function 1F1(1; k+2; -z) / (k+1)
            value = mpmath.hyp1f1(1, k + 2, -exact) / (k + 1)
            assert float(found[k]) == pytest.approx(float(value), rel=1e-14)


def test_moments_are_differentiable():
    z = torch.tensor([1e-6, 0.5, 1.9, 2.1, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(exponential_moments(x, 5)), z)
