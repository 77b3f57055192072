"""Picture of the experiment on networks: SDEs above, decay and scaling rules in the last row."""

import math
import textwrap
from typing import TYPE_CHECKING, Any

from signscope.reproduce.compagnoni2024.networks_plan import ADDED, DELTA, SCALED_BATCH, Plan
from signscope.reproduce.compagnoni2024.networks_runs import DIAGONAL, OPTIMIZER, ROWS, Store
from signscope.reproduce.compagnoni2024.networks_summary import FAMILY_NAMES, METHOD_NAMES, curve_of, late_mean
from signscope.reproduce.drawing import BLACK, BLUE, GREEN, ORANGE, Look, finish, grid, legend, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from signscope.curves import Curve

KINDS = {
    OPTIMIZER: ("optimizer", Look(BLACK, "-", "o")),
    DIAGONAL: ("SDE, noise per coordinate", Look(ORANGE, (0, (5, 1.5)), "s")),
    ROWS: ("SDE, covariance of the rows", Look(BLUE, (0, (1.4, 1.4)), "^")),
}
RULES = {
    "old batch": Look(BLACK, "-", "o"),
    "rule": Look(BLUE, (0, (5, 1.5)), "s"),
    "unscaled": Look(ORANGE, (0, (1.4, 1.4)), "^"),
    "lr times 4": Look(GREEN, (0, (7, 1.6, 1.4, 1.6)), "D"),
}
_WIDTH, _HEIGHT = 4.4, 3.6


def draw(plan: Plan, store: Store, source: str) -> "Picture":
    """Loss curves with bands; one column per network."""
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(family for family, _ in plan.tracking))
    methods = list(dict.fromkeys(method for _, method in plan.tracking))
    scaled = [key for key in plan.scaling if key[1] == ADDED]
    columns = max(len(families), len(scaled) + bool(plan.decay), 2)
    picture = Figure(figsize=(_WIDTH * columns, _HEIGHT * (len(methods) + 1) + 0.6), layout="constrained")
    axes = picture.subplots(len(methods) + 1, columns, squeeze=False)
    for row, method in zip(axes, methods, strict=False):
        for ax, family in zip(row, families, strict=False):
            _tracking(ax, plan, store, family, method)
    last = list(axes[-1])
    if plan.decay:
        _decay(last.pop(0), plan, store)
    for ax, key in zip(last, scaled, strict=False):
        _scaling(ax, plan, store, key)
    for ax in axes.flat:
        grid(ax) if ax.has_data() else ax.set_axis_off()
    first = next(iter(plan.tracking.values()))
    counts = ", ".join(f"{len(runs)} {KINDS[kind][0]}" for kind, runs in first.items() if kind in KINDS)
    caption = (
        f"{source}, {first[OPTIMIZER][0].rows} rows, all runs from one initialisation; lines: means, bands: smallest "
        f"to largest ({counts}). Last row: Adam(W) under added noise, bars over runs; {DELTA} times the batch."
    )
    picture.supxlabel("\n".join(textwrap.wrap(caption, int(15 * _WIDTH * columns))), fontsize=8.5, color="#555555")
    return finish(picture)


def _tracking(ax: "Axes", plan: Plan, store: Store, family: str, method: str) -> None:
    kinds = plan.tracking[family, method]
    for kind, (label, style) in KINDS.items():
        if kind in kinds:
            _line(ax, curve_of(kinds[kind], store), style, label)
    ax.set(xlabel="steps", ylabel="training loss")
    run = kinds[OPTIMIZER][0]
    ax.set_title(f"{FAMILY_NAMES[family]}, {METHOD_NAMES[method]}, lr {run.lr:g}, batch {run.batch_size}")
    if (family, method) == next(iter(plan.tracking)):
        legend(ax)


def _line(ax: "Axes", curve: "Curve", style: Look, label: str, *, per_step: float = 1.0) -> None:
    time = curve.time.numpy() * per_step
    if curve.band is not None:
        low, high = (edge.numpy() for edge in curve.band)
        ax.fill_between(time, low, high, color=style.color, alpha=0.18, lw=0)
    gap = max(1, len(time) // 6)
    ax.plot(
        time, curve.value.numpy(), color=style.color, ls=style.dash, lw=1.6, label=label, marker=style.marker, ms=4,
        mfc="white", markevery=(gap // 2, gap),
    )  # fmt: skip


def _decay(ax: "Axes", plan: Plan, store: Store) -> None:
    noises = sorted({noise for _, noise in plan.decay})
    for index, theta in enumerate(dict.fromkeys(theta for theta, _ in plan.decay)):
        style, groups = look(index), [plan.decay[theta, noise] for noise in noises]
        middle = [late_mean(runs, store, "loss") for runs in groups]
        each = [[late_mean([run], store, "loss") for run in runs] for runs in groups]
        bars: Any = [
            [m - min(values) for m, values in zip(middle, each, strict=True)],
            [max(values) - m for m, values in zip(middle, each, strict=True)],
        ]
        accuracy = late_mean(groups[-1], store, "accuracy")
        label = f"{'AdamW, decay ' + format(theta, 'g') if theta else 'Adam'} (accuracy {accuracy:.2f} at the right)"
        ax.errorbar(
            noises, middle, yerr=bars, color=style.color, ls=style.dash, marker=style.marker, mfc="white", ms=5,
            capsize=2, label=label,
        )  # fmt: skip
    ax.axhline(math.log(plan.num_classes), color="#999999", lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="std of the noise added to every coordinate", ylabel="long-run training loss")
    run = next(iter(plan.decay.values()))[0]
    ax.set_title(f"MLP, high noise, lr {run.lr:g} (dotted: equal scores)")
    legend(ax, fontsize=7.5)


def _scaling(ax: "Axes", plan: Plan, store: Store, key: tuple[str, str]) -> None:
    for name, runs in plan.scaling[key].items():
        label = f"batch {runs[0].batch_size}, {name}, lr {runs[0].lr:g}"
        _line(ax, curve_of(runs, store), RULES[name], label, per_step=runs[0].batch_size / SCALED_BATCH)
    ax.set(xlabel=f"samples / {SCALED_BATCH}", ylabel="training loss")
    ax.set_title(f"{FAMILY_NAMES[key[0]]}, AdamW, batch x {DELTA}, {key[1]}")
    legend(ax, fontsize=7.5)
