"""Ends of the spectrum of a symmetric operator by the Lanczos recurrence, with three vectors of memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_CHECKED = 4  # steps between two looks at the error
_BROKEN = 1e-7


@dataclass(frozen=True)
class Ends:
    """Smallest and largest eigenvalue.

    Attributes:
        low: Smallest Ritz value; the smallest eigenvalue lies at or below it, up to ``residual``.
        high: Largest Ritz value.
        residual: Some eigenvalue lies within this of the Ritz value of largest size.
        num_steps: Products taken.
    """

    low: float
    high: float
    residual: float
    num_steps: int

    @property
    def largest(self) -> float:
        """max(|low|, |high|), a lower bound of the l2 smoothness."""
        return max(abs(self.low), abs(self.high))


def spectrum_ends(product: Callable[[Tensor], Tensor], start: Tensor, *, num_steps: int, rtol: float = 1e-4) -> Ends:
    """Ends of the spectrum of a symmetric operator.

    The basis is not kept, so that a model fits: lost orthogonality repeats Ritz values that have converged but moves
    none of them, and only the ends are wanted. (With the basis kept, 30 steps would cost 30 vectors.)

    Args:
        product: The operator.
        start: A vector that is not zero, shape (d,).
        num_steps: Most products.
        rtol: Stop when the residual is below this share of the value.
    """
    most = min(num_steps, start.numel())
    current, before = start / start.norm(), torch.zeros_like(start)
    diagonal, beside = [], [0.0]
    while True:
        ahead = product(current)
        diagonal.append(float(torch.dot(ahead, current)))
        ahead = ahead.sub_(current, alpha=diagonal[-1]).sub_(before, alpha=beside[-1])
        beside.append(float(ahead.norm()))
        broken = not beside[-1] > _BROKEN * max(map(abs, (*diagonal, *beside)), default=0.0)
        steps = len(diagonal)
        if broken or steps >= most or steps % _CHECKED == 0:
            ends = _ritz(diagonal, beside)
            if broken or steps >= most or ends.residual <= rtol * ends.largest:
                return ends
        before, current = current, ahead / beside[-1]


def _ritz(diagonal: list[float], beside: list[float]) -> Ends:
    steps = len(diagonal)
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    off = torch.tensor(beside[1:steps], dtype=torch.float64)
    matrix = matrix + torch.diag(off, 1) + torch.diag(off, -1) if steps > 1 else matrix
    if not bool(matrix.isfinite().all()):
        return Ends(math.nan, math.nan, math.nan, steps)
    values, vectors = torch.linalg.eigh(matrix)
    place = int(values.abs().argmax())
    return Ends(float(values[0]), float(values[-1]), abs(beside[steps] * float(vectors[-1, place])), steps)
