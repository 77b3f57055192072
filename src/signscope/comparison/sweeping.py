"""`run_sweep`: a grid of predictions and simulations into one table, continued where it was stopped."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope._core.status import OPTIMIZERS
from signscope.comparison.append_table import AppendTable
from signscope.comparison.sweep_cell import KEY, TEXTS, VALUES, Cell, key_of
from signscope.comparison.sweep_grid import WHO, make_grid
from signscope.comparison.sweep_store import opened
from signscope.comparison.sweep_workers import Answer, afar, beside, here

if TYPE_CHECKING:
    import pandas as pd

_NOTHING = {name: "" if name in TEXTS else math.nan for name in VALUES}


def run_sweep(
    *,
    optimizers: str | Sequence[str] = OPTIMIZERS,
    lr: Any = None,
    dim: int | Sequence[int] | None = None,
    spectrum: str | Sequence[str] | None = None,
    noise: Any = None,
    batch_size: int | Sequence[int] = 1,
    seed: int | Sequence[int] = 0,
    rotated: bool = False,
    data: str | os.PathLike[str] | None = None,
    target: str | None = None,
    scale: str = "global",
    betas: tuple[float, float] = (0.9, 0.999),
    horizon: float = 20.0,
    num_runs: int = 0,
    n_jobs: int = 1,
    scheduler: str | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: bool | Meter = False,
) -> "pd.DataFrame":
    """Predict (and simulate) every combination of the values given.

    Args:
        optimizers: Names out of sgd, signsgd, adam, signum.
        lr: The theory's rates: one, several, or a dictionary of them by optimizer; ``"auto"`` or None is the best
            rate for the horizon.
        dim: Coordinates of the Gaussian problems; 500 by default.
        spectrum: Their eigenvalues, as in ``signscope compare --spectrum``.
        noise: Laws of the label noise; on a data set empirical, gaussian or mixture.
        batch_size: Rows per update.
        seed: Of problem and simulation; several seeds are repetitions.
        rotated: A random orthogonal basis for the Gaussian problems.
        data: A bundled data set or a file, in place of Gaussian problems.
        target: Column or array of y in the file.
        scale: Scaling of its columns: global, columns or none.
        betas: Adam's averages.
        horizon: Length of all runs in steps/dim.
        num_runs: Runs per simulation; 0 predicts only.
        n_jobs: Processes beside this one, by joblib; 1 computes here, -1 takes one per core.
        scheduler: Address of a Dask scheduler, such as ``"tcp://127.0.0.1:8786"``, whose workers compute instead.
        out: Folder for ``sweep.csv`` (a row per cell, appended as it is done) and ``sweep.json`` (the grid). The same
            sweep in the same folder is continued: no cell in the table is computed again.
        force: Begin anew in a folder that holds this or another sweep.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.

    Returns:
        One row per cell in the order of the grid: first what determines it, then lr_used, step_size, status, method,
        final_predicted, final_simulated, final_stderr, limit, rate, gap_mean, gap_worst, gap_max_z (gaps as in
        `gap`), seconds, message. After Ctrl-C cells that were not computed have status ``"interrupted"``. A cell
        whose computation raised has status ``"failed"`` and its message; it is not kept and tried again next time.

    Raises:
        InvalidInput: A value is out of range, ``out`` holds another sweep, or no cluster answers.

    Notes:
        All randomness of a cell derives from its own values, and every cell runs on one thread: the order of the
        cells, the number of processes and the cluster do not change a digit on the same kind of processor.
    """
    shape: dict[str, Any] = {"dim": dim, "spectrum": spectrum, "rotated": rotated, "noise": noise}
    shape |= {"data": data, "target": target, "scale": scale}
    run: dict[str, Any] = {"optimizers": optimizers, "lr": lr, "batch_size": batch_size, "betas": betas}
    grid = make_grid(**shape, **run, horizon=horizon, num_runs=num_runs, seed=seed)
    source = _source(n_jobs, scheduler)
    cells = grid.cells()
    with opened(out, grid, force=force) as table:
        left = [cell for cell in cells if key_of(cell) not in table]
        reasons = _work(source(left) if left else iter(()), table, len(cells), len(left), as_meter(progress, WHO))
    return _frame(cells, table, reasons)


def _source(n_jobs: Any, scheduler: Any) -> Any:
    """Who computes."""
    jobs = -1 if n_jobs == -1 else checks.integer(WHO, "n_jobs", n_jobs, minimum=1)
    if scheduler is None:
        return here if jobs == 1 else functools.partial(beside, n_jobs=jobs)
    if not isinstance(scheduler, str) or "://" not in scheduler:
        raise InvalidInput(f"{WHO}: `scheduler` must be an address such as 'tcp://127.0.0.1:8786', got {scheduler!r}.")
    if jobs != 1:
        raise InvalidInput(f"{WHO}: `n_jobs` is for this machine; on a cluster the workers count. Leave it out.")
    return functools.partial(afar, scheduler=scheduler)


def _work(answers: Iterator[Answer], table: AppendTable, total: int, left: int, meter: Meter) -> dict[Cell, str]:
    """Keep every answer as it comes; the reasons of the cells that failed."""
    reasons: dict[Cell, str] = {}
    done = total - left
    try:
        if left:
            meter.update(done / total, f"{done} of {total} cells")
        for cell, result, reason in answers:
            if result is None:
                reasons[cell] = reason
            else:
                table.add(key_of(cell), [result])
            done += 1
            meter.update(done / total, f"{done} of {total} cells")
    except KeyboardInterrupt:  # what is done is in the table; the rest says that it never ran
        pass
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            answers.close() if hasattr(answers, "close") else None  # pyright: ignore[reportAttributeAccessIssue]
        meter.close()
    return reasons


def _frame(cells: Sequence[Cell], table: AppendTable, reasons: Mapping[Cell, str]) -> "pd.DataFrame":
    import pandas as pd

    records: list[dict[str, Any]] = []
    for cell in cells:
        if key_of(cell) in table:
            (result,) = table[key_of(cell)]
        elif cell in reasons:
            result = {**_NOTHING, "status": "failed", "message": reasons[cell]}
        else:
            result = {**_NOTHING, "status": "interrupted", "message": "Stopped before this one was done."}
        records.append({**cell.columns(), **result})
    return pd.DataFrame(records, columns=[*KEY, *VALUES])
