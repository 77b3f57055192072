"""Small objectives that differ between workers while their mean has a known optimum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from signscope._core.random import stream
from signscope.simulation.workers import Gradient

PULLS = (0.45, 0.45, -0.9)
CURVATURE = 0.1
NOISE = 0.1
DIM = 8
CENTRES = (1.0, 1.0, -4.0)
"""Minima of three quadratics; their mean, -2/3, is the optimum and their median, 1, is where votes go."""
COMPONENTS = 32
_SPREAD = 1.0


@dataclass(frozen=True)
class Crew:
    """Workers with their objectives.

    Attributes:
        gradients: One stochastic gradient per worker.
        full_gradients: One exact gradient per worker.
        slope: Derivative of the mean objective, coordinate by coordinate, for points of any shape.
        initial_gap: f(start) - inf f for ``DIM`` coordinates that start at 1.
    """

    gradients: Sequence[Gradient]
    full_gradients: Sequence[Callable[[Tensor], Tensor]]
    slope: Callable[[Tensor], Tensor]
    initial_gap: float


def log_cosh(width: int, *, num_calls: int, seed: int) -> Crew:
    r"""Three workers whose mean is 0.1 log cosh in every coordinate.

    $$ f_j(x) = \sum_i 0.1 \log\cosh x_i + b_j x_i, \qquad b = (0.45, 0.45, -0.9) $$

    Two workers pull one way and the third twice as strongly the other way. The noise is +-0.1 with equal
    probability, the same at both points of a sample.

    Args:
        width: Coordinates, of all copies of the problem together.
        num_calls: Batches for which noise is drawn.
        seed: Of the noise.
    """

    def worker(index: int, pull: float) -> Gradient:
        signs = stream(seed, "noise", index).integers(0, 2, size=(num_calls, width), dtype=np.int8)
        noise = torch.from_numpy(2 * signs - 1)

        def gradient(theta: Tensor, call: int) -> Tensor:
            return (CURVATURE * torch.tanh(theta) + pull).add_(noise[call], alpha=NOISE)

        return gradient

    exact = [lambda theta, b=b: CURVATURE * torch.tanh(theta) + b for b in PULLS]
    gap = DIM * CURVATURE * float(np.log(np.cosh(1.0)))
    return Crew(
        [worker(j, b) for j, b in enumerate(PULLS)], exact, lambda x: CURVATURE * torch.tanh(x), initial_gap=gap
    )


def finite_sums(width: int, *, num_calls: int, seed: int) -> Crew:
    """The same pulls; every worker averages ``COMPONENTS`` shifted log cosh, one of which is a sample.

    The shifts are those of ``DIM`` coordinates, repeated over the copies; they add up to zero over all components.

    Args:
        width: Coordinates, a multiple of ``DIM``.
        num_calls: Batches for which a component is drawn.
        seed: Of shifts and choices.
    """
    rng = stream(seed, "shifts")
    shifts = _SPREAD * rng.standard_normal((len(PULLS), COMPONENTS, DIM))
    shifts = torch.from_numpy(shifts - shifts.mean((0, 1))).repeat(1, 1, width // DIM)

    def worker(index: int, pull: float) -> Gradient:
        chosen = stream(seed, "components", index).integers(0, COMPONENTS, size=num_calls).tolist()
        return lambda theta, call: CURVATURE * torch.tanh(theta - shifts[index, chosen[call]]) + pull

    def full(index: int, pull: float) -> Callable[[Tensor], Tensor]:
        return lambda theta: CURVATURE * torch.tanh(theta - shifts[index]).mean(0) + pull

    def slope(x: Tensor) -> Tensor:
        return CURVATURE * torch.stack([torch.tanh(x[..., None, :] - rows).mean(-2) for rows in shifts]).mean(0)

    every = shifts[:, :, :DIM].reshape(-1, DIM)
    grid = torch.linspace(-3, 3, 6001, dtype=torch.float64)[:, None]
    values = torch.stack([_log_cosh(grid - every[:, i]).mean(1) for i in range(DIM)])
    at_start = _log_cosh(1 - every).mean(0)
    gap = CURVATURE * float((at_start - values.amin(1)).sum())
    workers = list(enumerate(PULLS))
    return Crew([worker(j, b) for j, b in workers], [full(j, b) for j, b in workers], slope, initial_gap=gap)


def quadratics() -> Crew:
    """``f_j(x) = (x - c_j)^2 / 2`` without noise."""
    exact = [lambda theta, c=c: theta - c for c in CENTRES]
    centre = sum(CENTRES) / len(CENTRES)
    return Crew([lambda theta, _, g=g: g(theta) for g in exact], exact, lambda x: x - centre, initial_gap=float("nan"))


def _log_cosh(x: Tensor) -> Tensor:
    return x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - np.log(2.0)
