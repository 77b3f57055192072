"""Gaussian label noise."""

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
from signscope.noise.slope import batch_factor
from signscope.noise.special import normal_cdf


@dataclass(frozen=True)
class Gaussian(NoiseLaw):
    """eps ~ N(centre, std^2).

    Attributes:
        std: Standard deviation, above 0.
        centre: Mean.
    """

    std: float
    centre: float = 0.0
    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", checks.positive("Gaussian", "std", self.std))
        object.__setattr__(self, "centre", checks.finite("Gaussian", "centre", self.centre))

    @property
    def spec(self) -> str:
        """``gaussian:STD`` or ``gaussian:MEAN,STD``."""
        start = f"{number(self.centre)}," if self.centre else ""
        return f"gaussian:{start}{number(self.std)}"

    @equation("xiao2024", "m(a) of Gaussian noise")
    def m(self, a: Tensor) -> Tensor:
        """``(1 + 2 a s^2)^(-1/2) exp(-a mu^2 / (1 + 2 a s^2))``."""
        spread = 1 + 2 * a * self.std**2
        return torch.rsqrt(spread) * torch.exp(-a * self.centre**2 / spread)

    def pdf(self, x: Tensor) -> Tensor:
        """The normal density."""
        t = (x - self.centre) / self.std
        return torch.exp(-0.5 * t * t) / (self.std * math.sqrt(2 * math.pi))

    def cdf(self, x: Tensor) -> Tensor:
        """The normal distribution function."""
        return normal_cdf((x - self.centre) / self.std)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Normal draws."""
        return rng.normal(self.centre, self.std, size)

    @property
    def mean(self) -> float:
        """The centre."""
        return self.centre

    @property
    def second_moment(self) -> float:
        """centre^2 + std^2."""
        return self.centre**2 + self.std**2

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """The normal density at 0."""
        return float(self.pdf(torch.zeros((), dtype=torch.float64)))

    def _phi(self, risk: Tensor, batch_size: int) -> Tensor:
        if self.centre == 0 or batch_size == 1:  # closed form, smooth at R = 0 as well
            doubled = 2 * risk + self.std**2
            shift = torch.exp(-(self.centre**2) / (2 * doubled))
            return batch_factor(batch_size) * 2 / math.pi * torch.rsqrt(doubled) * shift
        return super()._phi(risk, batch_size)

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        variance = 2 * risk + self.std**2
        return torch.exp(-((x + self.centre) ** 2) / (2 * variance)) / torch.sqrt(2 * math.pi * variance)
