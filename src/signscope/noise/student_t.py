"""Student-t label noise."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.noise.law import Size, number
from signscope.noise.scale_mixture import ScaleMixture


@dataclass(frozen=True)
class StudentT(ScaleMixture):
    """scale times a Student-t variable: heavy tails, no variance when dof <= 2.

    Attributes:
        dof: Degrees of freedom nu, above 0; moments of order nu and more are infinite.
        scale: Scale, above 0 (not the standard deviation).
    """

    dof: float
    scale: float = 1.0
    name: ClassVar[str] = "student-t"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dof", checks.positive("StudentT", "dof", self.dof))
        object.__setattr__(self, "scale", checks.positive("StudentT", "scale", self.scale))

    @property
    def spec(self) -> str:
        """``student-t:NU`` or ``student-t:NU,SCALE``."""
        return f"student-t:{number(self.dof)}" + (f",{number(self.scale)}" if self.scale != 1 else "")

    def pdf(self, x: Tensor) -> Tensor:
        """The Student-t density."""
        nu = self.dof
        constant = math.lgamma(0.5 * (nu + 1)) - math.lgamma(0.5 * nu) - 0.5 * math.log(nu * math.pi)
        t = x / self.scale
        return torch.exp(constant - 0.5 * (nu + 1) * torch.log1p(t * t / nu)) / self.scale

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Student-t draws."""
        return self.scale * rng.standard_t(self.dof, size)

    @property
    def mean(self) -> float:
        """0, or nan when dof <= 1."""
        return 0.0 if self.dof > 1 else math.nan

    @property
    def second_moment(self) -> float:
        """scale^2 nu / (nu - 2), or inf when nu <= 2."""
        return self.scale**2 * self.dof / (self.dof - 2) if self.dof > 2 else math.inf

    def has_moment(self, order: float) -> bool:
        """Orders below dof."""
        return order < self.dof

    @property
    def _m_range(self) -> tuple[float, float]:
        square = self.scale**2  # 1 - m is of order (a s^2)^min(1, nu/2); corrections to a^-1/2 of order 1/(a s^2)
        low = max(1e-250, 1e-16 ** max(1.0, 2 / self.dof))
        return low / square, 1e16 * (self.dof + 1) / (2 * self.dof * square)

    @equation("xiao2024", "Student-t noise as a Gaussian scale mixture")
    def _variances(self) -> tuple[Tensor, Tensor]:
        """``s^2 / w``, w ~ Gamma(nu/2, rate nu/2), by the trapezoidal rule in log w.

        That rule converges exponentially: the density in log w is analytic within pi/2 of the real axis and as
        wide as sqrt(2/nu) when nu is large.
        """
        half = 0.5 * self.dof
        width = math.sqrt(1 / half)
        step = min(0.25, width / 2)
        low = -10 * width - 42 / half
        high = min(12 * width, math.log(50 / half + 1) + 4)
        s = torch.arange(math.floor(low / step), math.ceil(high / step) + 1, dtype=torch.float64) * step
        weights = torch.exp(half * (s - torch.expm1(s)))
        s, weights = s[weights > 1e-19], weights[weights > 1e-19]
        return self.scale**2 * torch.exp((-s).clamp(max=600)), weights / weights.sum()
