"""Label noise on finitely many values."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise.law import NoiseLaw, Size, number
from signscope.noise.smoothing import gaussian_sum
from signscope.noise.special import laplace_sum

_COSTLY = 500  # atoms from which a table of m or phi is quicker than the sum


@dataclass(frozen=True, eq=False)
class Discrete(NoiseLaw):
    """eps takes values[i] with probability weights[i].

    Attributes:
        values: The atoms, shape (n,), finite; kept in increasing order.
        weights: Probabilities, shape (n,); equal when not given. They must add to 1 within 1e-6.
    """

    values: Tensor
    weights: Tensor | None = None
    name: ClassVar[str] = "discrete"

    def __post_init__(self) -> None:
        values = checks.real(type(self).__name__, "values", self.values).detach().double()
        if values.ndim != 1 or not len(values) or not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            raise InvalidInput(
                f"{type(self).__name__}: `values` must be a vector of finite numbers, got shape "
                f"{tuple(values.shape)} with {bad} that are not finite."
            )
        values, order = torch.sort(values)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "weights", self._checked_weights(len(values))[order])

    def _checked_weights(self, num: int) -> Tensor:
        if self.weights is None:
            return torch.full((num,), 1 / num, dtype=torch.float64)
        weights = checks.real(type(self).__name__, "weights", self.weights).detach().double()
        total = float(weights.sum())
        if weights.shape != (num,) or not bool((weights >= 0).all()) or not abs(total - 1) <= 1e-6:
            raise InvalidInput(
                f"{type(self).__name__}: `weights` must be {num} probabilities that add to 1, got shape "
                f"{tuple(weights.shape)} with sum {total:g}."
            )
        return weights if abs(total - 1) < 1e-15 else weights / total

    @property
    def probabilities(self) -> Tensor:
        """The weights of the sorted values, shape (n,)."""
        assert self.weights is not None
        return self.weights

    @property
    def spec(self) -> str:
        """``discrete:VALUE1,WEIGHT1;VALUE2,WEIGHT2;...``."""
        pairs = zip(self.values.tolist(), self.probabilities.tolist(), strict=True)
        return "discrete:" + ";".join(f"{number(v)},{number(w)}" for v, w in pairs)

    @equation("xiao2024", "m(a) of a discrete law")
    def m(self, a: Tensor) -> Tensor:
        """``sum_i w_i exp(-a e_i^2)``."""
        return laplace_sum(a, *self._squares)

    @cached_property
    def _squares(self) -> tuple[Tensor, Tensor]:
        squares, order = torch.sort(self.values**2)
        return squares, self.probabilities[order]

    def pdf(self, x: Tensor) -> Tensor:
        """Raises `Unsupported`: atoms only."""
        raise Unsupported(f"pdf: the law `{self.name}` consists of atoms and has no density. Use cdf or sample.")

    def cdf(self, x: Tensor) -> Tensor:
        """The step function."""
        steps = torch.cat([torch.zeros(1, dtype=torch.float64), self.probabilities.cumsum(0)]).clamp(max=1)
        return steps[torch.searchsorted(self.values, x.detach().contiguous(), right=True)]

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Atoms drawn with replacement."""
        return rng.choice(self.values.numpy(), size=size, p=self.probabilities.numpy())

    @property
    def mean(self) -> float:
        """Weighted mean."""
        return float(self.values @ self.probabilities)

    @property
    def second_moment(self) -> float:
        """Weighted mean square."""
        return float(self.values**2 @ self.probabilities)

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    @property
    def density_at_zero(self) -> float:
        """Infinite with an atom at 0, else 0."""
        return math.inf if self.atom_at_zero > 0 else 0.0

    @property
    def atom_at_zero(self) -> float:
        """Weight of the value 0."""
        return float(self.probabilities[self.values == 0].sum())

    @property
    def gap(self) -> float:
        """Smallest |value| of positive weight."""
        return float(self.values[self.probabilities > 0].abs().min())

    @property
    def is_costly(self) -> bool:
        """More than 500 atoms."""
        return len(self.values) > _COSTLY

    @property
    def _m_range(self) -> tuple[float, float]:
        positive = self._squares[0][self._squares[0] > 0]
        if not len(positive):
            return 1e-15, 1.0
        return 1e-15 / float(positive[-1]), 750 / float(positive[0])

    def _smoothed(self, x: Tensor, risk: Tensor) -> Tensor:
        values, weights = self._atoms_for_density
        return gaussian_sum(x, risk, centres=-values, variances=torch.zeros_like(values), weights=weights)

    @cached_property
    def _atoms_for_density(self) -> tuple[Tensor, Tensor]:
        return self.values, self.probabilities

    def describe(self) -> dict[str, Any]:
        """Adds the number of values."""
        return {**super().describe(), "num_values": len(self.values)}
