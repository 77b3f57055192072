"""Shape of the gradient noise on the followed coordinates: kurtosis, tail exponent, asymmetry."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST = 16  # values per coordinate below which shapes are not estimated
TOP = 0.01  # share of the residuals that counts as tail
FEW = 10  # coordinates below which their own scatter is no measure of the error


@dataclass(frozen=True)
class Shape:
    """Shape of the noise; NaN where there are too few values.

    Attributes:
        kurtosis: Mean kurtosis of a batch gradient over coordinates; 3 for a Gaussian.
        hill: Hill's estimate of the tail exponent from the top percent of residuals: P(|residual| > x) ~ x^-hill.
            Light tails give a large number (about 7 for a Gaussian), not infinity; 2 and below means no variance.
        hill_stderr: hill / sqrt(number in the tail); a lower bound, as coordinates of a batch are not independent.
        asymmetry: Root mean square over coordinates of P(above the mean) - P(below the mean); 0 for symmetric noise,
            and where it lies within three standard errors of that.
    """

    kurtosis: float = math.nan
    hill: float = math.nan
    hill_stderr: float = math.nan
    asymmetry: float = math.nan


def shape_of(values: Tensor) -> Shape:
    """Shape of the noise in a sample of gradients.

    Args:
        values: Gradients of the followed coordinates, shape (batches, k), float64. Coordinates without noise are left
            out.
    """
    spread = values.std(0) if len(values) >= LEAST else values[:0].sum(0)
    values = values[:, spread > 0]
    if not values.numel():
        return Shape()
    return Shape(_kurtosis(values), *_hill(values), _asymmetry(values))


def _kurtosis(values: Tensor) -> float:
    """Mean over coordinates, without bias for Gaussian values."""
    n = len(values)
    away = values - values.mean(0)
    ratio = (away**4).mean(0) / (away**2).mean(0) ** 2 - 3
    return 3 + float(((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * ratio + 6)).mean())


def _hill(values: Tensor) -> tuple[float, float]:
    """Hill's estimate and its standard error, residuals in units of the median absolute deviation.

    The standard deviation as unit would cap residuals at the root of the number of batches.
    """
    columns = values.T.contiguous()  # medians along contiguous memory take a tenth of the time
    away = (columns - columns.median(1).values[:, None]).abs()
    unit = away.median(1).values
    scaled = (away[unit > 0] / unit[unit > 0, None]).reshape(-1)
    count = int(TOP * scaled.numel())
    if count < 10:
        return math.nan, math.nan
    top = scaled.topk(count + 1).values.log()
    mean = float((top[:-1] - top[-1]).mean())
    return (1 / mean, 1 / mean / math.sqrt(count)) if mean > 0 else (math.nan, math.nan)


def _asymmetry(values: Tensor) -> float:
    """Product of independent halves, each against its own mean: zero on average for symmetric noise."""
    halves = (values[0::2], values[1::2])
    signs = [torch.sign(half - half.mean(0)).mean(0) for half in halves]
    squares = signs[0] * signs[1]
    scatter = float(squares.std()) if len(squares) > 1 else 0.0
    if len(squares) < FEW:
        scatter = max(scatter, 1 / math.sqrt(len(halves[0]) * len(halves[1])))  # that of fair coins
    mean = float(squares.mean())
    return math.sqrt(mean) if mean > 3 * scatter / math.sqrt(len(squares)) else 0.0
