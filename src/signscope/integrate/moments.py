"""Exponential moments: the integrals that turn polynomial forcing into exact relaxation."""

import math

import torch
from torch import Tensor

_SMALL = 2.0  # below: Taylor series and downward recursion; above: upward recursion loses under one digit
_TERMS = 24  # _SMALL**24 / 25! is below 1e-17


def exponential_moments(z: Tensor, count: int) -> Tensor:
    r"""Moments of the relaxation kernel over a unit interval.

    $$ E_k(z) = \int_0^1 e^{-z(1-u)} u^k \, du = k!\,\varphi_{k+1}(-z), \qquad k = 0, \dots, \text{count} - 1 $$

    Args:
        z: Decay over the interval, z >= 0, any shape.
        count: Number of moments, at least 1.

    Returns:
        Shape (count, \*z.shape); relative error about 1e-15, differentiable in z.
    """
    small = z < _SMALL
    low = torch.where(small, z, torch.ones_like(z))
    high = torch.where(small, torch.full_like(z, _SMALL), z)
    series = _downward(low, count)
    stiff = _upward(high, count)
    return torch.stack([torch.where(small, s, u) for s, u in zip(series, stiff, strict=True)])


def _downward(z: Tensor, count: int) -> list[Tensor]:
    top = count - 1
    term = torch.full_like(z, 1 / (top + 1))
    total = term
    for m in range(1, _TERMS):  # E_k = sum_m (-z)^m k!/(k+m+1)!
        term = term * (-z) / (top + m + 1)
        total = total + term
    moments = [total]
    for k in range(top, 0, -1):
        moments.append((1 - z * moments[-1]) / k)
    return moments[::-1]


def _upward(z: Tensor, count: int) -> list[Tensor]:
    moments = [-torch.expm1(-z) / z]
    for k in range(1, count):
        moments.append((1 - k * moments[-1]) / z)
    return moments


def monomial_inverse(nodes: list[float]) -> Tensor:
    """Matrix that turns values at ``nodes`` into monomial coefficients, shape (n, n)."""
    powers = torch.tensor([[c**k for k in range(len(nodes))] for c in nodes], dtype=torch.float64)
    return torch.linalg.inv(powers)


def lobatto_nodes() -> list[float]:
    """The five Gauss-Lobatto nodes on [0, 1]."""
    inner = 0.5 * math.sqrt(3 / 7)
    return [0.0, 0.5 - inner, 0.5, 0.5 + inner, 1.0]
