"""m(a) of a law known by its characteristic function."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from signscope._core.equations import equation

_STEP = 0.125
_LEFT = 38.0


class CharacteristicRule:
    r"""$m(a) = E\,\mathrm{Re}\,\mathrm{cf}(\sqrt{2a}\,Z)$, Z standard normal, by the trapezoidal rule in log |Z|.

    Args:
        cf: Real part of the characteristic function at t > 0, analytic in log t within pi/4 of the real axis
            (stable laws are; strongly oscillating ones are not).
        scale: Width of the law, where cf(1/scale) has begun to fall.
        reach: cf(e^reach / scale) is below rounding, or 2.3 if that is larger.

    Notes:
        Relative accuracy 1e-13 at any a >= 0: the nodes move with a, so that both the bell of Z and the fall of
        cf are covered.
    """

    def __init__(self, cf: Callable[[Tensor], Tensor], *, scale: float, reach: float) -> None:
        self.cf, self.scale = cf, scale
        log_nodes = torch.arange(-_LEFT, reach + _STEP, _STEP, dtype=torch.float64)
        self.nodes = torch.exp(log_nodes)

    @equation("signscope", "m(a) from a characteristic function, trapezoidal rule")
    def __call__(self, a: Tensor) -> Tensor:
        """m(a), any shape, differentiable for a > 0."""
        stretch = torch.rsqrt(1 + 2 * a * self.scale**2)[..., None]
        z = self.nodes * stretch
        values = torch.exp(-0.5 * z * z) * self.cf(torch.sqrt(2 * a)[..., None] * z)
        return math.sqrt(2 / math.pi) * _STEP * (values * z).sum(-1)
