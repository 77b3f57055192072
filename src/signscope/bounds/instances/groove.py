"""Grooves: functions whose slope is the same at every point of a grid that an optimizer cannot leave."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.bounds.constants import Constants
from signscope.bounds.instances.base import Instance

ON_GRID = 1e-9
"""Points so near to the grid, in cells, count as on it: SGD would amplify their rounding by |1 - lr L/q| per step."""


@equation("tao2026", "groove function and stalling oracle of the lower bounds")
class Groove(Instance):
    r"""Sum of one-dimensional grooves, with an oracle that is silent most of the time.

    The slope of a groove is $-\epsilon$ at $0, h, 2h, \dots, nh$ and left of 0. In between it rises at rate L and falls
    back; where $h \ge 4\epsilon/L$ it runs $-\epsilon, +\epsilon, 0, -\epsilon$ so that a period has no net drop. After
    $nh$ it rises at rate L to 0 and stays there. Then p is L-smooth and, from 0,

    $$ \Delta = n\max(0, h\epsilon - Lh^2/4)\,[h < 4\epsilon/L] + \frac{\epsilon^2}{2L} $$

    The oracle returns $p'(x)/q$ with probability q and 0 otherwise: unbiased, with variance $\epsilon^2(1-q)/q$, which
    is $\sigma^2$ for $q = \epsilon^2/(\sigma^2+\epsilon^2)$.

    Args:
        slope: $\epsilon_i$ of every coordinate, 0 or more.
        smoothness: $L_i$, above 0 where the slope is.
        spacing: $h_i$.
        num_cells: Cells n before the slope rises to 0, the same for all coordinates.
        noise: $\sigma_i$; 0 makes the oracle exact.
        start: First point; left of 0 the slope is $-\epsilon$ throughout.
        together: Whether one draw wakes all coordinates (their q must agree) or each has its own.
        stated: See `Instance`.

    Attributes:
        constants: $\Delta$ is the exact drop from ``start``; the sums are over coordinates.
    """

    def __init__(
        self,
        slope: Sequence[float] | Tensor,
        *,
        smoothness: Sequence[float] | Tensor,
        spacing: Sequence[float] | Tensor,
        num_cells: int = 0,
        noise: Sequence[float] | Tensor | float = 0.0,
        start: float = 0.0,
        together: bool = False,
        stated: float = math.nan,
    ) -> None:
        self.slope = torch.as_tensor(slope, dtype=torch.float64)
        self.smoothness = torch.as_tensor(smoothness, dtype=torch.float64)
        self.spacing = torch.as_tensor(spacing, dtype=torch.float64).expand_as(self.slope)
        self.noise = torch.as_tensor(noise, dtype=torch.float64).expand_as(self.slope)
        self.num_cells = checks.integer("Groove", "num_cells", num_cells, minimum=0)
        self.together = together
        self.stated = stated
        square = self.slope**2
        self.awake = torch.where(square > 0, square / (square + self.noise**2), 1.0)
        self.rise = torch.where(self.slope > 0, self.slope / self.smoothness, 0.0)  # eps / L
        self.has_net_drop = self.spacing < 4 * self.rise
        drop = (self.spacing * self.slope - self.smoothness * self.spacing**2 / 4).clamp(min=0)
        self.drop = torch.where(self.has_net_drop, drop, 0.0)
        self.start = torch.full_like(self.slope, float(start))
        infimum = -self.num_cells * self.drop - self.slope * self.rise / 2
        gap = self.value(self.start[None]) - infimum.sum()
        self.constants = Constants.separable(float(gap), self.smoothness.tolist(), noise=self.noise.tolist())

    def gradient(self, x: Tensor) -> Tensor:
        """Slopes, (runs, dim)."""
        cell, inside = self._cell(x)
        triangle = -self.slope + self.smoothness * torch.minimum(inside, self.spacing - inside)
        up = -self.slope + self.smoothness * inside
        down = (3 * self.slope - self.smoothness * inside).clamp(min=0)
        back = (self.smoothness * (self.spacing - inside) - self.slope).clamp(max=0)
        wave = torch.where(inside < 2 * self.rise, up, down) + back
        tail = (-self.slope + self.smoothness * inside).clamp(max=0)
        slope = torch.where(self.has_net_drop, triangle, wave)
        slope = torch.where(cell >= self.num_cells, tail, slope)
        return torch.where(x < 0, -self.slope, slope)

    def value(self, x: Tensor) -> Tensor:
        """Sum of the grooves, 0 at the origin, (runs,)."""
        cell, inside = self._cell(x)
        rest = self.spacing - inside
        late = self.spacing * inside - inside**2 / 2 - self.spacing**2 / 4
        triangle = -self.slope * inside + self.smoothness * torch.where(inside < rest, inside**2 / 2, late)
        first = torch.minimum(inside, 2 * self.rise)
        second = (inside - 2 * self.rise).clamp(min=0).minimum(self.rise)
        last = (self.rise - rest).clamp(min=0)
        wave = -self.slope * first + self.slope * second + self.smoothness * (first**2 - second**2 - last**2) / 2
        end = torch.minimum(inside, self.rise)
        tail = -self.slope * end + self.smoothness * end**2 / 2
        local = torch.where(self.has_net_drop, triangle, wave)
        local = torch.where(cell >= self.num_cells, tail, local)
        return torch.where(x < 0, -self.slope * x, local - cell * self.drop).sum(-1)

    def draw(self, rng: np.random.Generator, num_runs: int, *, batch_size: int = 1) -> Tensor:
        """Factor on the gradient: share of awake samples over q, (runs, 1) or (runs, dim)."""
        awake = self.awake[self.slope > 0][:1] if self.together else self.awake
        counts = rng.binomial(batch_size, awake.numpy(), size=(num_runs, len(awake)))
        return torch.from_numpy(counts) / (batch_size * awake)

    def sampled(self, x: Tensor, sample: Tensor) -> Tensor:
        """The gradient, or nothing."""
        return sample * self.gradient(x)

    def _cell(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Number of the cell, at most ``num_cells``, and the way from its left end."""
        cell = torch.floor(x / self.spacing + ON_GRID).clamp(0, self.num_cells)
        inside = x - cell * self.spacing
        return cell, torch.where(inside.abs() <= ON_GRID * self.spacing, 0.0, inside)
