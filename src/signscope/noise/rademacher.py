"""Label noise of fixed size and random sign."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope.noise.law import NoiseLaw, Size, number


@dataclass(frozen=True)
class Rademacher(NoiseLaw):
    """eps = +-size with probability 1/2 each: a gap around 0, hence a risk floor for single-row signs.

    Attributes:
        size: |eps|, above 0.
    """

    size: float
    name: ClassVar[str] = "rademacher"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", checks.positive("Rademacher", "size", self.size))

    @property
    def spec(self) -> str:
        """``rademacher:C``."""
        return f"rademacher:{number(self.size)}"

    @equation("xiao2024", "m(a) of Rademacher noise")
    def m(self, a: Tensor) -> Tensor:
        """``exp(-a c^2)``."""
        return torch.exp(-a * self.size**2)

    def pdf(self, x: Tensor) -> Tensor:
        """Raises `Unsupported`: two atoms."""
        raise Unsupported("pdf: Rademacher noise has no density, only two atoms. Use cdf or sample.")

    def cdf(self, x: Tensor) -> Tensor:
        """Two steps of 1/2."""
        return 0.5 * (x >= -self.size).to(torch.float64) + 0.5 * (x >= self.size).to(torch.float64)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Fair signs times the size."""
        return rng.choice(np.array([-self.size, self.size]), size)

    @property
    def mean(self) -> float:
        """0."""
        return 0.0

    @property
    def second_moment(self) -> float:
        """size^2."""
        return self.size**2

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """0."""
        return 0.0

    @property
    def gap(self) -> float:
        """The size."""
        return self.size

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        both = torch.exp(-((x - self.size) ** 2) / (4 * risk)) + torch.exp(-((x + self.size) ** 2) / (4 * risk))
        return 0.5 * both / torch.sqrt(4 * math.pi * risk)
