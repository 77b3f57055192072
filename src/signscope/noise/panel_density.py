"""`PanelDensity`: a density known on panels, smoothed by Gaussians of any width."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from signscope.noise.piecewise import clenshaw
from signscope.noise.quadrature import Array, legendre, on_panels
from signscope.noise.smoothing import gaussian_derivative, gaussian_sum_derivative

_REACH = 9.0  # standard deviations that count
_WIDE = 3.0  # panels wider than this many standard deviations are integrated locally
_OVERLAPS = 8  # such panels that a window of 2 * _REACH can meet
_PARTS = 4
_BLOCK = 1024
_NEGLIGIBLE = 1e-18  # mass of a node that is left out


class PanelDensity:
    """Density of z - eps for eps with a density resolved on panels, z normal.

    Panels narrower than the Gaussian contribute through their own nodes; on wider ones the density is a
    polynomial, integrated against the Gaussian over the part that the Gaussian reaches. Hence about 11 digits
    at any width, and at any distance.

    Args:
        density: The density of eps.
        starts: Left ends of the panels, increasing, shape (n,).
        ends: Right ends.
        order: Gauss-Legendre nodes per panel that resolve the density.
    """

    def __init__(self, density: Callable[[Array], Array], starts: Array, *, ends: Array, order: int) -> None:
        nodes, weights = on_panels(starts, ends, order=order)
        values = density(nodes)
        self.starts, self.ends = torch.from_numpy(starts), torch.from_numpy(ends)
        self.nodes, self.masses = torch.from_numpy(nodes), torch.from_numpy(values * weights)
        basis = np.polynomial.chebyshev.chebvander(legendre(order)[0], order - 1)
        self.coefficients = torch.from_numpy(np.linalg.solve(basis, values.T).T.copy())

    def __call__(self, x: Tensor, risk: Tensor) -> Tensor:
        """Density of z - eps at ``x``, z ~ N(0, 2 risk); one shape; differentiable in both to any order."""
        return _Smooth.apply(x, risk, self, 0)  # pyright: ignore[reportReturnType]

    def derivative(self, x: Tensor, risk: float, *, order: int) -> Tensor:
        """The ``order``-th derivative in ``x`` (a vector) at one risk."""
        std = (2 * risk) ** 0.5
        wide = self.ends - self.starts > _WIDE * std
        total = torch.zeros_like(x)
        if not bool(wide.all()):
            centres, masses = -self.nodes[~wide].reshape(-1), self.masses[~wide].reshape(-1)
            centres, masses = centres[masses > _NEGLIGIBLE], masses[masses > _NEGLIGIBLE]
            total += gaussian_sum_derivative(
                x, torch.full_like(x, risk), centres, torch.zeros_like(centres), masses, order
            )
        if bool(wide.any()):
            panels = self.starts[wide], self.ends[wide], self.coefficients[wide]
            total += torch.cat([_local(block, std, panels, order) for block in x.split(_BLOCK)])
        return total


def _local(x: Tensor, std: float, panels: tuple[Tensor, Tensor, Tensor], order: int) -> Tensor:
    """Integral over the wide panels within reach of -x of p(e) N^(order)(x + e)."""
    starts, ends, coefficients = panels
    low, high = -x - _REACH * std, -x + _REACH * std
    first = torch.searchsorted(ends, low)
    rule = [torch.from_numpy(v) for v in legendre(16)]
    cuts = torch.arange(_PARTS, dtype=torch.float64) / _PARTS
    unit = (cuts[:, None] + (1 + rule[0]) / (2 * _PARTS)).reshape(-1)  # nodes of the composite rule on [0, 1]
    weights = (rule[1] / (2 * _PARTS)).repeat(_PARTS)
    total = torch.zeros_like(x)
    for k in range(_OVERLAPS):
        panel = (first + k).clamp(max=len(ends) - 1)
        left = torch.maximum(low, starts[panel])
        length = (torch.minimum(high, ends[panel]) - left).clamp(min=0)
        length = torch.where(first + k < len(ends), length, torch.zeros_like(length))
        e = left[:, None] + length[:, None] * unit
        place = 2 * (e - starts[panel, None]) / (ends - starts)[panel, None] - 1
        p = clenshaw(coefficients[panel][:, None, :], place)
        kernel = gaussian_derivative((x[:, None] + e) / std, order) / std ** (order + 1)
        total += length * ((p * kernel) @ weights)
    return total


class _Smooth(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, risk: Tensor, panels: PanelDensity, order: int) -> Tensor:
        ctx.save_for_backward(x, risk)
        ctx.panels, ctx.order = panels, order
        points, risks = x.detach().reshape(-1), risk.detach().reshape(-1)
        out = torch.empty_like(points)
        for value in risks.unique().tolist():
            here = risks == value
            out[here] = panels.derivative(points[here], value, order=order)
        return out.reshape(x.shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, risk = ctx.saved_tensors
        needs = ctx.needs_input_grad

        def derivative(extra: int) -> Tensor:
            return _Smooth.apply(x, risk, ctx.panels, ctx.order + extra)  # pyright: ignore[reportReturnType]

        by_x = grad_outputs[0] * derivative(1) if needs[0] else None
        by_risk = grad_outputs[0] * derivative(2) if needs[1] else None  # the heat equation
        return by_x, by_risk, None, None
