"""Label noise from a mixture of Gaussians."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.noise.law import NoiseLaw, Size, number
from signscope.noise.smoothing import gaussian_sum
from signscope.noise.special import normal_cdf


@dataclass(frozen=True)
class Mixture(NoiseLaw):
    """eps ~ N(centres[j], stds[j]^2) with probability weights[j].

    Attributes:
        weights: Probabilities; they must add to 1 within 1e-6 and are then normalised.
        centres: Means of the components.
        stds: Their standard deviations, above 0.
    """

    weights: tuple[float, ...]
    centres: tuple[float, ...]
    stds: tuple[float, ...]
    name: ClassVar[str] = "mixture"

    def __post_init__(self) -> None:
        for name in ("weights", "centres", "stds"):
            object.__setattr__(self, name, checks.numbers("Mixture", name, getattr(self, name)))
        sizes = (len(self.weights), len(self.centres), len(self.stds))
        if len(set(sizes)) != 1 or not sizes[0]:
            raise InvalidInput(f"Mixture: needs as many weights as centres and stds, got {sizes}.")
        weights = [checks.positive("Mixture", f"weights[{i}]", w) for i, w in enumerate(self.weights)]
        if not abs(math.fsum(weights) - 1) <= 1e-6:
            raise InvalidInput(f"Mixture: `weights` must add to 1, got {math.fsum(weights):g}.")
        total = math.fsum(weights)
        exact = abs(total - 1) < 1e-15  # keeps the spec's round trip exact
        object.__setattr__(self, "weights", tuple(w if exact else w / total for w in weights))
        centres = tuple(checks.finite("Mixture", f"centres[{i}]", c) for i, c in enumerate(self.centres))
        object.__setattr__(self, "centres", centres)
        stds = tuple(checks.positive("Mixture", f"stds[{i}]", s) for i, s in enumerate(self.stds))
        object.__setattr__(self, "stds", stds)

    @property
    def spec(self) -> str:
        """``mixture:W1,MEAN1,STD1;W2,MEAN2,STD2;...``."""
        parts = zip(self.weights, self.centres, self.stds, strict=True)
        return "mixture:" + ";".join(",".join(number(v) for v in part) for part in parts)

    @equation("xiao2024", "m(a) of a Gaussian mixture")
    def m(self, a: Tensor) -> Tensor:
        """The weighted sum of the components' Gaussian forms."""
        weights, centres, stds = self._tensors()
        spread = 1 + 2 * a[..., None] * stds**2
        return (torch.rsqrt(spread) * torch.exp(-a[..., None] * centres**2 / spread)) @ weights

    def pdf(self, x: Tensor) -> Tensor:
        """The weighted sum of normal densities."""
        weights, centres, stds = self._tensors()
        t = (x[..., None] - centres) / stds
        return torch.exp(-0.5 * t * t) @ (weights / stds) / math.sqrt(2 * math.pi)

    def cdf(self, x: Tensor) -> Tensor:
        """The weighted sum of normal distribution functions."""
        weights, centres, stds = self._tensors()
        return normal_cdf((x[..., None] - centres) / stds) @ weights

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """A component for every draw, then a normal from it."""
        component = rng.choice(len(self.weights), size=size, p=np.asarray(self.weights))
        return np.asarray(self.centres)[component] + np.asarray(self.stds)[component] * rng.standard_normal(size)

    @property
    def mean(self) -> float:
        """Weighted mean of the centres."""
        return math.fsum(w * c for w, c in zip(self.weights, self.centres, strict=True))

    @property
    def second_moment(self) -> float:
        """Weighted mean of centre^2 + std^2."""
        parts = zip(self.weights, self.centres, self.stds, strict=True)
        return math.fsum(w * (c * c + s * s) for w, c, s in parts)

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """The mixture's density at 0."""
        return float(self.pdf(torch.zeros((), dtype=torch.float64)))

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        weights, centres, stds = self._tensors()
        return gaussian_sum(x, risk, centres=-centres, variances=stds**2, weights=weights)

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        weights, centres, stds = (torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.centres, self.stds))
        return weights, centres, stds
