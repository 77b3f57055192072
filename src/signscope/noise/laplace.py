"""Laplace (double exponential) label noise."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.noise.law import NoiseLaw, Size, number
from signscope.noise.special import erfcx, erfcx_ratio


@dataclass(frozen=True)
class Laplace(NoiseLaw):
    """Density exp(-|eps| / scale) / (2 scale).

    Attributes:
        scale: E |eps|, above 0.
    """

    scale: float
    name: ClassVar[str] = "laplace"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", checks.positive("Laplace", "scale", self.scale))

    @property
    def spec(self) -> str:
        """``laplace:B``."""
        return f"laplace:{number(self.scale)}"

    @equation("xiao2024", "m(a) of Laplace noise")
    def m(self, a: Tensor) -> Tensor:
        """``sqrt(pi) x erfcx(x)`` at ``x = 1 / (2 b sqrt a)``."""
        return erfcx_ratio(2 * self.scale**2 * a)

    def pdf(self, x: Tensor) -> Tensor:
        """The double exponential."""
        return torch.exp(-x.abs() / self.scale) / (2 * self.scale)

    def cdf(self, x: Tensor) -> Tensor:
        """Half an exponential on each side."""
        tail = 0.5 * torch.exp(-x.abs() / self.scale)
        return torch.where(x < 0, tail, 1 - tail)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Laplace draws."""
        return rng.laplace(0.0, self.scale, size)

    @property
    def mean(self) -> float:
        """0."""
        return 0.0

    @property
    def second_moment(self) -> float:
        """2 b^2."""
        return 2 * self.scale**2

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """1/(2b)."""
        return 0.5 / self.scale

    @equation("signscope", "Laplace law smoothed by a Gaussian")
    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        std = torch.sqrt(2 * risk)
        ratio = std / (math.sqrt(2) * self.scale)
        t = x / (math.sqrt(2) * std)
        return (_half(ratio - t, ratio, t) + _half(ratio + t, ratio, t)) / (4 * self.scale)


def _half(y: Tensor, ratio: Tensor, t: Tensor) -> Tensor:
    """``exp(-t^2) erfcx(y)``, with ``erfcx(y) = 2 exp(y^2) - erfcx(-y)`` where y < 0 would overflow."""
    negative = y < 0
    scaled = torch.exp(-t * t) * erfcx(torch.where(negative, -y, y))
    exponent = torch.where(negative, ratio * ratio - 2 * ratio * t.abs(), torch.zeros_like(y))
    return torch.where(negative, 2 * torch.exp(exponent) - scaled, scaled)
