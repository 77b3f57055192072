"""Pictures of the training experiment: curves at each method's best rate, and the ablation of SSVR."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signscope.reproduce.job import Job
from signscope.reproduce.methods import METHODS, VARIANCE_REDUCTION, beta_of
from signscope.reproduce.store import Store
from signscope.reproduce.training_summary import Experiment, best_rate, final, seeds_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"train_loss": "training loss", "grad_l1": "l1 norm of the full gradient", "test_accuracy": "test accuracy"}
COLORS = ("#0072B2", "#009E73", "#D55E00", "#E69F00", "#56B4E9", "#CC79A7", "#000000")
DASHES: tuple[Any, ...] = ("-", "-", (0, (5, 1.5)), (0, (5, 1.5)), (0, (1.4, 1.4)), "-", (0, (1.4, 1.4)))
MARKERS = "o^sDvPX"


def draw_training(experiments: Sequence[Experiment], store: Store) -> "Figure":
    """One row per data set: loss, gradient norm and accuracy against passes (below) and gradient calls (above).

    Lines are means over seeds at the rate with the smallest final training loss, bands from smallest to largest.
    """
    from matplotlib.figure import Figure

    shown = [e for e in experiments if e.kind == "comparison"]
    figure = Figure(figsize=(14.4, 4.6 * len(shown) + 0.4), layout="constrained")
    axes = figure.subplots(len(shown), 3, squeeze=False)
    for row, experiment in zip(axes, shown, strict=True):
        for ax, (name, label) in zip(row, PANELS.items(), strict=True):
            for index, method in enumerate(VARIANCE_REDUCTION):
                jobs = experiment.of(method)
                _draw_curve(ax, seeds_of(best_rate(jobs, store), jobs), store, name, index)
            _dress(ax, experiment.jobs[0], name, label)
        row[0].set_title(experiment.source, fontsize=10, loc="left", pad=22)
        row[2].legend(loc="lower right", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    seeds = len({job.seed for job in shown[0].jobs})
    figure.supxlabel(
        f"Mean of {seeds} seeds, bands from smallest to largest; each method at its best learning rate (smallest final "
        "training loss), all with the same budget of gradient calls.",
        fontsize=8.5,
        color="#555555",
    )
    return figure


def draw_ablation(experiments: Sequence[Experiment], store: Store) -> "Figure":
    """Final training loss and test accuracy of SSVR against beta, one line per batch size, bars over seeds."""
    from matplotlib.figure import Figure

    experiment = next(e for e in experiments if e.kind == "ablation")
    jobs = experiment.jobs
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    for ax, name in zip(figure.subplots(1, 2), ("train_loss", "test_accuracy"), strict=True):
        for index, batch in enumerate(sorted({job.batch_size for job in jobs})):
            part = [job for job in jobs if job.batch_size == batch]
            betas = sorted({beta_of(job) or 1.0 for job in part})
            values = np.array([final([j for j in part if (beta_of(j) or 1.0) == beta], store, name) for beta in betas])
            mean = values.mean(1)
            bars = np.stack([mean - values.min(1), values.max(1) - mean])
            look: dict[str, Any] = {"color": COLORS[index], "marker": MARKERS[index], "mfc": "white", "ms": 5}
            ax.errorbar(betas, mean, yerr=bars, label=f"batch {batch}", **look)
        ax.set(xscale="log", xlabel="beta (weight of the new sample)", ylabel=PANELS[name])
        if name == "train_loss":
            ax.set_yscale("log")
        ax.grid(visible=True, which="both", color="#e4e4e4", lw=0.6)
        ax.legend(fontsize=8.5, frameon=False)
    figure.suptitle(f"SSVR at lr {jobs[0].lr:g}, {jobs[0].epochs:g} passes: {experiment.source}", fontsize=10)
    return figure


def _draw_curve(ax: "Axes", jobs: Sequence[Job], store: Store, name: str, index: int) -> None:
    passes = np.array([row["passes"] for row in store.rows(jobs[0])])
    values = np.array([[row[name] for row in store.rows(job)] for job in jobs])
    label = f"{METHODS[jobs[0].method].label}, lr {jobs[0].lr:g}"
    look: dict[str, Any] = {"color": COLORS[index], "ls": DASHES[index], "marker": MARKERS[index], "mfc": "white"}
    ax.plot(passes, values.mean(0), lw=1.6, ms=4.5, markevery=2, label=label, **look)
    ax.fill_between(passes, values.min(0), values.max(0), color=COLORS[index], alpha=0.15, lw=0)


def _dress(ax: "Axes", job: Job, name: str, label: str) -> None:
    ax.set(xlabel="passes over the training rows", ylabel=label)
    if name != "test_accuracy":
        ax.set_yscale("log")
    ax.grid(visible=True, which="both", color="#e4e4e4", lw=0.6)
    ax.set_axisbelow(True)
    period = float(job.period)
    above = ax.secondary_xaxis("top", functions=(lambda x: np.multiply(x, period), lambda x: np.divide(x, period)))
    above.set_xlabel(f"gradient calls (batches of {job.batch_size})", fontsize=8.5)
