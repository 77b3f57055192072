r"""From sums over coordinates to $\sigma_1$, $\sigma_2$ and the density, with the grouped jackknife."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.norms import density_of

LEVEL = 0.95


@equation("signscope", "mean of a sample standard deviation")
def c4(num_samples: int) -> float:
    r"""$E s/\sigma$ of ``num_samples`` Gaussian values: $\sqrt{2/(n-1)}\,\Gamma(n/2)/\Gamma((n-1)/2)$.

    The density of uncorrected standard deviations is too small by its square: 0.6366 = 2/pi at n = 2.
    """
    n = num_samples
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))


@dataclass(frozen=True, eq=False)
class Spread:
    """Sums over coordinates of standard deviations and variances, of all values and without each group.

    Attributes:
        dim: Coordinates summed over.
        std: Sum of s_i, shape (1 + groups,); entry 0 is of all values, entry 1 + g is without group g.
        var: Sum of s_i^2, shape (1 + groups,).
        counts: Values in each group, shape (groups,).
    """

    dim: int
    std: Tensor
    var: Tensor
    counts: Tensor

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(self.dim + other.dim, self.std + other.std, self.var + other.var, self.counts)


@dataclass(frozen=True)
class Density:
    """Noise of a set of coordinates.

    Attributes:
        sigma1: Sum of sigma_i per sample, corrected by the jackknife.
        sigma1_raw: The same, uncorrected (too small).
        sigma2: Root of the sum of sigma_i^2 (its square is unbiased).
        density: phi of the sigma_i, corrected, within [1/d, 1].
        density_raw: Uncorrected.
        low: Lower end of the 95% interval.
        high: Upper end.
    """

    sigma1: float
    sigma1_raw: float
    sigma2: float
    density: float
    density_raw: float
    low: float
    high: float


@equation("signscope", "grouped jackknife of the noise density")
def corrected(spread: Spread) -> Density:
    r"""Corrected $\sigma_1$ and density with a 95% interval, from groups of unequal size where need be.

    $$ \sigma_1^J = G\sigma_1 - \sum_g \bigl(1 - \tfrac{n_g}{n}\bigr)\sigma_1^{-g}, \qquad
       \phi^J = \frac{(\sigma_1^J)^2}{d \sum_i s_i^2} $$

    The interval is the jackknife's standard error times Student's t with G - 1 degrees of freedom. Where coordinates
    were active in few batches their standard deviations are too small, and so is the correction: upwards the interval
    takes in twice its size, as an error of its own.

    Args:
        spread: Sums over coordinates.

    Returns:
        The estimates; NaN densities where there is no noise.
    """
    sizes = spread.counts.double()
    groups, share = len(sizes), sizes / sizes.sum()
    sigma1 = float(groups * spread.std[0] - ((1 - share) * spread.std[1:]).sum())
    sigma2 = math.sqrt(float(spread.var[0]))
    raw = density_of(float(spread.std[0]), sigma2, spread.dim)
    if not sigma2 > 0:
        return Density(0.0, 0.0, 0.0, math.nan, math.nan, math.nan, math.nan)
    left = spread.std[1:] ** 2 / (spread.dim * spread.var[1:].clamp(min=1e-300))
    pseudo = raw / share - (1 / share - 1) * left
    centre = groups * raw - ((1 - share) * left).sum()
    stderr = math.sqrt(float(((pseudo - centre) ** 2 / (1 / share - 1)).mean()))
    value, least = density_of(sigma1, sigma2, spread.dim), 1 / spread.dim
    reach = _student(groups - 1) * stderr
    upwards = math.hypot(reach, 2 * (value - raw))
    inside = [min(1.0, max(least, x)) for x in (value, value - reach, value + upwards)]
    return Density(sigma1, float(spread.std[0]), sigma2, inside[0], raw, inside[1], inside[2])


def spread_of(m2: Tensor, left_m2: Tensor, counts: Tensor) -> Spread:
    """Sums over coordinates.

    Args:
        m2: Weighted sums of squared deviations, shape (d,), float64.
        left_m2: The same without each group, shape (groups, d).
        counts: Values in each group, shape (groups,).
    """
    freedom = (counts.sum() - torch.cat([counts[:0].new_zeros(1), counts]) - 1).to(m2)
    sums = torch.cat([m2.sum()[None], left_m2.sum(1)]) / freedom
    roots = torch.cat([m2.sqrt().sum()[None], left_m2.sqrt().sum(1)]) / freedom.sqrt()
    return Spread(m2.shape[0], roots.cpu(), sums.cpu(), counts)


def _student(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))
