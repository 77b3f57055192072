"""No label noise."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import Unsupported
from signscope.noise.law import NoiseLaw, Size, as_risk
from signscope.noise.slope import batch_factor


@dataclass(frozen=True)
class NoNoise(NoiseLaw):
    """eps = 0: m(a) = 1, and phi_B(R) = c_B 2/(pi sqrt(2R)) grows without bound as the risk falls."""

    name: ClassVar[str] = "none"

    @property
    def spec(self) -> str:
        """``none``."""
        return "none"

    def m(self, a: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(a)

    def pdf(self, x: Tensor) -> Tensor:
        """Raises `Unsupported`: all mass sits at 0."""
        raise Unsupported("pdf: the law `none` has no density, all its mass is at 0. Use cdf or sample.")

    def cdf(self, x: Tensor) -> Tensor:
        """A step at 0."""
        return (x >= 0).to(torch.float64)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Zeros; the generator is not used."""
        return np.zeros(size)

    @property
    def mean(self) -> float:
        """0."""
        return 0.0

    @property
    def second_moment(self) -> float:
        """0."""
        return 0.0

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """Infinite."""
        return math.inf

    @property
    def atom_at_zero(self) -> float:
        """1."""
        return 1.0

    def psi(self, risk: Tensor, *, batch_size: int = 1) -> Tensor:
        """c_B / sqrt(B), whatever the risk."""
        size = checks.integer("psi", "batch_size", batch_size, minimum=1)
        return torch.full_like(as_risk("psi", risk), batch_factor(size) / math.sqrt(size))

    def _phi(self, risk: Tensor, batch_size: int) -> Tensor:
        return batch_factor(batch_size) * 2 / (math.pi * torch.sqrt(2 * risk))

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        return torch.exp(-x * x / (4 * risk)) / torch.sqrt(4 * math.pi * risk)
