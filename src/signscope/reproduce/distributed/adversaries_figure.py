"""Picture of votes with bad and late workers."""

from typing import TYPE_CHECKING

import numpy as np

from signscope.reproduce.claims import Rows
from signscope.reproduce.distributed.adversaries import ACCURACIES, METHODS, TEAM, resting_distance, tolerated
from signscope.reproduce.drawing import BLACK, legend, look, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture


def draw(votes: Rows, descents: Rows, late: Rows) -> "Picture":
    """One vote, descents with liars, descents with late votes."""
    caption = (
        "Left: lines exact, markers simulated, dotted verticals the limit 1 - 1/(2p) for liars; flippers are withstood "
        "up to 1/2. Middle and right: ten workers on |x|^2/2, noise of variance 1, mean |x| over the last half; black: "
        "where liars and honest workers balance. Filled markers on the right: only three of the ten are late."
    )
    picture, (left, middle, right) = panels(3, caption=caption, height=5.0)
    _votes(left, votes)
    _descents(middle, descents)
    _late(right, late)
    return picture


def _votes(ax: "Axes", rows: Rows) -> None:
    for index, accuracy in enumerate(ACCURACIES):
        style = look(index)
        for kind in ("lies", "flips"):
            own = [row for row in rows if (row["accuracy"], row["kind"]) == (accuracy, kind)]
            x, name = [row["share"] for row in own], "liars" if kind == "lies" else "flippers"
            ax.plot(x, [r["exact"] for r in own], color=style.color, ls="-" if kind == "lies" else "--",
                    label=f"{name}, honest accuracy {accuracy:g}")  # fmt: skip
            ax.plot(x, [r["right"] for r in own], style.marker, color=style.color, mfc="white", ms=3.5)
        ax.axvline(tolerated(accuracy), color=style.color, lw=0.9, ls=":")
    ax.axhline(0.5, color=BLACK, lw=0.6)
    ax.set(xlabel="share of bad voters", ylabel="P(the majority is right)", ylim=(-0.3, 1.04))
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    ax.set_title("One vote")
    legend(ax, fontsize=7.5, loc="lower left", ncols=2)


def _descents(ax: "Axes", rows: Rows) -> None:
    dashes = {"flips": ":", "lies": "-", "lies loudly": "--"}
    for index, label in enumerate(METHODS):
        for kind, dash in dashes.items():
            own = [row for row in rows if (row["method"], row["kind"]) == (label, kind)]
            x, y = [r["bad"] for r in own], [r["distance"] for r in own]
            ax.plot(x, y, color=look(index).color, ls=dash, marker=look(index).marker, ms=4, mfc="white",
                    label=label if kind == "lies" else None)  # fmt: skip
    last = max(row["bad"] for row in rows)
    grid = np.linspace(0.02, last / TEAM, 60)
    ax.plot(grid * TEAM, [resting_distance(a, 1.0) for a in grid], color=BLACK, lw=1, label="theory, majority vote")
    for kind, dash in dashes.items():
        ax.plot([], [], color="#777777", ls=dash, label=f"bad worker {kind}")
    ax.set(yscale="log", xlabel="bad workers of ten", ylabel="distance from the optimum at rest", ylim=(0.012, 300))
    ax.set_xticks(range(last + 1))
    ax.set_title("Bad workers in a descent")
    legend(ax, fontsize=7, loc="upper left", ncols=2)


def _late(ax: "Axes", rows: Rows) -> None:
    for index, label in enumerate(METHODS):
        for who in ("all", "three of ten"):
            own = [row for row in rows if (row["method"], row["late"]) == (label, who)]
            color = look(index).color
            ax.plot([r["delay"] + 1 for r in own], [r["distance"] for r in own], color=color, marker=look(index).marker,
                    ms=4.5, mfc="white" if who == "all" else color, ls="-" if who == "all" else ":",
                    label=label if who == "all" else None)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="delay of the votes + 1 (moves)", ylabel="distance from the optimum")
    ax.set_title("Late votes: all (lines), three of ten (dotted)")
    legend(ax, fontsize=8, loc="upper left")
