"""Symmetric alpha-stable label noise."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.noise.characteristic import CharacteristicRule
from signscope.noise.law import Size, number
from signscope.noise.quadrature import composite
from signscope.noise.scale_mixture import ScaleMixture

_LOG_TINY = 39.0  # e^-39 is below the rounding of 1


@dataclass(frozen=True)
class Stable(ScaleMixture):
    """The law with characteristic function exp(-(scale |t|)^alpha): 2 is Gaussian, 1 is Cauchy.

    Attributes:
        alpha: Tail index in [0.1, 2]; moments of order alpha and more are infinite below 2.
        scale: Scale, above 0. At alpha = 2 the standard deviation is sqrt(2) scale.
    """

    alpha: float
    scale: float = 1.0
    name: ClassVar[str] = "stable"

    def __post_init__(self) -> None:
        alpha = checks.positive("Stable", "alpha", self.alpha)
        if not 0.1 <= alpha <= 2:
            raise InvalidInput(f"Stable: `alpha` must lie in [0.1, 2], got {alpha:g}.")
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "scale", checks.positive("Stable", "scale", self.scale))

    @property
    def spec(self) -> str:
        """``stable:ALPHA,SCALE``."""
        return f"stable:{number(self.alpha)},{number(self.scale)}"

    @equation("signscope", "m(a) from a characteristic function")
    def m(self, a: Tensor) -> Tensor:
        """``E exp(-(scale sqrt(2a) |Z|)^alpha)``, Z standard normal."""
        return self._rule_of_cf(a)

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draws by the method of Chambers, Mallows and Stuck."""
        angle = rng.uniform(-0.5 * math.pi, 0.5 * math.pi, size)
        wait = rng.standard_exponential(size)
        alpha = self.alpha
        tail = (np.cos((1 - alpha) * angle) / wait) ** ((1 - alpha) / alpha)
        return self.scale * np.sin(alpha * angle) / np.cos(angle) ** (1 / alpha) * tail

    @property
    def mean(self) -> float:
        """0, or nan when alpha <= 1."""
        return 0.0 if self.alpha > 1 else math.nan

    @property
    def second_moment(self) -> float:
        """Infinite unless alpha = 2."""
        return 2 * self.scale**2 if self.alpha == 2 else math.inf

    def has_moment(self, order: float) -> bool:
        """Orders below alpha; all at alpha = 2."""
        return self.alpha == 2 or order < self.alpha

    @property
    def density_at_zero(self) -> float:
        """Gamma(1 + 1/alpha) / (pi scale)."""
        return math.gamma(1 + 1 / self.alpha) / (math.pi * self.scale)

    @property
    def _m_range(self) -> tuple[float, float]:
        unit = 0.5 / self.scale**2  # 1 - m = (a / unit)^(alpha/2) + ...; corrections to a^-1/2 are of order 1/a
        size = math.exp(math.lgamma(3 / self.alpha) - math.lgamma(1 / self.alpha))
        return unit * max(1e-250, 1e-15 ** (2 / self.alpha)), unit * 1e16 * size

    @cached_property
    def _rule_of_cf(self) -> CharacteristicRule:
        return CharacteristicRule(self._characteristic, scale=self.scale, reach=max(2.3, 3.8 / self.alpha))

    def _characteristic(self, t: Tensor) -> Tensor:
        return torch.exp(-((self.scale * t) ** self.alpha))

    def _variances(self) -> tuple[Tensor, Tensor]:
        if self.alpha == 2:
            return torch.tensor([2 * self.scale**2], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        log_nodes, weights = positive_stable(0.5 * self.alpha)
        return 2 * self.scale**2 * torch.exp(torch.from_numpy(log_nodes.clip(max=690))), torch.from_numpy(weights)


def positive_stable(index: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    r"""Nodes (of log A) and weights of the positive stable law with $E e^{-qA} = e^{-q^{index}}$, 0 < index < 1.

    Kanter's representation: $A = (a(U)/W)^{(1-i)/i}$ with U uniform on (0, pi), W exponential. The density of
    $s = \log W - \log a(U)$ is an average over U of a fixed bump, taken on panels of equal width in log a(U).
    """
    rest = 1 - index
    log_delta = np.linspace(math.log(math.pi) - 1e-12, -_LOG_TINY - 3, 20_000)  # delta = pi - U
    table = _log_a(np.exp(log_delta), index)
    lowest, highest = table[0], table[-1]
    levels = np.linspace(lowest, highest, math.ceil((highest - lowest) / 1.0) + 1)[1:]
    edges = np.exp(np.interp(levels, table, log_delta))[::-1]
    edges = np.unique(np.concatenate([[0.0], edges, np.linspace(edges[-1], math.pi, 9)]))
    delta, mass = (v.ravel() for v in composite(edges, order=12))
    shift, mass = _log_a(delta, index), mass / math.pi
    step = min(1.0, 4 * index / rest)  # functions of log A vary on this scale of s
    core = np.arange(-8.0, 6.0 - lowest, step)
    tail = -8.0 - np.cumsum(np.minimum(step * 1.3 ** np.arange(2000).clip(max=50), min(1.0, 4 * index) / rest))
    tail = tail[tail > -(_LOG_TINY + 2) / rest - 9]
    nodes, weights = (v.ravel() for v in composite(np.concatenate([tail[::-1], core]), order=12))
    order = np.argsort(shift)
    shift, mass = shift[order], mass[order]
    density = np.empty_like(nodes)
    for i, node in enumerate(nodes):  # the bump exp(l - e^l) counts from l = -45 to 5
        first, last = np.searchsorted(shift, (-45 - node, 5 - node))
        level = node + shift[first:last]
        density[i] = np.exp(level - np.exp(level)) @ mass[first:last]
    weights = weights * density
    return -(rest / index) * nodes, weights / weights.sum()


@equation("signscope", "Kanter's representation of the positive stable law")
def _log_a(delta: npt.NDArray[np.float64], index: float) -> npt.NDArray[np.float64]:
    """Logarithm of a(U) at U = pi - delta: sin(iU)^(i/(1-i)) sin((1-i)U) / sin(U)^(1/(1-i))."""
    rest, angle = 1 - index, math.pi - delta
    angle = np.maximum(angle, 1e-9)  # a(U) is flat at 0
    sine = np.where(delta < 1, np.sin(delta), np.sin(angle))
    return index / rest * np.log(np.sin(index * angle)) + np.log(np.sin(rest * angle)) - np.log(sine) / rest
