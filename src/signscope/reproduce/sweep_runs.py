"""Runs of a sweep: what a folder does not hold yet is computed, kept, and continued after a kill."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from signscope._core.progress import Meter
from signscope.reproduce.datasets import Dataset
from signscope.reproduce.job import Job
from signscope.reproduce.machine import Machine
from signscope.reproduce.store import Store
from signscope.reproduce.training_run import train

RUNS, BEGUN = "runs.csv", "unfinished.pt"


def store_in(
    folder: Path | None, *, machine: Machine, force: bool, measured: Mapping[str, type] | None = None
) -> Store:
    """The finished runs of a folder; with ``force`` the earlier ones are forgotten. One process writes.

    Args:
        folder: Place of runs.csv; None keeps runs in memory.
        machine: Of the run.
        force: Start anew.
        measured: Columns of the measurements, see `Store`.
    """
    if folder is None or not machine.writes:
        return Store(None, measured)
    if force:
        for name in (RUNS, BEGUN):
            (folder / name).unlink(missing_ok=True)
    return Store(folder / RUNS, measured)


def run_missing(
    jobs: Sequence[Job],
    data: Dataset,
    store: Store,
    *,
    machine: Machine,
    meter: Meter,
    span: tuple[float, float] = (0.0, 1.0),
    folder: Path | None = None,
    **options: Any,
) -> None:
    """Computes the runs that the store does not hold, one after the other.

    A run is added when it ends; a long one is saved on its way and continues from there, bit for bit. With several
    processes all of them compute every run together and hold its rows; the first one writes.

    Args:
        jobs: The runs.
        data: On the device.
        store: Of this process.
        machine: Of the run.
        meter: Moved from the first to the sum of the numbers in ``span``.
        span: Share of the work done before, and share of these runs.
        folder: Place of the state of the run under way; None takes that of the store.
        **options: Of `train`.
    """
    begun = _begun(store, folder)
    begun = machine.told(begun)
    for index, job in enumerate(jobs):
        rows = machine.told(store.rows(job) if job in store else None)
        if rows is None:
            rows = train(job, data, machine=machine, unfinished=begun, **options)
            rows = machine.told(rows)
            store.add(job, rows)
            if begun is not None and machine.writes:
                begun.unlink(missing_ok=True)
        elif job not in store:
            store.add(job, rows)
        meter.update(
            span[0] + span[1] * (index + 1) / len(jobs), f"{job.data} {job.method} lr {job.lr:g} seed {job.seed}"
        )


def middle(rates: Sequence[float], count: int | None) -> Sequence[float]:
    """The ``count`` rates in the middle of a grid; all for None."""
    skip = 0 if count is None else max(0, (len(rates) - count) // 2)
    return rates[skip : len(rates) if count is None else skip + count]


def widened(rates: Iterable[float], best: float) -> float | None:
    """The next rate outside a geometric grid whose ``best`` lies at an edge; None where it lies inside."""
    grid = sorted(rates)
    if len(grid) < 2 or best not in (grid[0], grid[-1]):
        return None
    new = grid[0] ** 2 / grid[1] if best == grid[0] else grid[-1] ** 2 / grid[-2]
    return float(f"{new:.3g}")


def _begun(store: Store, folder: Path | None) -> Path | None:
    place = folder if store.path is None else store.path.parent
    return None if place is None else place / BEGUN
