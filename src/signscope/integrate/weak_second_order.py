"""Two explicit schemes of weak order 2: Platen's for diagonal noise, a trapezoid for any noise that is small."""

import math

import torch
from torch import Tensor

from signscope.integrate.equation import Equation


def platen_step(equation: Equation, time: float, state: Tensor, dt: float, normals: Tensor) -> Tensor:
    r"""One step of Platen's explicit scheme (Kloeden and Platen 1992, equation 15.1.1).

    $$ Y' = Y + \tfrac{dt}{2}(a(U) + a) + \tfrac14 (b(U_+) + b(U_-) + 2b)\,dW
          + \tfrac14 (b(U_+) - b(U_-)) \frac{dW^2 - dt}{\sqrt{dt}} $$

    with U = Y + a dt + b dW and U+- = Y + a dt +- b sqrt(dt), coordinate by coordinate.

    Notes:
        Four evaluations; for diagonal noise only. Weak order 2 where each diffusion depends on its own coordinate
        alone. Elsewhere, with noise of variance eps, the weak error is dt^2 + eps^2 dt.
    """
    root = math.sqrt(dt)
    drift, spread = equation.coefficients(time, state)
    kick = spread(normals)
    settled = torch.add(state, drift, alpha=dt)
    ahead, _ = equation.coefficients(time + dt, torch.add(settled, kick, alpha=root))
    size = spread(torch.ones_like(normals))
    _, above = equation.coefficients(time + dt, torch.add(settled, size, alpha=root))
    _, below = equation.coefficients(time + dt, torch.add(settled, size, alpha=-root))
    moved = torch.add(state, drift + ahead, alpha=0.5 * dt)
    moved += (above(normals) + below(normals) + 2 * kick) * (0.25 * root)
    squares = normals.square() - 1
    return moved.add_(above(squares) - below(squares), alpha=0.25 * root)


def trapezoid_step(equation: Equation, time: float, state: Tensor, dt: float, normals: Tensor) -> Tensor:
    r"""One step of the trapezoidal rule for drift and diffusion.

    $$ Y' = Y + \tfrac{dt}{2}(a(Y + a\,dt + b\,dW) + a) + \tfrac12 (b(Y + a\,dt) + b)\,dW $$

    Notes:
        Three evaluations, any noise. With noise of variance eps the weak error is dt^2 + eps^2 dt: what is left out of
        the moments of one step is of order eps^2 dt^2. For the SDEs of optimizers eps = lr.
    """
    root = math.sqrt(dt)
    drift, spread = equation.coefficients(time, state)
    kick = spread(normals)
    settled = torch.add(state, drift, alpha=dt)
    ahead, _ = equation.coefficients(time + dt, torch.add(settled, kick, alpha=root))
    _, later = equation.coefficients(time + dt, settled)
    moved = torch.add(state, drift + ahead, alpha=0.5 * dt)
    return moved.add_(later(normals) + kick, alpha=0.5 * root)
