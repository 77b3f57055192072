"""``compagnoni2024-networks``: SDEs, decay under noise and the scaling rule on real networks and data."""

import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.reproduce.claims import shown
from signscope.reproduce.compagnoni2024.networks_plan import (
    BATCH,
    FAMILIES,
    SIZES,
    Plan,
    Size,
    families_for,
    plan_for,
)
from signscope.reproduce.compagnoni2024.networks_runs import Run, Store, perform
from signscope.reproduce.compagnoni2024.networks_summary import summary
from signscope.reproduce.datasets import Dataset, load
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.machine import machine_for
from signscope.reproduce.networks import NETWORKS
from signscope.reproduce.report import Report, prepare, write

NAME, RUNS = "compagnoni2024-networks", "runs.csv"
CHOSEN = (
    "Chosen here: cross entropy, batches drawn with replacement, noise measured over all rows at most 10 steps apart; "
    "lr 0.002, betas (0.9, 0.99), decay 0.1, batch 32; scaling: AdamW, lr 0.004, betas (0.98, 0.998), batch 8 to 32; "
    "accepted distances. ViT-Huge is not attempted."
)


def compagnoni2024_networks(
    out: str | Path | None = None,
    *,
    size: str = "full",
    data: str = "digits",
    model: str | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    num_seeds: int | None = None,
    seed: int = 0,
    force: bool = False,
    progress: bool | Meter = False,
) -> Report:
    """Networks trained by optimizers and followed by their SDEs; decay under noise; the scaling rule.

    Three parts: SignSGD, RMSpropW and AdamW against their SDEs with the full gradient and the noise measured along the
    path; Adam and AdamW on the MLP under added noise; AdamW at four times the batch on MLP, CNN and transformer.
    Every run is added to runs.csv when it ends, and a later call with the same folder computes only what is missing.

    Args:
        out: Folder for runs.csv, picture, numbers and report; None keeps nothing.
        size: "full" (minutes) or "small" (seconds: that it runs, its claims mean nothing).
        data: "digits", "shakespeare", "shakespeare:FILE", "cifar10:PATH", "fashion_mnist:PATH" or "imdb:PATH".
        model: One or more of "mlp", "cnn", "resnet", "transformer" and "transformer-160m" (text; 163,895,808 weights),
            separated by commas; None takes all small ones that fit the data.
        device: Such as "cpu" or "cuda"; "meta" builds the networks without memory for their weights, sends two rows
            through and runs nothing.
        batch_size: Rows of a batch in the first two parts; None: 32.
        num_seeds: Runs of every setting, paths too; None: 10 runs and 3 paths, 3 in the other parts.
        seed: Of the initialisation and of the first run.
        force: Forget earlier runs in ``out``.
        progress: Show a meter.

    Returns:
        The report; "matched" if every judged claim holds.

    Raises:
        InvalidInput: Unknown or unfitting data or network, or a device that cannot be used.
    """
    started = time.monotonic()
    chosen = _size(size, num_seeds)
    rows = load(data).head(chosen.rows)
    families = families_for(NAME, rows, model)
    batch = BATCH if batch_size is None else checks.integer(NAME, "batch_size", batch_size, minimum=1)
    plan = plan_for(rows, families, chosen, batch_size=batch, seed=checks.integer(NAME, "seed", seed, minimum=0))
    folder = prepare(out, names=(), force=True, who=NAME)
    settings = {"size": size, "seed": seed, "data": data, "model": families, "batch_size": batch, **asdict(chosen)}
    if device == "meta":
        return shapes(rows, families, folder, settings, started)
    if folder is not None and force:
        (folder / RUNS).unlink(missing_ok=True)
    store = Store(None if folder is None else folder / RUNS)
    run_all(plan, rows, store, device=device, meter=as_meter(progress, NAME))
    return EXPERIMENT.report(_findings(plan, store, rows), folder, settings=settings, started=started)


def run_all(plan: Plan, data: Dataset, store: Store, *, device: str, meter: Meter) -> None:
    """Runs what the store does not hold yet."""
    missing = [run for run in plan.runs if run not in store]
    total, done = sum(run.cost for run in missing), 0.0
    try:
        with machine_for(NAME, device) as machine:
            here = data.to(machine.device)
            for run in missing:
                meter.update(done / total, _said(run))
                store.add(run, perform(run, here, device=machine.device))
                done += run.cost
    finally:
        meter.close()


def shapes(data: Dataset, families: list[str], folder: Path | None, settings: dict, started: float) -> Report:
    """The networks on torch's meta device: number of weights and shape of the scores, without memory for either."""
    import pandas as pd

    rows = []
    for family in families:
        with torch.device("meta"):
            net = NETWORKS[FAMILIES[family][data.kind]][1](data)
        scores = net(data.train_x[:2].to("meta"))
        if len(scores) != 2 or scores.shape[1] < data.num_classes:
            raise InvalidInput(f"{NAME}: {family} gives scores of shape {tuple(scores.shape)} for two rows.")
        count = sum(param.numel() for param in net.parameters())
        rows.append(shown(f"{family}: weights", float(count)).row())
    report = Report(
        NAME, "not attempted", "networks built on the meta device, nothing was run.", pd.DataFrame(rows),
        files=() if folder is None else (folder / "report.json",), settings=settings,
        seconds=time.monotonic() - started,
    )  # fmt: skip
    write(folder, {"report.json": report.summary()})
    return report


def _size(size: str, num_seeds: int | None) -> Size:
    chosen = SIZES[checks.one_of(NAME, "size", size, SIZES)]
    if num_seeds is None:
        return chosen
    count = checks.integer(NAME, "num_seeds", num_seeds, minimum=2)
    return replace(chosen, num_runs=count, num_paths=count, decay_runs=count, scaling_runs=count)


def _findings(plan: Plan, store: Store, data: Dataset) -> Findings:
    from signscope.reproduce.compagnoni2024.networks_figure import draw

    claims, numbers = summary(plan, store)
    return Findings(claims, numbers, lambda: draw(plan, store, data.source))


def _said(run: Run) -> str:
    return f"{run.model} {run.method}, {run.kind}, batch {run.batch_size}, run {run.number}"


def _measure(size: Size, seed: int, meter: Meter) -> Findings:
    """The experiment on digits, kept in memory."""
    data = load("digits").head(size.rows)
    plan, store = plan_for(data, families_for(NAME, data, None), size, seed=seed), Store(None)
    run_all(plan, data, store, device="cpu", meter=meter)
    return _findings(plan, store, data)


EXPERIMENT = Experiment(NAME, SIZES, _measure, CHOSEN)
