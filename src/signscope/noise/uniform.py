"""Uniform label noise."""

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
from signscope.noise.quadrature import legendre
from signscope.noise.smoothing import gaussian_sum
from signscope.noise.special import erf_ratio


@dataclass(frozen=True)
class Uniform(NoiseLaw):
    """eps uniform on (-half_width, half_width).

    Attributes:
        half_width: Largest |eps|, above 0.
    """

    half_width: float
    name: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        object.__setattr__(self, "half_width", checks.positive("Uniform", "half_width", self.half_width))

    @property
    def spec(self) -> str:
        """``uniform:C``."""
        return f"uniform:{number(self.half_width)}"

    @equation("xiao2024", "m(a) of uniform noise")
    def m(self, a: Tensor) -> Tensor:
        """``sqrt(pi / (4a)) erf(c sqrt a) / c``."""
        return erf_ratio(self.half_width**2 * a)

    def pdf(self, x: Tensor) -> Tensor:
        """1/(2c) inside."""
        return (x.abs() <= self.half_width).to(torch.float64) / (2 * self.half_width)

    def cdf(self, x: Tensor) -> Tensor:
        """A ramp."""
        return (0.5 + x / (2 * self.half_width)).clamp(0, 1)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Uniform draws."""
        return rng.uniform(-self.half_width, self.half_width, size)

    @property
    def mean(self) -> float:
        """0."""
        return 0.0

    @property
    def second_moment(self) -> float:
        """c^2 / 3."""
        return self.half_width**2 / 3

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """1/(2c)."""
        return 0.5 / self.half_width

    @equation("signscope", "uniform law smoothed by a Gaussian")
    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        std = torch.sqrt(2 * risk)
        distance = x.abs()  # the tails of one side: a difference of small numbers, not of numbers near 1
        inner = torch.special.erfc((distance - self.half_width) / (math.sqrt(2) * std))
        outer = torch.special.erfc((distance + self.half_width) / (math.sqrt(2) * std))
        nodes, weights = (torch.from_numpy(v) for v in legendre(16))
        narrow = gaussian_sum(
            x, risk, centres=self.half_width * nodes, variances=torch.zeros_like(nodes), weights=weights / 2
        )  # no cancellation where the Gaussian is the wider of the two
        return torch.where(std > self.half_width, narrow, (inner - outer) / (4 * self.half_width))
