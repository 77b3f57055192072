"""``jiang2024-distributed``: nodes that train a network with messages of one bit per weight, and with full ones."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.reproduce.datasets import Dataset, load
from signscope.reproduce.distributed.contenders import CONTENDERS, FEW_STEPS, sent
from signscope.reproduce.distributed.node_job import NodeJob, NodeStore
from signscope.reproduce.distributed.node_run import train
from signscope.reproduce.distributed.processes import Check, check_processes
from signscope.reproduce.distributed.splits import SPLITS
from signscope.reproduce.distributed.training_summary import Cell, claims, details, verdict
from signscope.reproduce.networks import DEFAULTS, build
from signscope.reproduce.report import Report, prepare, write
from signscope.reproduce.sweep_runs import RUNS, middle

NAME = "jiang2024-distributed"
SMALL_IMAGES = "image_mlp"


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        num_nodes: Numbers of nodes.
        num_seeds: Seeds at the best learning rate of every method; the first one chooses the rate.
        num_rates: Learning rates of every method; None for all.
        rows: Training and test rows at most; None for all.
        batch: Rows of all nodes together behind one step.
        epochs: Steps, in passes over the rows.
        points: Measurements along a run.
    """

    num_nodes: tuple[int, ...] = (4, 8)
    num_seeds: int = 3
    num_rates: int | None = None
    rows: int | None = None
    batch: int = 64
    epochs: float = 8
    points: int = 11


SIZES = {"full": Size(), "small": Size((2,), 2, 1, 256, 64, 3, 3)}


def jiang2024_distributed(
    out: str | Path | None = None,
    *,
    size: str = "full",
    data: str = "digits",
    model: str | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    num_nodes: Sequence[int] | None = None,
    num_seeds: int | None = None,
    alpha: float = 0.1,
    processes: bool = False,
    seed: int = 0,
    force: bool = False,
    progress: bool | Meter = False,
) -> Report:
    """Trains a network on several nodes, whose rows are alike or not, with one-bit methods, SGD and AdamW.

    The nodes are simulated one after the other in this process by `simulate_workers`, the reference to which
    `DistributedSign` on real processes is bit-identical; ``processes`` runs every one-bit method on real ones as well
    and compares the bits. Bytes are those of `bytes_per_step`. SGD and AdamW are run for as many steps, and for as
    many bytes as a majority vote sends: then once with the same batches and once with as many more rows per step.
    Learning rates are swept on the first seed with the first number of nodes, for every method and split alike; larger
    groups, which see as many rows per step, take them over.

    Every run is added to runs.csv when it ends, and a later call with the same folder computes only what is missing.

    Args:
        out: Folder for runs.csv, a picture per number of nodes, table.csv and report.json; None keeps nothing.
        size: "full" (minutes) or "small" (seconds, one rate: a test of the machinery).
        data: "digits", "cifar10:PATH", "fashion_mnist:PATH", or another one of the training experiments.
        model: Network; None takes one with a hidden layer for digits, else the one for the data.
        epochs: Steps of all methods, in passes over the training rows; None: 8, or 2 from 5,000 rows on.
        batch_size: Rows of all nodes together; None: 64.
        num_nodes: Numbers of nodes; None: 4 and 8.
        num_seeds: Seeds of every method at its best rate; None: 3.
        alpha: Of the Dirichlet law behind "label skew"; small for nodes with few classes.
        processes: Compare with real processes on this machine.
        seed: The first seed.
        force: Forget earlier runs in ``out``.
        progress: Show a meter.

    Returns:
        The report; "matched" if no claim fails beyond two standard errors.

    Raises:
        InvalidInput: A wrong option, or too few rows.
    """
    started = time.monotonic()
    chosen = SIZES[checks.one_of(NAME, "size", size, SIZES)]
    loaded = load(data).head(chosen.rows)
    chosen = _chosen(chosen, loaded, epochs=epochs, batch_size=batch_size, num_nodes=num_nodes, num_seeds=num_seeds)
    name = model or (SMALL_IMAGES if loaded.name == "digits" else DEFAULTS[loaded.kind])
    build(name, loaded, seed=0)  # refuses a network that does not fit before anything runs
    first = checks.integer(NAME, "seed", seed, minimum=0)
    cells = _cells(chosen, loaded, name, alpha=checks.positive(NAME, "alpha", alpha), seed=first)
    names = [RUNS, *(f"nodes{n}.png" for n in chosen.num_nodes), "table.csv", "report.json"]
    folder = prepare(out, names=(), force=True, who=NAME)
    if folder is not None and force:
        (folder / RUNS).unlink(missing_ok=True)
    store = NodeStore(None if folder is None else folder / RUNS)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run_all(cells, loaded, store, as_meter(progress, NAME))
        checked = check_processes(_best_jobs(cells, store), data, rows=chosen.rows) if processes else []
    finally:
        torch.set_num_threads(before)
    settings = {"data": data, "model": name, "size": size, "seed": first, "alpha": alpha, **asdict(chosen)}
    return _report(cells, loaded, store, checked, folder, names, settings, started)


def _chosen(
    size: Size,
    data: Dataset,
    *,
    epochs: float | None,
    batch_size: int | None,
    num_nodes: Sequence[int] | None,
    num_seeds: int | None,
) -> Size:
    rows = len(data.train_x)
    passes = (size.epochs if rows < 5_000 else 2.0) if epochs is None else checks.positive(NAME, "epochs", epochs)
    batch = size.batch if batch_size is None else checks.integer(NAME, "batch_size", batch_size, minimum=1)
    given = size.num_nodes if num_nodes is None else tuple(num_nodes)
    counts = tuple(checks.integer(NAME, "num_nodes", n, minimum=2) for n in given)
    seeds = size.num_seeds if num_seeds is None else checks.integer(NAME, "num_seeds", num_seeds, minimum=1)
    if not counts or any(batch % n for n in counts):
        raise InvalidInput(f"{NAME}: `batch_size` {batch} must be a multiple of every number of nodes, {counts}.")
    if batch > rows:
        raise InvalidInput(f"{NAME}: `batch_size` {batch} exceeds the {rows} training rows of {data.name}.")
    return replace(size, epochs=float(passes), batch=batch, num_nodes=counts, num_seeds=seeds)


def _cells(size: Size, data: Dataset, model: str, *, alpha: float, seed: int) -> list[Cell]:
    """One cell per number of nodes and split, with a job of which method, rate and budget are still open."""
    cells: list[Cell] = []
    first: dict[str, Cell] = {}
    for nodes in size.num_nodes:
        own = size.batch // nodes
        period = len(data.train_x) // nodes // own
        steps = max(1, round(size.epochs * period))
        for split in SPLITS:
            base = NodeJob(
                data=data.name,
                model=model,
                nodes=nodes,
                split=split,
                alpha=alpha,
                rows=period * own,
                batch_size=own,
                method="",
                lr=0.0,
                steps=steps,
                accumulate=1,
                points=size.points,
                seed=seed,
            )
            dim = sum(p.numel() for p in build(model, data, seed=0).parameters())
            seeds = tuple(seed + k for k in range(size.num_seeds))
            cells.append(Cell(base, _plans(base, dim, size), seeds, dim, swept=first.get(split)))
            first.setdefault(split, cells[-1])
    return cells


def _plans(base: NodeJob, dim: int, size: Size) -> dict[tuple[str, str], list[NodeJob]]:
    """Jobs of the sweep by method and budget."""
    plans: dict[tuple[str, str], list[NodeJob]] = {}
    for method, contender in CONTENDERS.items():
        rates = middle(contender.rates, size.num_rates)
        plans[method, "steps"] = [replace(base, method=method, lr=lr) for lr in rates]
    vote, full = (sent(CONTENDERS[m], dim, base.nodes, 1, period=1) for m in ("signsgd", "sgd"))
    few = max(1, math.floor(base.steps * vote / full))
    for method, grid in FEW_STEPS.items():
        for budget, more in (("bytes", 1), ("bytes, large batches", min(base.steps // few, base.period))):
            kept = middle(grid, size.num_rates)
            plans[method, budget] = [replace(base, method=method, lr=lr, steps=few, accumulate=more) for lr in kept]
    return plans


def _run_all(cells: Sequence[Cell], data: Dataset, store: NodeStore, meter: Meter) -> None:
    """Sweeps on the first seed, then all seeds at the best rate; what the store holds is not run again."""
    counts = [len(jobs) * (cell.swept is None) + len(cell.seeds) for cell in cells for jobs in cell.plans.values()]
    done = 0
    try:
        for cell in cells:
            for (method, budget), sweep in cell.plans.items():
                for job in sweep if cell.swept is None else ():
                    done = _run(job, data, store, meter, done, sum(counts))
                for job in cell.best(method, store, budget):
                    done = _run(job, data, store, meter, done, sum(counts))
    finally:
        meter.close()


def _run(job: NodeJob, data: Dataset, store: NodeStore, meter: Meter, done: int, total: int) -> int:
    if job not in store:
        store.add(job, train(job, data))
    meter.update((done + 1) / total, f"{job.nodes} nodes, {job.split}, {job.method} lr {job.lr:g} seed {job.seed}")
    return done + 1


def _best_jobs(cells: Sequence[Cell], store: NodeStore) -> list[NodeJob]:
    """The best run of every one-bit method in every cell."""
    ours = [(cell, *key) for cell in cells for key in cell.plans if CONTENDERS[key[0]].method is not None]
    return [cell.chosen(method, budget, store) for cell, method, budget in ours]


def _report(
    cells: Sequence[Cell],
    data: Dataset,
    store: NodeStore,
    checked: Sequence[Check],
    folder: Path | None,
    names: Sequence[str],
    settings: dict[str, Any],
    started: float,
) -> Report:
    import pandas as pd

    found = claims(cells, store, checked)
    word, text = verdict(found)
    report = Report(
        NAME,
        word,
        text,
        pd.DataFrame(found),
        details=pd.DataFrame(details(cells, store, data)),
        files=tuple(folder / name for name in names) if folder else (),
        settings=settings,
        seconds=time.monotonic() - started,
    )
    if folder is not None:
        from signscope.reproduce.distributed.training_figure import draw

        pictures = {f"nodes{n}.png": draw([c for c in cells if c.base.nodes == n], data.source, store)
                    for n in dict.fromkeys(c.base.nodes for c in cells)}  # fmt: skip
        table = report.table if report.details is None else report.details
        write(folder, {**pictures, "table.csv": table, "report.json": report.summary()})
    return report
