"""Euler-Maruyama, and the same with Heun's drift."""

import math

import torch
from torch import Tensor

from signscope.integrate.equation import Equation, kicked_


def euler_step(equation: Equation, time: float, state: Tensor, dt: float, normals: Tensor) -> Tensor:
    """``Y + a dt + B sqrt(dt) xi``: weak order 1, one evaluation."""
    drift, spread = equation.coefficients(time, state)
    moved = torch.add(state, drift, alpha=dt)
    return kicked_(moved, spread, normals, math.sqrt(dt))


def heun_step(equation: Equation, time: float, state: Tensor, dt: float, normals: Tensor) -> Tensor:
    """Trapezoidal drift, noise as in `euler_step`: weak error dt^2 + eps dt for noise of variance eps."""
    drift, spread = equation.coefficients(time, state)
    kick = spread(normals).mul_(math.sqrt(dt))
    ahead, _ = equation.coefficients(time + dt, torch.add(state, drift, alpha=dt).add_(kick))
    return torch.add(state, drift + ahead, alpha=0.5 * dt).add_(kick)
