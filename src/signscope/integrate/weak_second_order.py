"""Explicit schemes of weak order 2: Platen's for diagonal noise, one for any noise, a trapezoid for small noise."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.equation import Equation


@equation("kloeden1992", "(15.1.1), explicit scheme of weak order 2")
def platen_step(equation: Equation, time: float, state: Tensor, dt: float, normals: Tensor) -> Tensor:
    r"""One step of Platen's explicit scheme.

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


@equation("kloeden1992", "weak Taylor scheme of order 2 for noise shared between coordinates")
@equation("milstein2004", "two-point variables for the areas between Brownian motions")
@equation("abdulle2013", "supporting values: two for the diffusion, two per Brownian motion")
def shared_noise_step(equation: Equation, time: float, state: Tensor, dt: float, normals: Tensor) -> Tensor:
    r"""One step of weak order 2 where each Brownian motion moves many coordinates, without derivatives.

    $$ Y' = Y + \tfrac{dt}{2}\bigl(a + a(Y + a\,dt + b\,dW)\bigr)
          + \tfrac12 \bigl(b(M_+) + b(M_-)\bigr)\,dW
          + \tfrac12 \sum_r \bigl(b_r(Y + b J_r) - b_r(Y - b J_r)\bigr) $$

    with $M_\pm = Y + \tfrac{dt}{2} a \pm \sqrt{dt/2}\,b\,\zeta$ at half the step and
    $J_{qr} = \tfrac12(dW_q dW_r \mp dt\,\zeta_q\zeta_r)$, minus for q >= r, with fair signs $\zeta$: the mean and the
    covariance of the iterated integrals, and theirs with dW.

    Args:
        equation: Its diffusion must be linear in the normals it is given.
        time: Start of the step.
        state: Y.
        dt: Length.
        normals: (num_paths, 2 num_noises): those of dW, then as many whose signs are zeta.

    Returns:
        The state after the step.

    Notes:
        2 num_noises + 4 evaluations: for a few Brownian motions, or where `trapezoid_step` leaves too much.
    """
    num, root = equation.num_noises, math.sqrt(dt)
    xi = normals[:, :num]
    coin = torch.where(normals[:, num:] >= 0, 1.0, -1.0).to(xi)
    drift, spread = equation.coefficients(time, state)
    ahead, _ = equation.coefficients(time + dt, torch.add(state, drift, alpha=dt).add_(spread(xi), alpha=root))
    moved = torch.add(state, drift + ahead, alpha=0.5 * dt)
    middle, side = torch.add(state, drift, alpha=0.5 * dt), spread(coin) * math.sqrt(0.5 * dt)
    for way in (1, -1):
        _, near = equation.coefficients(time + 0.5 * dt, torch.add(middle, side, alpha=way))
        moved.add_(near(xi), alpha=0.5 * root)
    order = torch.arange(num, device=xi.device)
    for r in range(num):
        area = torch.where(order >= r, -coin, coin) * coin[:, r : r + 1]
        shift = spread((xi * xi[:, r : r + 1] + area) * (0.5 * dt))
        unit = torch.zeros_like(xi)
        unit[:, r] = 1
        for way in (1, -1):
            _, near = equation.coefficients(time, torch.add(state, shift, alpha=way))
            moved.add_(near(unit), alpha=0.5 * way)
    return moved


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
