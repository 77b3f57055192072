"""Label noise drawn from a sample, such as the residuals of a fit."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope.noise.discrete import Discrete
from signscope.noise.law import Size

_MAX_ATOMS = 2000  # for residual_density
_EXTREMES = 250  # values of each tail that are never merged


@dataclass(frozen=True, eq=False)
class Empirical(Discrete):
    """eps is one of the sample's values, each equally likely.

    ``m`` and ``phi`` use every value. ``residual_density`` alone works with at most 2,000 weighted values: the
    250 smallest and largest as they are, the others merged with their neighbours, mean kept.
    """

    name: ClassVar[str] = "empirical"

    @property
    def spec(self) -> str:
        """``empirical``: a sample is not written into text, so this one spec cannot be read back."""
        return "empirical"

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Values drawn with replacement."""
        if self._equal:
            return self.values.numpy()[rng.integers(0, len(self.values), size)]
        return super().sample(size, rng)

    @cached_property
    def _equal(self) -> bool:
        return bool((self.probabilities == self.probabilities[0]).all())

    @cached_property
    def _atoms_for_density(self) -> tuple[Tensor, Tensor]:
        if len(self.values) <= _MAX_ATOMS:
            return self.values, self.probabilities
        low, high = _EXTREMES, len(self.values) - _EXTREMES
        inner, weights = self.values[low:high], self.probabilities[low:high]
        groups = _MAX_ATOMS - 2 * _EXTREMES
        # Half of the score is the share of values below, half the distance travelled: no group is large or wide.
        travelled = (inner - inner[0]) / (inner[-1] - inner[0]).clamp(min=1e-300)
        score = 0.5 * (weights.cumsum(0) / weights.sum() + travelled)
        group = (score * groups).long().clamp(0, groups - 1)
        mass = torch.bincount(group, weights, groups)
        mean = torch.bincount(group, weights * inner, groups) / mass
        used = mass > 0
        values = torch.cat([self.values[:low], mean[used], self.values[high:]])
        return values, torch.cat([self.probabilities[:low], mass[used], self.probabilities[high:]])
