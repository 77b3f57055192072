"""`Ensemble`: loss, mean and variance of many paths against time, gathered group by group."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope._core.status import Status
from signscope.curves import Curve
from signscope.integrate.brownian import paths_per_stream

if TYPE_CHECKING:
    import pandas as pd

GROUP_BYTES = 128 * 2**20  # bound on the state and the temporaries of the paths that advance together
BAND = 0.8

Paths = Callable[[range], Iterator[Tensor]]
"""From consecutive paths to their positions (num_paths, dim) after 0, 1, 2, ... steps of the optimizer."""
Observable = Callable[[Tensor], Tensor]
"""From positions (n, dim) to one number each (n,)."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What many paths did; for an oracle, what their law says.

    Attributes:
        loss: Mean loss with ``stderr``, ``band`` and ``runs``; time in lr*steps.
        mean: Mean position at the recorded times, (num_times, dim), float64.
        variance: Variance of each coordinate over the paths, (num_times, dim).
        observed: One curve for each further quantity that was asked for.
        notes: Where the numbers are not to be trusted, one sentence each.
        floored: How often a second moment V was lifted to its floor (adaptive SDEs).
    """

    loss: Curve
    mean: Tensor
    variance: Tensor
    observed: Mapping[str, Curve] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    floored: int = 0

    @property
    def time(self) -> Tensor:
        """Recorded times, in lr*steps."""
        return self.loss.time

    @property
    def total_variance(self) -> Tensor:
        """Trace of the covariance at the recorded times, (num_times,)."""
        return self.variance.sum(1)

    def __repr__(self) -> str:
        """One line: the loss curve with its status, the shape of the rest."""
        observed = f", observed {', '.join(self.observed)}" if self.observed else ""
        notes = f", notes: {len(self.notes)}" if self.notes else ""
        return f"Ensemble({self.loss!r}, mean and variance {tuple(self.mean.shape)}{observed}{notes})"

    def to_frame(self) -> "pd.DataFrame":
        """A table with one row per recorded time: that of the loss curve, and total_variance."""
        return self.loss.to_frame().assign(total_variance=self.total_variance.numpy())


@dataclass(frozen=True)
class Recording:
    """What is recorded of the paths.

    Attributes:
        steps: Increasing numbers of optimizer steps, from 0.
        lr: SDE time of one step.
        observables: Name to quantity; ``"loss"`` is the first.
        about: Fields of the resulting curves (optimizer, lr, provenance).
    """

    steps: tuple[int, ...]
    lr: float
    observables: Mapping[str, Observable]
    about: Mapping[str, Any]


def gather(
    make: Paths, recording: Recording, *, num_paths: int, dim: int, width: int, numbers_per_path: int, meter: Meter
) -> Ensemble:
    """Run groups of paths after one another and put their statistics together.

    Args:
        make: Gives the positions of a group; groups start with a stream of ``width`` numbers per path.
        recording: What to keep.
        num_paths: Number of paths.
        dim: Coordinates of a position.
        width: Numbers that a path draws per step.
        numbers_per_path: Numbers of state and temporaries that a path holds, for the bound on memory.
        meter: Told the fraction done.

    Notes:
        Beside the paths in flight (`GROUP_BYTES`) only sums are kept: num_times times (2 dim + num_paths) numbers.
    """
    share = paths_per_stream(width)
    size = max(share, GROUP_BYTES // (8 * numbers_per_path) // share * share)
    tables = [_Tables(recording, min(size, num_paths - first), dim) for first in range(0, num_paths, size)]
    done: list[_Tables] = []
    interrupted = False
    for first, table in zip(range(0, num_paths, size), tables, strict=True):
        paths = range(first, min(first + size, num_paths))
        try:
            _follow(make(paths), recording, table, meter, before=first / num_paths, share=len(paths) / num_paths)
        except KeyboardInterrupt:
            interrupted = True
            if not done and table.filled:
                done.append(table)
            break
        done.append(table)
    if not done:
        raise KeyboardInterrupt
    return _finished(done, recording, num_paths, interrupted=interrupted)


class _Tables:
    """Observables of a group of paths, and the first two moments of their positions, at the recorded times."""

    def __init__(self, recording: Recording, num_paths: int, dim: int) -> None:
        num = len(recording.steps)
        self.values = {n: torch.full((num_paths, num), torch.nan).double() for n in recording.observables}
        self.count = torch.zeros(num, dtype=torch.float64)
        self.mean = torch.zeros(num, dim, dtype=torch.float64)
        self.squares = torch.zeros(num, dim, dtype=torch.float64)  # sums of squared deviations from the mean
        self.filled = 0

    def record(self, recording: Recording, position: Tensor) -> None:
        for name, observe in recording.observables.items():
            self.values[name][:, self.filled] = observe(position).double().cpu()
        where = position.double()
        alive = torch.isfinite(where).all(1)
        where = where if bool(alive.all()) else where[alive]
        if len(where):
            away = where - where[0]  # equal paths have no variance at all
            mean = away.mean(0)
            self.count[self.filled] = len(where)
            self.mean[self.filled] = (where[0] + mean).cpu()
            self.squares[self.filled] = (away - mean).square().sum(0).cpu()
        self.filled += 1


def _follow(
    positions: Iterator[Tensor], recording: Recording, table: _Tables, meter: Meter, *, before: float, share: float
) -> None:
    last = max(recording.steps[-1], 1)
    with torch.no_grad():
        for step, position in enumerate(positions):
            if step == recording.steps[table.filled]:
                table.record(recording, position)
                meter.update(before + share * step / last)
            if table.filled == len(recording.steps):
                return


def _finished(done: Sequence[_Tables], recording: Recording, num_paths: int, *, interrupted: bool) -> Ensemble:
    num = min(table.filled for table in done)
    count, mean, squares = (t[:num] for t in _merged(done))
    time = recording.lr * torch.tensor(recording.steps[:num], dtype=torch.float64)
    curves = {
        name: _curve(torch.cat([t.values[name][:, :num] for t in done]), time, name, recording)
        for name in recording.observables
    }
    if interrupted:
        kept = f"Stopped by the keyboard: {len(curves['loss'].runs)} of {num_paths} paths are kept."  # pyright: ignore[reportArgumentType]
        curves = {name: curve.with_status("interrupted", kept) for name, curve in curves.items()}
    variance = squares / (count - 1).clamp(min=1)[:, None]
    loss = curves.pop("loss")
    return Ensemble(loss=loss, mean=mean, variance=variance, observed=curves)


def _merged(tables: Sequence[_Tables]) -> tuple[Tensor, Tensor, Tensor]:
    """Counts, means and sums of squared deviations of all groups (Chan's update)."""
    count, mean, squares = tables[0].count, tables[0].mean, tables[0].squares
    for other in tables[1:]:
        total = (count + other.count).clamp(min=1)
        gap = other.mean - mean
        squares = squares + other.squares + gap.square() * (count * other.count / total)[:, None]
        mean = mean + gap * (other.count / total)[:, None]
        count = count + other.count
    return count, mean, squares


def _curve(runs: Tensor, time: Tensor, name: str, recording: Recording) -> Curve:
    """Mean, standard error and central band of the paths that are finite at each time."""
    finite = torch.isfinite(runs)
    table = torch.full((4, runs.shape[1]), torch.nan, dtype=torch.float64)
    levels = torch.tensor([(1 - BAND) / 2, (1 + BAND) / 2], dtype=torch.float64)
    for index in range(runs.shape[1]):
        values = runs[finite[:, index], index]
        if len(values):
            away = values - values[0]
            table[0, index] = values[0] + away.mean()
            table[1, index] = away.std() / len(values) ** 0.5 if len(values) > 1 else torch.nan
            table[2:, index] = _quantiles(values, levels)
    status: Status = "ok"
    message = ""
    lost = int((~finite).any(1).sum())
    if lost:
        status = "diverged"
        message = (
            f"{lost} of {len(runs)} paths left the finite numbers; the statistics are over the others. Lower `lr`."
        )
    curve = Curve(
        time=time, value=table[0], stderr=table[1], band=(table[2], table[3]), band_level=BAND, runs=runs,
        num_runs=len(runs), quantity=name, time_unit="lr*steps", status=status, message=message,
    )  # fmt: skip
    return replace(curve, **recording.about)


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    """As torch.quantile, which refuses more than 16 million numbers."""
    ordered = values.sort().values
    place = levels * (len(ordered) - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], place - low)
