r"""Signal-to-noise ratios of coordinates: their histogram, and the phase of signSGD each is in."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from signscope._core.equations import equation

LOW, HIGH, PER_DECADE = -4, 4, 10
NUM_BINS = (HIGH - LOW) * PER_DECADE + 2
"""Bins of log10 |z|, ten per decade from 1e-4 to 1e4; the first holds all below, the last all above."""
FAST, SLOW = 1.5 * math.sqrt(2), math.sqrt(2)
"""|z| from which signs are nearly certain (|Y| > 3/2), below which mostly noise (|Y| < 1); Y = z/sqrt(2)."""


class Phases(NamedTuple):
    """Shares of coordinates (those with noise or gradient) by phase; they sum to 1, or are NaN."""

    one: float
    two: float
    three: float


@dataclass(frozen=True, eq=False)
class Ratios:
    """Counts of coordinates by |z|.

    Attributes:
        bins: Shape (NUM_BINS,), int64.
        phases: Counts with |Y| above 3/2, between, and below 1, shape (3,).
    """

    bins: Tensor
    phases: Tensor

    def __add__(self, other: "Ratios") -> "Ratios":
        return Ratios(self.bins + other.bins, self.phases + other.phases)


@equation("compagnoni2024", "phases of SignSGD by signal-to-noise ratio")
def count_ratios(mean: Tensor, std: Tensor) -> Ratios:
    r"""Sort coordinates by $|z_i| = |\text{mean}_i| / \text{std}_i$.

    Phase 1 has $|Y| > 3/2$ with $Y = z/\sqrt2$ (signs certain: the step does not depend on the noise), phase 2 lies
    between, phase 3 has $|Y| < 1$ (signs nearly random: the mean step is $\sqrt{2/\pi}\,z$, linear in the gradient).
    The thresholds belong to Y, not to z.

    Args:
        mean: Mean gradient, shape (d,).
        std: Standard deviation of one batch gradient, shape (d,). Coordinates with neither are left out.
    """
    there = (std > 0) | (mean != 0)
    z = (mean / std).float()  # 0/0 where there is neither
    z = (z if bool(there.all()) else z[there]).abs_().clamp_(min=1e-30, max=1e30)
    index = torch.log10(z).sub_(LOW - 1 / PER_DECADE).mul_(PER_DECADE).clamp_(0, NUM_BINS - 1).to(torch.int32)
    one, three = int((z > FAST).sum()), int((z < SLOW).sum())
    return Ratios(torch.bincount(index, minlength=NUM_BINS).cpu(), torch.tensor([one, z.numel() - one - three, three]))


def shares(counts: Tensor) -> Phases:
    """The phases as shares."""
    total = int(counts.sum())
    return Phases(*(float(c) / total if total else math.nan for c in counts))


def phases_at(bins: "Tensor | tuple[int, ...]", factor: float) -> Phases:
    """Phases if every ratio were ``factor`` times larger (the batch factor**2 times), to a tenth of a decade or better.

    Args:
        bins: Counts by |z|.
        factor: Multiplier of z, above 0.
    """
    counts = torch.as_tensor(bins, dtype=torch.float64)
    total = float(counts.sum())
    if not total:
        return Phases(math.nan, math.nan, math.nan)
    below = [_below(counts, math.log10(level / factor)) / total for level in (SLOW, FAST)]
    return Phases(1 - below[1], below[1] - below[0], below[0])


def edges() -> Tensor:
    """Inner edges of the bins in log10 |z|, shape (NUM_BINS - 1,)."""
    return torch.linspace(LOW, HIGH, NUM_BINS - 1, dtype=torch.float64)


def _below(counts: Tensor, level: float) -> float:
    """Coordinates with log10 |z| below ``level``, linear inside a bin."""
    place = min(max((level - LOW) * PER_DECADE + 1, 0.0), float(NUM_BINS))
    whole = int(place)
    part = float(counts[whole]) * (place - whole) if whole < NUM_BINS else 0.0
    return float(counts[:whole].sum()) + part
