"""Special functions with derivatives of any order that stay accurate at large arguments."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from signscope._core.equations import equation

_FAR = 30.0  # beyond this modulus the recurrence for the derivative cancels and the series has 16 digits
_TERMS = 8


class _Erfcx(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.special.erfcx(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * _erfcx_slope(x)


def erfcx(x: Tensor) -> Tensor:
    r"""Scaled complementary error function $e^{x^2}\,\mathrm{erfc}(x)$, differentiable without cancellation.

    Args:
        x: Real tensor of any shape.

    Returns:
        A tensor like ``x``; overflows to inf below about -26.
    """
    return _Erfcx.apply(x)  # pyright: ignore[reportReturnType]


def _erfcx_slope(x: Tensor) -> Tensor:
    far = x > _FAR
    near_x = torch.where(far, torch.ones_like(x), x)
    near = 2 * near_x * erfcx(near_x) - 2 / math.sqrt(math.pi)
    far_x = torch.where(far, x, torch.full_like(x, 2 * _FAR))
    return torch.where(far, -_slope_series(-0.5 / far_x / far_x) / (math.sqrt(math.pi) * far_x * far_x), near)


def _slope_series(q: Tensor) -> Tensor:
    """1 + sum_k (2k + 1)!! q^k: minus sqrt(pi) x^2 times the derivative of erfcx, with q = -1 / (2 x^2)."""
    total = torch.ones_like(q)
    for k in range(_TERMS, 0, -1):
        total = 1 + (2 * k + 1) * q * total
    return total


class _Faddeeva(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        from scipy.special import wofz

        ctx.save_for_backward(z)
        return torch.as_tensor(wofz(z.detach().cpu().numpy()), dtype=z.dtype, device=z.device)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad_outputs[0] * _faddeeva_slope(z).conj()


def normal_cdf(x: Tensor) -> Tensor:
    """P(Z <= x) of a standard normal Z, accurate relative to itself in the left tail (torch's ndtr is 0 from -8.3 on).

    Args:
        x: Real tensor of any shape.
    """
    return 0.5 * torch.special.erfc(x * -math.sqrt(0.5))


def faddeeva(z: Tensor) -> Tensor:
    r"""Faddeeva function $w(z) = e^{-z^2}\,\mathrm{erfc}(-iz)$ of the upper half plane, differentiable.

    Uses $w'(z) = -2 z w(z) + 2i/\sqrt\pi$, and its asymptotic series where that difference cancels.

    Args:
        z: Complex tensor with non-negative imaginary part.

    Returns:
        A complex tensor like ``z``.
    """
    return _Faddeeva.apply(z)  # pyright: ignore[reportReturnType]


def _faddeeva_slope(z: Tensor) -> Tensor:
    far = z.abs() > _FAR
    near_z = torch.where(far, torch.ones_like(z), z)
    near = -2 * near_z * faddeeva(near_z) + 2j / math.sqrt(math.pi)
    far_z = torch.where(far, z, torch.full_like(z, 2 * _FAR))
    inverse = 1 / far_z
    series = _slope_series(0.5 * inverse * inverse)
    return torch.where(far, -1j / math.sqrt(math.pi) * inverse * inverse * series, near)


def erf_ratio(square: Tensor) -> Tensor:
    r"""$\tfrac{\sqrt\pi}{2}\,\mathrm{erf}(t)/t$ as a function of $t^2$, smooth at 0 where it is 1.

    Args:
        square: t^2 >= 0, any shape.
    """
    small = square < 0.02
    q = torch.where(small, square, torch.zeros_like(square))
    series = torch.ones_like(q)
    for k in range(8, 0, -1):  # sum_k (-q)^k / (k! (2k + 1)), nested
        series = 1 - q * (2 * k - 1) / (k * (2 * k + 1)) * series
    t = torch.where(small, torch.ones_like(square), square).sqrt()
    return torch.where(small, series, 0.5 * math.sqrt(math.pi) * torch.erf(t) / t)


def erfcx_ratio(q: Tensor) -> Tensor:
    r"""$\sqrt\pi\,x\,\mathrm{erfcx}(x)$ with $x = (2q)^{-1/2}$, smooth at $q = 0$ where it is 1.

    Args:
        q: 1 / (2 x^2) >= 0, any shape.
    """
    small = q < 0.5 / _FAR**2
    tiny = torch.where(small, q, torch.zeros_like(q))
    series = torch.ones_like(q)
    for k in range(_TERMS, 0, -1):  # sum_k (2k - 1)!! (-q)^k, nested
        series = 1 - (2 * k - 1) * tiny * series
    x = torch.where(small, torch.full_like(q, 0.5), 2 * q).rsqrt()
    return torch.where(small, series, math.sqrt(math.pi) * x * erfcx(x))


@equation("signscope", "Laplace transform of eps^2 over atoms")
def laplace_sum(a: Tensor, squares: Tensor, weights: Tensor) -> Tensor:
    r"""$\sum_i w_i e^{-a \lambda_i}$, differentiable in ``a`` to any order with bounded memory.

    Args:
        a: Non-negative tensor of any shape.
        squares: lambda_i >= 0 in increasing order, shape (n,).
        weights: w_i, shape (n,).

    Returns:
        A tensor like ``a``.

    Notes:
        O(numel(a) n) time, about 16 MB of memory whatever the sizes; sorted ``a`` are cheaper, because terms
        below e^-60 of the leading one are skipped.
    """
    return _LaplaceSum.apply(a, squares, weights)  # pyright: ignore[reportReturnType]


class _LaplaceSum(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, squares: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(a, squares, weights)
        flat = a.detach().reshape(-1)
        out = torch.empty_like(flat)
        rows = max(1, 2**20 // len(squares))
        for start in range(0, len(flat), rows):
            block = flat[start : start + rows]
            low = float(block.min())
            last = len(squares)
            if low > 0:
                last = int(torch.searchsorted(squares, squares[0] + 60 / low)) + 1
            out[start : start + rows] = torch.outer(-block, squares[:last]).exp_() @ weights[:last]
        return out.reshape(a.shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        a, squares, weights = ctx.saved_tensors
        return -grad_outputs[0] * laplace_sum(a, squares, weights * squares), None, None
