"""Means and sums of squared deviations: one more value (Welford), two parts (Chan), one part taken out."""

from dataclasses import dataclass

import torch
from torch import Tensor

PIECE = 2**18
"""Entries of an update at a time: temporaries stay in cache and memory stays what the state needs."""
READ = 2**14
"""Entries of the final sums at a time, which hold some twenty numbers for each."""


def add_value_(mean: Tensor, m2: Tensor, value: Tensor, *, weight: float, total: float) -> None:
    r"""Take ``value`` with ``weight`` into a weighted mean and sum of squared deviations, in place.

    $$ \delta = g - m, \quad m \mathrel{+}= \tfrac{w}{W}\delta, \quad M_2 \mathrel{+}= w(1 - \tfrac{w}{W})\delta^2 $$

    Args:
        mean: Mean so far.
        m2: Sum of w (g - mean)^2 so far; never negative.
        value: The new value, of any float dtype.
        weight: Its weight w.
        total: Weight W of all values, the new one included.
    """
    delta = value.to(mean.dtype) - mean
    mean.add_(delta, alpha=weight / total)
    m2.addcmul_(delta, delta, value=weight * (1 - weight / total))


def add_part_(
    mean: Tensor, m2: Tensor, *, part_mean: Tensor, part_m2: Tensor, part_weight: float, weight: float
) -> None:
    r"""Merge a part into the whole, in place (Chan, Golub and LeVeque).

    $$ M_2 = M_2^a + M_2^b + (m_b - m_a)^2 \frac{W_a W_b}{W_a + W_b} $$

    Args:
        mean: Mean of the whole so far.
        m2: Its sum of squared deviations.
        part_mean: Mean of the part.
        part_m2: Sum of squared deviations of the part.
        part_weight: Weight W_b of the part, above 0.
        weight: Weight W_a of the whole so far.
    """
    total = weight + part_weight
    delta = part_mean.to(mean.dtype) - mean
    mean.add_(delta, alpha=part_weight / total)
    m2.add_(part_m2.to(m2.dtype)).addcmul_(delta, delta, value=weight * part_weight / total)


def merged(means: Tensor, m2s: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and sum of squared deviations of all parts together.

    Args:
        means: Means of the parts, shape (parts, d).
        m2s: Their sums of squared deviations, shape (parts, d).
        weights: Their weights, shape (parts,).

    Returns:
        Mean and sum, each of shape (d,).
    """
    shares = (weights / weights.sum())[:, None]
    mean = (shares * means).sum(0)
    return mean, m2s.sum(0) + (weights[:, None] * (means - mean) ** 2).sum(0)


@dataclass(frozen=True, eq=False)
class Merged:
    """All parts together, and all but each.

    Attributes:
        mean: Mean of all, shape (d,).
        m2: Sum of squared deviations of all, shape (d,).
        left_mean: Means without each part, shape (parts, d).
        left_m2: Sums without each part, shape (parts, d).
    """

    mean: Tensor
    m2: Tensor
    left_mean: Tensor
    left_m2: Tensor


def merged_and_left(means: Tensor, m2s: Tensor, weights: Tensor) -> Merged:
    r"""Means and sums of squared deviations of all parts, and when one part is left out.

    $$ M_2^{-g} = M_2 - M_2^g - \frac{W_g W}{W - W_g}(m_g - m)^2 $$

    Args:
        means: Means of the parts, shape (parts, d), float64.
        m2s: Their sums of squared deviations, shape (parts, d).
        weights: Their weights, shape (parts,); at least two parts.
    """
    total = weights.sum()
    mean = (weights / total) @ means
    away = means - mean
    squares = away * away
    m2 = m2s.sum(0).add_(weights @ squares)
    left_m2 = (m2 - m2s).addcmul_(squares, (-weights * total / (total - weights))[:, None]).clamp_(min=0)
    left_mean = torch.addcmul(mean, away, (-weights / (total - weights))[:, None])
    return Merged(mean, m2, left_mean, left_m2)
