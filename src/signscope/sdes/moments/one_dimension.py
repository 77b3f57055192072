"""Expectations of a one-dimensional SDE without sampling: backward equation, stationary density."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation

Field = Callable[[Tensor], Tensor]
"""Values at positions (n,)."""


@equation("signscope", "backward equation of an SDE in one dimension")
def expectations(
    drift: Field,
    variance: Field,
    observables: Sequence[Field],
    start: float,
    *,
    horizon: float,
    reach: float = 4.0,
    points: int = 2001,
    steps: int = 400,
) -> Tensor:
    r"""E g(X_T) for dX = b dt + sqrt(s) dW, X_0 = ``start``, from $u_t = b u_x + \tfrac12 s\,u_{xx}$.

    Crank-Nicolson on [-reach, reach], with Richardson's extrapolation from half the points and steps.

    Args:
        drift: b.
        variance: s, the variance per unit of time.
        observables: Functions g.
        start: First position, inside the interval.
        horizon: T.
        reach: End of the interval; paths must stay well inside.
        points: Grid points, odd.
        steps: Steps of time.

    Returns:
        One expectation per observable, (len(observables),), float64; about 1e-7 for smooth coefficients.
    """
    fine, coarse = (
        _solve(drift, variance, observables, start, horizon, reach, (points - 1) // k + 1, steps // k) for k in (1, 2)
    )
    return torch.from_numpy((4 * fine - coarse) / 3)


def _solve(
    drift: Field,
    variance: Field,
    observables: Sequence[Field],
    start: float,
    horizon: float,
    reach: float,
    points: int,
    steps: int,
) -> np.ndarray:
    from scipy.interpolate import make_interp_spline
    from scipy.linalg import solve_banded

    x = torch.linspace(-reach, reach, points, dtype=torch.float64)
    h, dt = 2 * reach / (points - 1), horizon / steps
    b, s = drift(x).numpy(), variance(x).numpy()
    lower, upper = 0.5 * s / h**2 - 0.5 * b / h, 0.5 * s / h**2 + 0.5 * b / h
    middle = -s / h**2
    # at the ends no diffusion and a one-sided slope: paths point inwards there
    lower[0] = 0.0
    upper[0], middle[0] = b[0] / h, -b[0] / h
    upper[-1] = 0.0
    lower[-1], middle[-1] = -b[-1] / h, b[-1] / h
    bands = np.zeros((3, points))
    bands[0, 1:], bands[1], bands[2, :-1] = -0.5 * dt * upper[:-1], 1 - 0.5 * dt * middle, -0.5 * dt * lower[1:]
    u = np.stack([g(x).numpy() for g in observables], axis=1)
    for _ in range(steps):
        right = (1 + 0.5 * dt * middle)[:, None] * u
        right[:-1] += (0.5 * dt * upper[:-1])[:, None] * u[1:]
        right[1:] += (0.5 * dt * lower[1:])[:, None] * u[:-1]
        u = solve_banded((1, 1), bands, right)
    return make_interp_spline(x.numpy(), u, k=5)(start)


@equation("signscope", "stationary density of an SDE in one dimension")
def stationary_density(drift: Field, variance: Field, *, reach: float, points: int = 20001) -> tuple[Tensor, Tensor]:
    r"""$p(x) \propto s^{-1} \exp(\int 2b/s\,dx)$ on [-reach, reach].

    Returns:
        Positions and quadrature weights times density, adding to 1.

    Notes:
        The integral is the trapezoidal rule; the sum of smooth, vanishing ends converges quickly.
    """
    reach = checks.positive("stationary_density", "reach", reach)
    x = torch.linspace(-reach, reach, points, dtype=torch.float64)
    s = variance(x)
    slope = 2 * drift(x) / s
    height = torch.cumulative_trapezoid(slope, x)
    logs = torch.cat([torch.zeros(1, dtype=torch.float64), height]) - s.log()
    return x, torch.softmax(logs, 0)
