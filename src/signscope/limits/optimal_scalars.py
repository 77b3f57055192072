"""The scalars of a risk equation per unit of learning rate, tabulated: what a search over schedules evaluates."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.limits.coefficients import Setting, adam_moments, memory_rate, signum_moments, slope_of
from signscope.limits.gaussian import risk_scale
from signscope.problems import LeastSquares

_CELLS = 24  # per unit of log R: a cubic through values and slopes is then within 1e-8
_HIGHEST = 1e3  # of the risks met, in units of their scale
_LOWEST, _LOWEST_NOISELESS = 1e-9, 1e-26  # below the first, noise has settled every scalar

Columns = Callable[[Tensor], list[Tensor]]
"""Log R -> log A and the C_s, each like it and differentiable."""


class Scalars:
    r"""$\alpha = \eta\,A(R)\sqrt{q}$ and $b_s = \eta^2 C_s(R)\,q$, with q = 2P/w for Adam's lagging average, else 1.

    Args:
        columns: The functions, tabulated one unit of log R after the other as risks are met.
        low: Log of the smallest tabulated risk.
        num_units: Units of log R that the table may hold.
        memory_rate: rho_2, or None where nothing lags.
        second_moment: E eps^2, read where something lags.
    """

    def __init__(
        self, columns: Columns, low: float, num_units: int, *, memory_rate: float | None, second_moment: float
    ) -> None:
        self.low, self.memory_rate, self.second_moment = low, memory_rate, second_moment
        self.smallest = math.exp(low)  # risks below are not told apart
        self._columns, self._filled = columns, np.zeros(num_units * _CELLS, dtype=bool)
        self._cells = np.zeros((num_units * _CELLS, 4, 0))

    def __call__(self, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A, like ``risk``, and the C_s, of shape (..., sources)."""
        cubic, u = self._place(risk)
        values = cubic[..., 0, :] + u * (cubic[..., 1, :] + u * (cubic[..., 2, :] + u * cubic[..., 3, :]))
        return np.exp(values[..., 0]), values[..., 1:]

    def slopes(self, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of A and C_s in R; zero outside the table."""
        cubic, u = self._place(risk)
        values = cubic[..., 0, :] + u * (cubic[..., 1, :] + u * (cubic[..., 2, :] + u * cubic[..., 3, :]))
        inner = cubic[..., 1, :] + u * (2 * cubic[..., 2, :] + 3 * u * cubic[..., 3, :])
        inside = (risk[..., None] > self.smallest) & (u < 1)
        inner = np.where(inside, inner * _CELLS, 0.0) / np.maximum(risk, self.smallest)[..., None]
        return np.exp(values[..., 0]) * inner[..., 0], inner[..., 1:]

    def per_sample(self, batch_size: int, power: float) -> "Scalars":
        """The same with time in samples/dim and the rate in units of batch_size^power."""

        def columns(log_risk: Tensor) -> list[Tensor]:
            first, *others = self._columns(log_risk)
            return [first + (power - 1) * math.log(batch_size), *(c * batch_size ** (2 * power - 1) for c in others)]

        rate = None if self.memory_rate is None else self.memory_rate / batch_size
        num_units = len(self._filled) // _CELLS
        return Scalars(columns, self.low, num_units, memory_rate=rate, second_moment=self.second_moment)

    def _place(self, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place = (np.log(np.fmax(risk, self.smallest)) - self.low) * _CELLS  # fmax and fmin pass no NaN on
        index = np.fmin(place, len(self._filled) - 1).astype(np.intp)
        if not self._filled[index].all():
            for unit in np.unique(index[~self._filled[index]] // _CELLS):
                self._fill(int(unit))
        return self._cells[index], np.minimum(place - index, 1.0)[..., None]

    def _fill(self, unit: int) -> None:
        nodes = self.low + unit + torch.arange(_CELLS + 1, dtype=torch.float64) / _CELLS
        nodes.requires_grad_()
        cubic = _hermite(np.stack([_detached(column, nodes) for column in self._columns(nodes)], axis=-1))
        if not self._cells.shape[-1]:
            self._cells = np.zeros((*self._cells.shape[:-1], cubic.shape[-1]))
        cells = slice(unit * _CELLS, (unit + 1) * _CELLS)
        self._cells[cells], self._filled[cells] = cubic, True


def scalars(problem: LeastSquares, setting: Setting) -> Scalars:
    """The scalars of ``setting``: the equations of `signscope.limits.coefficients`, by their own functions."""
    scale = risk_scale(problem)
    lowest = _LOWEST if problem.noise.second_moment > 0 else _LOWEST_NOISELESS
    return Scalars(
        _columns(problem, setting, scale),
        math.log(lowest * scale),
        math.ceil(math.log(_HIGHEST / lowest)),
        memory_rate=memory_rate(setting, problem),
        second_moment=problem.noise.second_moment,
    )


@equation("signscope", "(4.1) per unit of learning rate")
def _columns(problem: LeastSquares, setting: Setting, scale: float) -> Columns:
    """Log A and the C_s as functions of log R."""
    dim, law = problem.dim, problem.noise
    if setting.optimizer == "sgd":
        half, per = 0.5 * law.second_moment, 1 / (dim * setting.batch_size)
        return lambda x: [torch.full_like(x, math.log(2)), per * (x.exp() + half)]
    if setting.kernel == "signsgd":
        slope = slope_of(law, setting.batch_size, scale)
        noise = 1 / (math.pi * dim)
        return lambda x: [torch.log(2 * slope(x.exp()).clamp(min=1e-280)), torch.full_like(x, noise)]
    settled = 1e-8 * scale if law.second_moment > 0 else 0.0
    if setting.kernel == "signum":
        signs = signum_moments(problem, setting)

        def signum(x: Tensor) -> list[Tensor]:
            slope, arcsine, linear = signs(x.exp().clamp(min=settled))
            return [torch.log(2 * slope.clamp(min=1e-280)), arcsine / (math.pi * dim), linear / (math.pi * dim)]

        return signum
    moments = adam_moments(problem, setting)

    def adam(x: Tensor) -> list[Tensor]:
        slope, c2, c3 = moments(x.exp().clamp(min=settled))
        return [torch.log(2 * slope.clamp(min=1e-280)), c2 / (2 * dim), (c3 - c2) / (2 * dim)]

    return adam


def _detached(column: Tensor, log_risk: Tensor) -> np.ndarray:
    """Values and slopes in log R, shape (2, points)."""
    if not column.requires_grad:
        return np.stack([column.numpy(), np.zeros(len(column))])
    (slope,) = torch.autograd.grad(column.sum(), log_risk, retain_graph=True)
    return np.stack([column.detach().numpy(), np.nan_to_num(slope.numpy())])


def _hermite(nodes: np.ndarray) -> np.ndarray:
    """Cubic coefficients in the fraction of a cell, from (values and slopes, points, columns)."""
    value, slope = nodes[0], nodes[1] / _CELLS
    step = value[1:] - value[:-1]
    second = 3 * step - 2 * slope[:-1] - slope[1:]
    third = slope[:-1] + slope[1:] - 2 * step
    return np.stack([value[:-1], slope[:-1], second, third], axis=1)
