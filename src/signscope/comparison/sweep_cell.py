"""One cell of a sweep: what determines it, and its computation. The same in every process and in any order."""

import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from signscope._core.progress import SilentMeter
from signscope._core.random import stream
from signscope.comparison.steps import Plan, run_all
from signscope.problems import BUNDLED, LeastSquares, bundled, gaussian_problem, load_table

Key = tuple[str, ...]
AUTO = "auto"
VALUES = (
    "lr_used",
    "step_size",
    "status",
    "method",
    "final_predicted",
    "final_simulated",
    "final_stderr",
    "limit",
    "rate",
    "gap_mean",
    "gap_worst",
    "gap_max_z",
    "seconds",
    "message",
)
TEXTS = ("status", "method", "message")
COPIED = tuple(name for name in VALUES if name not in ("lr_used", "seconds", "message"))


@dataclass(frozen=True)
class Cell:
    """What determines a cell; equal cells give equal results.

    Attributes:
        data: Bundled data set or file; None for a Gaussian problem.
        target: Column or array of y in the file.
        scale: Scaling of the columns of a data set.
        dim: Coordinates of a Gaussian problem.
        spectrum: Its eigenvalues, as in `parse_spectrum`.
        rotated: Whether its basis is a random one.
        noise: Law of the label noise; on data empirical, gaussian or mixture.
        optimizer: sgd, signsgd, adam or signum.
        lr: The theory's rate; None for the best one.
        batch_size: Rows per update.
        beta1: Adam's first average.
        beta2: Adam's second average.
        horizon: Length of a run in steps/dim.
        num_runs: Runs of the simulation; 0 for a prediction alone.
        seed: Of problem (target and basis) and simulation.
    """

    data: str | None
    target: str | None
    scale: str | None
    dim: int | None
    spectrum: str | None
    rotated: bool
    noise: str
    optimizer: str
    lr: float | None
    batch_size: int
    beta1: float
    beta2: float
    horizon: float
    num_runs: int
    seed: int

    def columns(self) -> dict[str, Any]:
        """The cell as the first columns of a table."""
        return {**asdict(self), "lr": AUTO if self.lr is None else self.lr}


KEY = tuple(field.name for field in fields(Cell))


def key_of(cell: Cell) -> Key:
    """The cell as text, as written in files."""
    return tuple("" if value is None else str(value) for value in cell.columns().values())


def seed_of(cell: Cell) -> int:
    """Seed of the cell's simulation, from everything that determines the cell."""
    return int(stream(cell.seed, "sweep", *key_of(cell)).integers(2**31))


def problem_of(cell: Cell) -> LeastSquares:
    """The problem of the cell; cells that differ in optimizer, rate or batch have the same."""
    if cell.data is None:
        assert cell.dim is not None
        assert cell.spectrum is not None
        return gaussian_problem(
            cell.dim, spectrum=cell.spectrum, rotated=cell.rotated, noise=cell.noise, seed=cell.seed
        )
    is_bundled = cell.data.replace("-", "_") in BUNDLED
    X, y = bundled(cell.data) if is_bundled else load_table(Path(cell.data), cell.target)
    options: dict[str, Any] = {"scale": cell.scale, "noise": cell.noise, "seed": cell.seed}
    return LeastSquares.from_data(X, y, **options)


def compute(cell: Cell) -> dict[str, Any]:
    """The result of one cell: `VALUES`, numbers that do not exist as NaN.

    Raises:
        InvalidInput: The data cannot be used.
    """
    begun = time.perf_counter()
    problem = problem_of(cell)
    betas = (cell.beta1, cell.beta2)
    plan = Plan(cell.horizon, cell.num_runs, seed_of(cell), cell.batch_size, betas, None, None)
    rates = {} if cell.lr is None else {cell.optimizer: cell.lr}
    kinds = ["gaussian" if problem.rows is None else "data"]
    (entry,) = run_all(problem, [cell.optimizer], rates, plan, SilentMeter(), kinds=kinds)
    if entry.status == "interrupted":  # a stopped cell is no result
        raise KeyboardInterrupt
    record = entry.record()
    own = {"lr_used": record["lr"], "seconds": round(time.perf_counter() - begun, 3)}
    own["message"] = " ".join(record["message"].split())
    return {name: own[name] if name in own else record[name] for name in VALUES}
