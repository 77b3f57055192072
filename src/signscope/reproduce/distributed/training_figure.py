"""Pictures of the nodes: loss and accuracy against steps and against bytes, both splits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signscope.reproduce.distributed.contenders import CONTENDERS
from signscope.reproduce.distributed.node_job import NodeJob, NodeStore
from signscope.reproduce.distributed.training_summary import Cell
from signscope.reproduce.drawing import BLACK, BLUE, GOLD, GREEN, ORANGE, PINK, SKY, finish, grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

GREY = "#7a7a7a"
LOOKS: dict[str, tuple[str, Any, str]] = {  # colour, dash, marker: dashed for methods biased on different data
    "sgd": (BLACK, "-", "s"),
    "adamw": (GREY, "-", "D"),
    "signsgd": (ORANGE, (0, (4, 1.5)), "o"),
    "signum": (GOLD, (0, (4, 1.5)), "^"),
    "sim": (PINK, (0, (4, 1.5)), "v"),
    "ssvr1": (SKY, (0, (4, 1.5)), "o"),
    "ssvr2": (SKY, "-", "P"),
    "ssdm": (BLUE, (0, (1.4, 1.4)), "x"),
    "ef": (BLUE, "-", "^"),
    "dvr": (GREEN, "-", "o"),
    "dvrq": (GREEN, (0, (1.4, 1.4)), "X"),
    "dvrfs": (PINK, "-", "s"),
}
PANELS = {"train_loss": "training loss", "test_accuracy": "test accuracy"}


def draw(cells: Sequence[Cell], source: str, store: NodeStore) -> "Picture":
    """Two rows (loss, accuracy), and per split a panel against steps and one against bytes."""
    import textwrap

    from matplotlib.figure import Figure

    base = cells[0].base
    picture = Figure(figsize=(4.3 * 2 * len(cells) + 2.6, 8.2), layout="constrained")
    axes = picture.subplots(2, 2 * len(cells), squeeze=False)
    for column, cell in enumerate(cells):
        for row, (name, label) in zip(axes, PANELS.items(), strict=True):
            for ax, unit in zip(row[2 * column : 2 * column + 2], ("moves", "bytes"), strict=True):
                _panel(ax, cell, store, name, unit)
                ax.set_ylabel(label)
        axes[0][2 * column].set_title(f"{cell.base.split}: at equal steps")
        axes[0][2 * column + 1].set_title(f"{cell.base.split}: against bytes")
    handles, labels = axes[0][1].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside right center", fontsize=8.5, frameon=False)
    caption = (
        f"{source}; {base.nodes} nodes, {base.batch_size} rows per node and step, {cells[0].dim} weights. Every method "
        f"at its best rate, falling linearly to 0; lines are means over {len(cells[0].seeds)} seeds, bands from "
        "smallest to largest. Dashed: biased when nodes differ. Stars: SGD and AdamW with rates of their own for the "
        f"bytes of a vote; large stars with up to {base.period} times the rows per step."
    )
    picture.supxlabel("\n".join(textwrap.wrap(caption, 190)), fontsize=8.5, color="#555555")
    return finish(picture)


def _panel(ax: "Axes", cell: Cell, store: NodeStore, name: str, unit: str) -> None:
    for method, contender in CONTENDERS.items():
        _line(ax, cell.best(method, store), store, name, unit, method, contender.label)
    if unit == "bytes":
        for method in ("sgd", "adamw"):
            for budget, marker_size in (("bytes", 9), ("bytes, large batches", 15)):
                jobs = cell.best(method, store, budget)
                last = [store.rows(job)[-1] for job in jobs]
                point = (last[0]["bytes"], float(np.mean([row[name] for row in last])))
                size: dict[str, Any] = {"ms": marker_size, "mec": "white", "mew": 0.7, "zorder": 9}
                ax.plot(*point, "*", color=LOOKS[method][0], **size)
    ax.set(xscale="log" if unit == "bytes" else "linear", xlabel="steps" if unit == "moves" else "bytes sent by a node")
    if name == "train_loss":
        ax.set_yscale("log")
    grid(ax)


def _line(ax: "Axes", jobs: Sequence[NodeJob], store: NodeStore, name: str, unit: str, method: str, label: str) -> None:
    rows = [store.rows(job) for job in jobs]
    skip = 1 if unit == "bytes" else 0  # nothing is sent at the start, and the axis is logarithmic
    x = [row[unit] for row in rows[0]][skip:]
    values = np.array([[row[name] for row in run] for run in rows])[:, skip:]
    color, dash, marker = LOOKS[method]
    ax.plot(x, values.mean(0), color=color, ls=dash, lw=1.6, marker=marker, ms=4, mfc="white", markevery=3, label=label)
    ax.fill_between(x, values.min(0), values.max(0), color=color, alpha=0.1, lw=0)
