"""Losses with closed gradients: any quadratic, a double well, a log-cosh valley."""

import math
from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.problems.arrays import as_float64, as_vector
from signscope.problems.oracle import Loss


class Quadratic(Loss):
    """f(x) = 1/2 (x - centre)' H (x - centre).

    Args:
        hessian: H, a symmetric matrix (dim, dim) or the diagonal (dim,) of one.
        centre: The stationary point, zeros by default.
    """

    def __init__(self, hessian: Any, *, centre: Any = None) -> None:
        found = as_float64("Quadratic", "hessian", hessian)
        if found.ndim not in (1, 2) or not len(found) or found.shape[0] != found.shape[-1]:
            raise InvalidInput(f"Quadratic: `hessian` must be (dim,) or (dim, dim), got shape {tuple(found.shape)}.")
        if found.ndim == 2 and not bool((found - found.T).abs().max() <= 1e-10 * found.abs().max()):
            raise InvalidInput("Quadratic: `hessian` must be symmetric.")
        self.dim, self.hessian = len(found), found
        self.centre = (
            torch.zeros(self.dim).double() if centre is None else as_vector("Quadratic", "centre", centre, dim=self.dim)
        )
        self._centred = not bool(self.centre.any())

    @property
    def matrix(self) -> Tensor:
        """H as a matrix, (dim, dim)."""
        return torch.diag(self.hessian) if self.hessian.ndim == 1 else self.hessian

    @property
    def minimum(self) -> float:
        """0 where H is positive semi-definite, else minus infinity."""
        smallest = self.hessian.min() if self.hessian.ndim == 1 else torch.linalg.eigvalsh(self.hessian).min()
        return 0.0 if float(smallest) >= -1e-12 * float(self.hessian.abs().max()) else -math.inf

    def value(self, points: Tensor) -> Tensor:
        """Half the quadratic form."""
        return 0.5 * ((points if self._centred else points - self.centre) * self.grad(points)).sum(-1)

    def grad(self, points: Tensor) -> Tensor:
        """H (x - centre)."""
        away = points if self._centred else points - self.centre
        return self.hessian * away if self.hessian.ndim == 1 else away @ self.hessian

    def placed(self, dtype: torch.dtype, device: torch.device) -> "Quadratic":
        """A copy with H and centre in ``dtype`` on ``device``."""
        other = copy(self)
        other.hessian, other.centre = (t.to(dtype=dtype, device=device) for t in (self.hessian, self.centre))
        return other

    def curvature(self, point: Tensor, scale: Tensor) -> float:
        """The exact largest absolute eigenvalue of D^-1 H."""
        scale = scale.double().cpu()
        if self.hessian.ndim == 1:
            return float((self.hessian.double().cpu() / scale).abs().max())
        roots = scale.rsqrt()
        return float(torch.linalg.eigvalsh(roots[:, None] * self.hessian.double().cpu() * roots).abs().max())


class DoubleWell(Loss):
    """f(x) = sum_i height/4 (x_i^2 - 1)^2 + tilt x_i: not convex, minima near -1 and 1.

    Args:
        dim: Number of coordinates.
        height: Four times the barrier between the wells, above 0.
        tilt: Slope that makes the left well the deeper one.
    """

    def __init__(self, dim: int, *, height: float = 1.0, tilt: float = 0.0) -> None:
        self.dim = checks.integer("DoubleWell", "dim", dim, minimum=1)
        self.height = checks.positive("DoubleWell", "height", height)
        self.tilt = checks.finite("DoubleWell", "tilt", tilt)

    def value(self, points: Tensor) -> Tensor:
        """The sum over coordinates."""
        return (self.height / 4 * (points.square() - 1).square() + self.tilt * points).sum(-1)

    def grad(self, points: Tensor) -> Tensor:
        """Height x (x^2 - 1) + tilt."""
        return self.height * points * (points.square() - 1) + self.tilt


class LogCosh(Loss):
    """f(x) = sum_i h_i width^2 log cosh(x_i / width): curvature h_i at 0, bounded slope far away.

    Args:
        curvatures: h, shape (dim,), above 0.
        width: Distance from 0 at which the slope saturates, above 0.
    """

    def __init__(self, curvatures: Any, *, width: float = 1.0) -> None:
        found = as_float64("LogCosh", "curvatures", curvatures)
        if found.ndim != 1 or not len(found) or not bool((found > 0).all()):
            raise InvalidInput("LogCosh: `curvatures` must be a vector of numbers above 0.")
        self.dim, self.curvatures = len(found), found
        self.width = checks.positive("LogCosh", "width", width)

    @property
    def minimum(self) -> float:
        """0, at the origin."""
        return 0.0

    def value(self, points: Tensor) -> Tensor:
        """The sum over coordinates, without overflow."""
        size = points.abs() / self.width
        return ((size + torch.log1p(torch.exp(-2 * size)) - math.log(2)) * self.curvatures * self.width**2).sum(-1)

    def grad(self, points: Tensor) -> Tensor:
        """H width tanh(x / width)."""
        return self.curvatures * self.width * torch.tanh(points / self.width)

    def placed(self, dtype: torch.dtype, device: torch.device) -> "LogCosh":
        """A copy with its curvatures in ``dtype`` on ``device``."""
        other = copy(self)
        other.curvatures = self.curvatures.to(dtype=dtype, device=device)
        return other


LANDSCAPES: dict[str, Callable[[Tensor], Loss]] = {
    "quadratic": Quadratic,
    "double-well": lambda curvatures: DoubleWell(len(curvatures)),
    "log-cosh": LogCosh,
}
"""Named losses from the curvatures at the origin; a double well knows only their number."""


def landscape(name: str, curvatures: Tensor) -> Loss:
    """The loss called ``name`` with the given curvatures (dim,)."""
    return LANDSCAPES[checks.one_of("landscape", "loss", name, LANDSCAPES)](curvatures)
