"""Cauchy label noise, centred anywhere."""

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
from signscope.noise.special import erfcx, faddeeva


@dataclass(frozen=True)
class Cauchy(NoiseLaw):
    """Density scale / (pi (scale^2 + (eps - centre)^2)): no mean, no variance, and signs do not mind.

    Attributes:
        scale: Half width at half height, above 0.
        centre: Median.
    """

    scale: float
    centre: float = 0.0
    name: ClassVar[str] = "cauchy"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", checks.positive("Cauchy", "scale", self.scale))
        object.__setattr__(self, "centre", checks.finite("Cauchy", "centre", self.centre))

    @property
    def spec(self) -> str:
        """``cauchy:SCALE`` or ``cauchy:LOC,SCALE``."""
        start = f"{number(self.centre)}," if self.centre else ""
        return f"cauchy:{start}{number(self.scale)}"

    @equation("signscope", "m(a) of Cauchy noise")
    def m(self, a: Tensor) -> Tensor:
        """``Re w(sqrt(a) (mu + i g))``, w the Faddeeva function; ``erfcx(g sqrt a)`` when centred at 0."""
        root = torch.sqrt(a)
        if self.centre == 0:
            return erfcx(self.scale * root)
        return faddeeva(torch.complex(abs(self.centre) * root, self.scale * root)).real

    def pdf(self, x: Tensor) -> Tensor:
        """The Cauchy density."""
        return self.scale / (math.pi * (self.scale**2 + (x - self.centre) ** 2))

    def cdf(self, x: Tensor) -> Tensor:
        """An arctangent."""
        return 0.5 + torch.atan((x - self.centre) / self.scale) / math.pi

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Cauchy draws."""
        return self.centre + self.scale * rng.standard_cauchy(size)

    @property
    def mean(self) -> float:
        """Undefined."""
        return math.nan

    @property
    def second_moment(self) -> float:
        """Infinite."""
        return math.inf

    def has_moment(self, order: float) -> bool:
        """Orders below 1 only."""
        return order < 1

    @property
    def density_at_zero(self) -> float:
        """The Cauchy density at 0."""
        return self.scale / (math.pi * (self.scale**2 + self.centre**2))

    @equation("signscope", "Cauchy law smoothed by a Gaussian: the Voigt profile")
    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        width = torch.sqrt(4 * risk)  # sqrt(2) times the Gaussian's standard deviation
        z = torch.complex((x + self.centre) / width, self.scale / width)
        return faddeeva(z).real / (width * math.sqrt(math.pi))
