"""``jiang2024-training``: sign methods with variance reduction against their rivals in real training."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.reproduce.datasets import Dataset, load
from signscope.reproduce.job import Job
from signscope.reproduce.machine import Machine, machine_for
from signscope.reproduce.methods import METHODS, VARIANCE_REDUCTION
from signscope.reproduce.networks import DEFAULTS, build
from signscope.reproduce.report import Report, prepare, write
from signscope.reproduce.store import Store
from signscope.reproduce.sweep_runs import RUNS, middle, run_missing, store_in
from signscope.reproduce.training_summary import Experiment, best_rate, claims, details, verdict

NAME = "jiang2024-training"
FILES = ("training.png", "ablation.png", "table.csv", "report.json")
BUNDLED = "digits,shakespeare"


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        num_seeds: Seeds of every configuration.
        num_rates: Learning rates of every method; None for all.
        rows: Training and test rows at most; None for all.
        points: Measurements along a run.
        epochs: Budget in passes: below and from 5,000 rows.
        betas: Ablation of SSVR: weights of the new sample.
        batch_factors: Ablation of SSVR: batch sizes, in units of the comparison's.
    """

    num_seeds: int
    num_rates: int | None
    rows: int | None
    points: int
    epochs: tuple[float, float]
    betas: tuple[float, ...]
    batch_factors: tuple[int, ...]


SIZES = {
    "full": Size(3, None, None, 10, (20, 5), (0.03, 0.1, 0.3, 0.9), (1, 2, 4)),
    "small": Size(2, 1, 256, 2, (3, 3), (0.1, 0.9), (1, 2)),
}


def jiang2024_training(
    out: str | Path | None = None,
    *,
    size: str = "full",
    data: str = BUNDLED,
    model: str | None = None,
    augment: bool = False,
    device: str = "cpu",
    epochs: float | None = None,
    batch_size: int | None = None,
    num_seeds: int | None = None,
    seed: int = 0,
    force: bool = False,
    progress: bool | Meter = False,
) -> Report:
    """Trains a network with seven optimizers, each learning rate swept, under equal budgets of gradient calls.

    One call is the gradient of one mini-batch; a full gradient costs as many as there are mini-batches. Every run is
    added to runs.csv when it ends (a long one is saved on its way), and a later call with the same folder computes
    only what is missing.

    Args:
        out: Folder for runs.csv, training.png, ablation.png, table.csv and report.json; None keeps nothing.
        size: "full" (minutes at its default data) or "small" (seconds, one rate, 256 rows: a test of the machinery).
        data: One or more of "digits", "shakespeare", "cifar10:PATH", "fashion_mnist:PATH", "imdb:PATH", "FILE" as in
            "shakespeare:FILE", separated by commas. The ablation is on the first.
        model: "cnn", "resnet20", "resnet18", "mlp" or "characters"; None takes the one for the data.
        augment: Crop and mirror the mini-batches of images at random, alike for all methods and points; full
            gradients (measurements, checkpoints of SignSVRG and SSVR-FS) stay those of the rows as they are.
        device: Such as "cpu" or "cuda".
        epochs: Budget in passes over the training rows; None: 20, or 5 from 5,000 rows on.
        batch_size: Rows per mini-batch; None: 32, 64 from 5,000 and 128 from 20,000 rows on.
        num_seeds: Seeds of every configuration; None: 3.
        seed: The first of them.
        force: Forget earlier runs in ``out``.
        progress: Show a meter.

    Returns:
        The report; "matched" if SSVR and SSVR-FS end below the other sign methods in training loss and gradient
        norm, nowhere above beyond two standard errors.
    """
    from signscope.reproduce.training_figure import draw_ablation, draw_training

    started = time.monotonic()
    chosen = SIZES[checks.one_of(NAME, "size", size, SIZES)]
    chosen = replace(chosen, num_seeds=_whole("num_seeds", num_seeds, chosen.num_seeds))
    seeds = [checks.integer(NAME, "seed", seed, minimum=0) + k for k in range(chosen.num_seeds)]
    folder = prepare(out, names=(), force=True, who=NAME)
    with machine_for(NAME, device) as machine:
        tasks = [
            _task(
                spec.strip(),
                chosen,
                model=model,
                augment=augment,
                device=device,
                epochs=epochs,
                batch_size=batch_size,
                seeds=seeds,
            )
            for spec in data.split(",")
        ]
        store = store_in(folder, machine=machine, force=force)
        experiments = run_all(tasks, store, chosen, machine=machine, meter=as_meter(progress, NAME))
    found = claims(experiments, store)
    table = details(experiments, store)
    report = _report(found, table, folder, {"data": data, "size": size, "seeds": seeds, **asdict(chosen)}, started)
    if folder is not None:
        pictures = {FILES[0]: draw_training(experiments, store), FILES[1]: draw_ablation(experiments, store)}
        write(
            folder,
            {
                **pictures,
                FILES[2]: report.details if report.details is not None else report.table,
                FILES[3]: report.summary(),
            },
        )
    return report


@dataclass(frozen=True)
class Task:
    """Data with everything about its runs but method, rate and seed.

    Attributes:
        data: On the device.
        base: A job whose method, rate and seed are yet to be set.
        seeds: Of every configuration.
    """

    data: Dataset
    base: Job
    seeds: Sequence[int]

    def sweep(self, method: str, num_rates: int | None) -> list[Job]:
        """Jobs of a method over its learning rates (the middle ones if fewer are wanted) and the seeds."""
        kept = middle(METHODS[method].rates, num_rates)
        return [replace(self.base, method=method, lr=lr, seed=s) for lr in kept for s in self.seeds]

    def ablation(self, lr: float, size: Size) -> list[Job]:
        """Jobs of SSVR over beta and batch size at one learning rate; the comparison's own beta counts as default."""
        return [
            replace(
                self.base,
                method="ssvr",
                lr=lr,
                beta=None if beta == METHODS["ssvr"].beta else beta,
                batch_size=self.base.batch_size * factor,
                seed=s,
            )
            for factor in size.batch_factors
            for beta in size.betas
            for s in self.seeds
        ]


def run_all(tasks: Sequence[Task], store: Store, size: Size, *, machine: Machine, meter: Meter) -> list[Experiment]:
    """Runs what the store does not hold yet; the comparison of every task, then the ablation of the first."""
    plans = [(task, [job for m in VARIANCE_REDUCTION for job in task.sweep(m, size.num_rates)]) for task in tasks]
    count = len(size.betas) * len(size.batch_factors) * len(tasks[0].seeds)
    total, done = sum(len(jobs) for _, jobs in plans) + count, 0
    try:
        for task, jobs in plans:
            run_missing(jobs, task.data, store, machine=machine, meter=meter, span=(done / total, len(jobs) / total))
            done += len(jobs)
        task, jobs = plans[0]
        best = best_rate([job for job in jobs if job.method == "ssvr"], store)
        extra = task.ablation(best.lr, size)
        run_missing(extra, task.data, store, machine=machine, meter=meter, span=(done / total, count / total))
    finally:
        meter.close()
    found = [Experiment("comparison", task.data.source, jobs) for task, jobs in plans]
    return [*found, Experiment("ablation", tasks[0].data.source, extra)]


def _task(
    spec: str,
    size: Size,
    *,
    model: str | None,
    augment: bool,
    device: str,
    epochs: float | None,
    batch_size: int | None,
    seeds: Sequence[int],
) -> Task:
    data = load(spec).head(size.rows)
    rows = len(data.train_x)
    if augment and data.kind != "images":
        raise InvalidInput(f"{NAME}: `augment` crops and mirrors images; {data.name} holds {data.kind}.")
    build(model, data, seed=0)  # refuses a network that does not fit before anything runs
    rows_per_batch = _whole("batch_size", batch_size, 32 if rows < 5_000 else 64 if rows < 20_000 else 128)
    if rows_per_batch * max(size.batch_factors) > rows:
        raise InvalidInput(
            f"{NAME}: `batch_size` {rows_per_batch}, four times that in the ablation, exceeds the {rows} training "
            f"rows of {data.name}; use a smaller one."
        )
    passes = size.epochs[rows >= 5_000] if epochs is None else checks.positive(NAME, "epochs", epochs)
    base = Job(
        data=data.name,
        rows=rows,
        model=model or DEFAULTS[data.kind],
        method="",
        lr=0.0,
        beta=None,
        batch_size=rows_per_batch,
        epochs=float(passes),
        points=size.points,
        seed=0,
        augment=augment,
    )
    return Task(data.to(device), base, seeds)


def _report(
    found: list[dict[str, Any]], table: list[dict[str, Any]], folder: Path | None, settings: dict[str, Any], t0: float
) -> Report:
    import pandas as pd

    word, text = verdict(found)
    names = () if folder is None else (RUNS, *FILES)
    return Report(
        NAME,
        word,
        text,
        pd.DataFrame(found),
        details=pd.DataFrame(table),
        files=tuple(folder / name for name in names) if folder else (),
        settings=settings,
        seconds=time.monotonic() - t0,
    )


def _whole(name: str, value: int | None, default: int) -> int:
    return default if value is None else checks.integer(NAME, name, value, minimum=1)
