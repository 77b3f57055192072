"""What is kept of a simulation: the risk of every run at the recorded times, and which runs blew up."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope.problems import Covariance, Dense

_PANEL = 96  # columns of the root of K per product: narrow enough to skip the zeros of a triangular one
BLOW_UP = 1e12  # a run whose risk exceeds its start by this factor has diverged


class Recorder:
    """Excess risks of the runs of a group at the recorded times.

    Attributes:
        risks: Shape (num_runs, num_times), float64; inf from the time on at which a run is seen to diverge.
        done: Number of times recorded so far.
    """

    def __init__(self, cov: Covariance, displacement: Tensor, *, num_times: int) -> None:
        self._quadratic = _quadratic(cov)
        self.risks = torch.full((len(displacement), num_times), torch.inf, dtype=torch.float64)
        self._alive = torch.ones(len(displacement), dtype=torch.bool)
        start = float(self._risk(displacement[:1])[0])
        if not start > 0:  # started at the target: compare with a target drawn from N(0, I/d) instead
            start = float(cov.diagonal().sum()) / (2 * cov.dim)
        self._limit = BLOW_UP * start
        self.done = 0

    @property
    def all_diverged(self) -> bool:
        """Whether no run is left."""
        return not bool(self._alive.any())

    def record(self, displacement: Tensor) -> None:
        """Store R = 1/2 v'Kv of every run that is alive; set the rows of the others to 0, which no one reads."""
        risk = self._risk(displacement)
        self._alive &= risk <= self._limit  # NaN compares false
        self.risks[self._alive, self.done] = risk[self._alive]
        if not bool(self._alive.all()):
            displacement[~self._alive.to(displacement.device)] = 0
        self.done += 1

    def _risk(self, displacement: Tensor) -> Tensor:
        v = displacement.to(device="cpu", dtype=torch.float64)
        return self._quadratic(v) / 2


def _quadratic(cov: Covariance) -> Callable[[Tensor], Tensor]:
    """V'Kv of the rows of v (num_runs, dim); for a dense K = L L' as |v L|^2, leaving out the zeros of L."""
    if not isinstance(cov, Dense):
        return cov.quadratic
    root = cov.colour(torch.eye(cov.num_factors, dtype=torch.float64)).T
    pieces = []
    for start in range(0, root.shape[1], _PANEL):
        piece = root[:, start : start + _PANEL]
        first = int(piece.any(dim=1).nonzero().min())
        pieces.append((first, piece[first:].contiguous()))
    return lambda v: sum(
        (torch.mm(v[:, first:], piece).square().sum(1) for first, piece in pieces), v.new_zeros(len(v))
    )


@dataclass(frozen=True)
class Summary:
    """Statistics over the runs that are finite at each time; inf where none is.

    Attributes:
        mean: Shape (num_times,).
        stderr: Sample standard deviation over the root of the number of runs; NaN for a single run.
        band: Quantiles (1 - level)/2 and (1 + level)/2, linearly interpolated between runs.
    """

    mean: Tensor
    stderr: Tensor
    band: tuple[Tensor, Tensor]


def summarise(runs: Tensor, *, level: float) -> Summary:
    """Mean, standard error and central band of ``runs`` (num_runs, num_times), float64."""
    finite = runs.isfinite()
    if runs.numel() and bool(finite.all()):
        return _summarise_finite(runs, level)
    num_times = runs.shape[1]
    table = torch.full((4, num_times), torch.inf, dtype=torch.float64)
    for index in range(num_times):
        alive = runs[finite[:, index], index : index + 1]
        if len(alive):
            part = _summarise_finite(alive, level)
            table[:, index] = torch.cat([part.mean, part.stderr, *part.band])
    return Summary(mean=table[0], stderr=table[1], band=(table[2], table[3]))


def _summarise_finite(runs: Tensor, level: float) -> Summary:
    if len(runs) > 1:
        stderr = runs.std(0) / len(runs) ** 0.5
    else:
        stderr = torch.full_like(runs[0], torch.nan)
    low, high = (torch.quantile(runs, q, dim=0) for q in ((1 - level) / 2, (1 + level) / 2))
    return Summary(mean=runs.mean(0), stderr=stderr, band=(low, high))
