"""The non-convex test function of the rate experiments: separable, with noise of known constants."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from signscope.bounds import Constants

Law = Literal["gaussian", "skewed"]
CURVE, RIPPLE, FREQUENCY = 0.1, 0.6, 1.5
ADDITIVE, MULTIPLICATIVE = 2.0, 0.5
START = 4.0
"""All coordinates start here, above a local minimum at 3.576; the global one is at 0, behind a crest at 2.484."""


def value(x: Tensor) -> Tensor:
    r"""$f(x) = \sum_i 0.1 x_i^2 + 0.6 (1 - \cos 1.5 x_i)$ over the last axis; the infimum is 0."""
    return (CURVE * x**2 + RIPPLE * (1 - torch.cos(FREQUENCY * x))).sum(-1)


def exact_gradient(x: Tensor) -> Tensor:
    """Gradient of f, in the shape of ``x``."""
    return torch.add((FREQUENCY * x).sin_().mul_(RIPPLE * FREQUENCY), x, alpha=2 * CURVE)


def constants(dim: int) -> Constants:
    """Constants of the noisy problem, valid wherever no coordinate is larger than at the start."""
    curvature = 2 * CURVE + RIPPLE * FREQUENCY**2
    return Constants(
        initial_gap=float(value(start(1, dim))),
        smoothness=dim * curvature,
        noise_l1=dim * math.hypot(ADDITIVE, MULTIPLICATIVE * START),
        sample_smoothness=dim * math.hypot(curvature, MULTIPLICATIVE),
    )


def start(num_runs: int, dim: int) -> Tensor:
    """The first point of all runs, (runs, dim)."""
    return torch.full((num_runs, dim), START, dtype=torch.float64)


@dataclass(frozen=True)
class Sample:
    """One stochastic gradient oracle call per run: g(x) = grad f(x) + offset + slope x.

    Attributes:
        offset: Additive noise, standard deviation 2, (runs, dim).
        slope: Multiplicative noise, standard deviation 0.5, (runs, dim).
    """

    offset: Tensor
    slope: Tensor

    def gradient(self, x: Tensor, exact: Tensor) -> Tensor:
        """The gradient of this sample at ``x``, where the exact gradient is ``exact``."""
        return torch.addcmul(exact + self.offset, self.slope, x)


def draw(rng: np.random.Generator, count: int, shape: tuple[int, int], law: Law) -> tuple[Tensor, Tensor]:
    """Offsets and slopes of ``count`` samples, (count, runs, dim) each.

    The skewed law is a centred, reflected exponential: mean 0, median 1 - ln 2.
    """
    size = (count, *shape)
    raw = 1 - rng.standard_exponential(size) if law == "skewed" else rng.standard_normal(size)
    return torch.from_numpy(ADDITIVE * raw), torch.from_numpy(MULTIPLICATIVE * rng.standard_normal(size))


def draw_components(rng: np.random.Generator, num_components: int, dim: int) -> tuple[Tensor, Tensor]:
    """Offsets and slopes of a finite sum, (components, dim), with exact mean 0 and the standard deviations above."""
    tables = []
    for std in (ADDITIVE, MULTIPLICATIVE):
        raw = rng.standard_normal((num_components, dim))
        raw -= raw.mean(0)
        tables.append(torch.from_numpy(std * raw / raw.std(0)))
    return tables[0], tables[1]
