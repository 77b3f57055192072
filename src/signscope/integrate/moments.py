"""Exponential moments: the integrals that turn polynomial forcing into exact relaxation."""

import math
from functools import lru_cache

import torch
from torch import Tensor

_SMALL = 1.0  # below: series for the highest moment and downward recursion; above: upward recursion, error 1e-14
_TERMS = 17  # 4! / (_TERMS + 5)! is below 1e-18


def exponential_moments(z: Tensor, count: int) -> list[Tensor]:
    r"""Moments of the relaxation kernel over a unit interval.

    $$ E_k(z) = \int_0^1 e^{-z(1-u)} u^k \, du = k!\,\varphi_{k+1}(-z), \qquad k = 0, \dots, \text{count} - 1 $$

    Args:
        z: Decay over the interval, z >= 0, any shape.
        count: Number of moments, at least 1.

    Returns:
        ``count`` tensors of the shape of z; relative error below 1e-14, differentiable in z.
    """
    series = _downward(z.clamp(max=_SMALL), count)
    stiff = _upward(z.clamp(min=_SMALL), count)
    small = z < _SMALL
    return [torch.where(small, s, u) for s, u in zip(series, stiff, strict=True)]


def _downward(z: Tensor, count: int) -> list[Tensor]:
    top = count - 1
    # E_top = sum_m (-z)^m top! / (top + m + 1)!, by Horner's rule
    coefficients = _series(top, z.dtype, z.device)
    total = coefficients[_TERMS] * torch.ones_like(z)
    for m in range(_TERMS - 1, -1, -1):
        total = torch.addcmul(coefficients[m], total, z)
    moments = [total]
    for k in range(top, 0, -1):
        moments.append((1 - z * moments[-1]) / k)
    return moments[::-1]


@lru_cache
def _series(top: int, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    exact = [(-1) ** m * math.factorial(top) / math.factorial(top + m + 1) for m in range(_TERMS + 1)]
    return list(torch.tensor(exact, dtype=dtype, device=device))


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
