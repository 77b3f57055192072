"""A function of one variable as Chebyshev polynomials on equal panels, evaluated and differentiated in torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def chebyshev_points(num_nodes: int) -> Tensor:
    """Chebyshev points of the first kind in (-1, 1), shape (num_nodes,)."""
    index = torch.arange(num_nodes, dtype=torch.float64)
    return torch.cos(torch.pi * (index + 0.5) / num_nodes)


def chebyshev_coefficients(values: Tensor) -> Tensor:
    """Coefficients of the interpolants through ``values`` at `chebyshev_points`; shape (..., num_nodes) both."""
    num = values.shape[-1]
    index = torch.arange(num, dtype=torch.float64)
    basis = torch.cos(torch.pi * torch.outer(index, index + 0.5) / num) * (2 / num)
    basis[0] /= 2
    return values @ basis.T


def clenshaw(coefficients: Tensor, t: Tensor) -> Tensor:
    """Chebyshev series with ``coefficients`` (..., n) at ``t`` (...) in [-1, 1], by Clenshaw's recurrence."""
    columns = coefficients.unbind(-1)
    first, second = torch.zeros_like(t), torch.zeros_like(t)
    for column in reversed(columns[1:]):
        first, second = column + 2 * t * first - second, first
    return columns[0] + t * first - second


@dataclass(frozen=True, eq=False)
class Piecewise:
    """Chebyshev interpolants on equal panels of [low, low + width * num_panels].

    Attributes:
        low: Left end.
        width: Width of one panel.
        coefficients: Chebyshev coefficients, shape (num_panels, num_nodes).
    """

    low: float
    width: float
    coefficients: Tensor

    @property
    def high(self) -> float:
        """Right end."""
        return self.low + self.width * len(self.coefficients)

    def __call__(self, x: Tensor) -> Tensor:
        """Values at ``x`` (any shape, inside the interval); differentiable."""
        place = (x - self.low) / self.width
        panel = place.detach().floor().clamp(0, len(self.coefficients) - 1)
        return clenshaw(self.coefficients[panel.long()], 2 * (place - panel) - 1)


def interpolate(
    function: Callable[[Tensor], Tensor], low: float, *, high: float, num_panels: int, num_nodes: int
) -> Piecewise:
    """Interpolate ``function`` (of a vector, in increasing order) on [low, high]."""
    width = (high - low) / num_panels
    points = chebyshev_points(num_nodes).flip(0)
    starts = low + width * torch.arange(num_panels, dtype=torch.float64)
    nodes = starts[:, None] + 0.5 * width * (1 + points)
    values = function(nodes.reshape(-1)).detach().reshape(num_panels, num_nodes).flip(-1)
    return Piecewise(low, width, chebyshev_coefficients(values))


def panels_for(low: float, high: float, *, width: float) -> int:
    """How many panels of at most ``width`` cover [low, high]; at least one."""
    return max(1, math.ceil((high - low) / width))
