"""Label noise from a frozen discrete law of scipy.stats."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from signscope._core.errors import Unsupported
from signscope.noise.discrete import Discrete
from signscope.noise.law import Size
from signscope.noise.scipy_law import check_frozen, frozen_spec

_NEGLIGIBLE = 2e-16  # tail mass that is cut off
_MOST = 1_000_000


@dataclass(frozen=True, eq=False)
class ScipyDiscrete(Discrete):
    """A frozen discrete law of scipy.stats, such as ``scipy.stats.poisson(3, loc=-3)``.

    Attributes:
        values: Filled in: the atoms of non-negligible weight.
        weights: Filled in: their probabilities.
        frozen: The frozen law.
    """

    values: Tensor = None  # pyright: ignore[reportAssignmentType]
    frozen: Any = None
    name: ClassVar[str] = "scipy"

    def __post_init__(self) -> None:
        check_frozen(self.frozen, method="pmf")
        points = _lattice(self.frozen)
        weights = np.asarray(self.frozen.pmf(points), dtype=np.float64)
        if not abs(weights.sum() - 1) < 1e-6:
            raise Unsupported(
                f"ScipyDiscrete: the atoms of {frozen_spec(self.frozen, defaults=(0.0,))} kept here add to "
                f"{weights.sum():.8g}, not 1. Pass a sample of it instead."
            )
        object.__setattr__(self, "values", torch.from_numpy(points[weights > 0]))
        object.__setattr__(self, "weights", torch.from_numpy(weights[weights > 0]))
        super().__post_init__()

    @property
    def spec(self) -> str:
        """``scipy:NAME,SHAPES...,LOC``; a location of 0 is left out."""
        return frozen_spec(self.frozen, defaults=(0.0,))

    def sample(self, size: Size, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draws by scipy."""
        return np.asarray(self.frozen.rvs(size=size, random_state=rng), dtype=np.float64)

    @property
    def second_moment(self) -> float:
        """Variance plus squared mean; inf where scipy says infinite or undefined."""
        mean, variance = (float(v) for v in self.frozen.stats(moments="mv"))
        finite = math.isfinite(mean) and math.isfinite(variance)
        return mean**2 + variance if finite else math.inf

    def has_moment(self, order: float) -> bool:
        """Orders up to 2 exactly; higher ones whenever the variance exists, which holds for light tails."""
        return math.isfinite(self.second_moment) or order <= 0


def _lattice(frozen: Any) -> npt.NDArray[np.float64]:
    """The points of the lattice that carry all but a negligible mass."""
    low, high = (float(v) for v in frozen.support())
    middle = float(frozen.ppf(0.5))
    reach = np.exp2(np.arange(math.ceil(math.log2(_MOST)) + 1))
    right = reach[frozen.sf(middle + reach) <= _NEGLIGIBLE]
    left = reach[frozen.cdf(middle - reach) <= _NEGLIGIBLE]
    if not len(right) or not len(left):
        raise Unsupported(
            f"ScipyDiscrete: {frozen_spec(frozen, defaults=(0.0,))} spreads over more than {_MOST:,} values. "
            "Pass a sample of it instead."
        )
    return np.arange(max(low, middle - left[0]), min(high, middle + right[0]) + 1)
