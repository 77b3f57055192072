"""`MTable`: m(a) of a law with many atoms, from a Chebyshev table in log a."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from signscope.noise.piecewise import interpolate, panels_for

_WIDTH = 1.0  # panel width in log a
_NODES = 16


class MTable:
    """A fast stand-in for ``m``, within 1e-12 of it in absolute terms.

    m is a Laplace transform of a probability law, hence analytic and bounded by 1 for |Im log a| < pi/2: 16
    Chebyshev points on panels of width 1 in log a give 13 digits whatever the law.

    Args:
        m: The exact function.
        low: Below this a, m is 1 to rounding.
        high: Above this a, m falls as a^-power.
        power: Exponent of that fall; 0 for a constant.
    """

    def __init__(self, m: Callable[[Tensor], Tensor], *, low: float, high: float, power: float) -> None:
        self.low, self.high, self.power = low, high, power
        start, end = math.log(low), math.log(high)
        panels = panels_for(start, end, width=_WIDTH)
        self.table = interpolate(lambda x: m(torch.exp(x)), start, high=end, num_panels=panels, num_nodes=_NODES)

    def __call__(self, a: Tensor) -> Tensor:
        """m(a), any shape, differentiable."""
        value = self.table(torch.log(a.clamp(self.low, self.high))).clamp(0, 1)
        if self.power == 0:
            return value
        return value * (self.high / a.clamp(min=self.high)) ** self.power
