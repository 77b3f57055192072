"""Picture of the methods on objectives that differ between workers: rates, resting slopes, paths."""

import math
from typing import TYPE_CHECKING

from signscope.reproduce.claims import Rows
from signscope.reproduce.distributed.heterogeneous import (
    CENTRES,
    ENTRIES,
    RADIUS,
    RADIUS_VOTE,
    SLOPES,
    resting_point,
    resting_slope,
)
from signscope.reproduce.drawing import BLACK, BLUE, GREEN, MARKERS, ORANGE, Look, legend, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

LIMITS = {
    "away": ("follows the majority", ORANGE),
    "vote": ("floor of random votes", BLUE),
    "optimum": ("right", GREEN),
}
_DASHES = ("-", (0, (5, 1.5)), (0, (1.4, 1.4)), (0, (7, 1.6, 1.4, 1.6)), (0, (9, 2)), (0, (2.5, 1.2)))


def looks() -> dict[str, Look]:
    """Colour by where a method ends, dash and marker by method."""
    count: dict[str, int] = {}
    found: dict[str, Look] = {}
    for entry in ENTRIES:
        index = count[entry.limit] = count.get(entry.limit, -1) + 1
        found[entry.label] = Look(LIMITS[entry.limit][1], _DASHES[index], MARKERS[index])
    return found


def draw(rates: Rows, tails: Rows, paths: Rows) -> "Picture":
    """Mean norm against K, slope in the tail, and the quadratics."""
    caption = (
        "Left and middle: three workers, sum_i 0.1 log cosh(x_i) + b x_i with b = 0.45, 0.45, -0.9, d = 8, noise 0.1 "
        "(FS: 32 components each), parameters of theory, start at 1; thin lines: exponents of theory. Error bars: +- 2 "
        "standard errors over copies. Right: (x - c)^2/2 with c = 1, 1, -4, mean over copies."
    )
    picture, (left, middle, right) = panels(3, caption=caption, height=5.4)
    _rates(left, rates)
    _tails(middle, tails)
    _paths(right, paths)
    return picture


def _rates(ax: "Axes", rows: Rows) -> None:
    for entry in ENTRIES:
        own, style = [row for row in rows if row["method"] == entry.label], looks()[entry.label]
        x, y = [row["steps"] for row in own], [row["l1"] for row in own]
        ax.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, mfc="white", ms=4.5, label=entry.label)
        if entry.label in SLOPES and len(x) > 1:
            guide = [0.9 * y[0] * (k / x[0]) ** SLOPES[entry.label] for k in x]
            ax.plot(x, guide, color="#999999", lw=0.8, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="moves K", ylabel="mean over the run of the gradient's l1 norm")
    ax.set_ylim(bottom=0.12 * min(row["l1"] for row in rows))
    ax.set_title("Only unbiased methods keep falling")
    legend(ax, fontsize=7.5, loc="lower left", ncols=2)


def _tails(ax: "Axes", rows: Rows) -> None:
    top = max(row["slope"] for row in rows)
    for place, row in enumerate(reversed(rows)):
        error = 0.0 if math.isnan(row["slope_stderr"]) else 2 * row["slope_stderr"]
        style = looks()[row["method"]]
        ax.errorbar(row["slope"], place, xerr=error, color=style.color, marker=style.marker, mfc="white", ms=6)
    ax.set_yticks(range(len(rows)), [row["method"] for row in reversed(rows)], fontsize=8)
    for value, text, color in (
        (0.0, "optimum", GREEN),
        (resting_slope(RADIUS_VOTE), "random votes rest", BLUE),
        (-0.1, "two of three workers", ORANGE),
    ):
        ax.axvline(value, color=color, lw=1, ls=":", zorder=1)
        ax.annotate(text, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points",
                    ha="center", va="bottom", fontsize=7.5, color=color)  # fmt: skip
    ax.set(xlabel="mean slope f' per coordinate, second half of the longest run", xlim=(-0.125, max(0.025, 1.2 * top)))
    ax.set_title("Where they rest", pad=16)


def _paths(ax: "Axes", rows: Rows) -> None:
    for entry in ENTRIES:
        own, style = [row for row in rows if row["method"] == entry.label], looks()[entry.label]
        ax.plot([r["steps"] + 1 for r in own], [r["x"] for r in own], color=style.color, ls=style.dash, lw=1.5)
    for value, color in ((sum(CENTRES) / 3, GREEN), (resting_point(RADIUS), BLUE), (1.0, ORANGE)):
        ax.axhline(value, color=color, lw=1, ls=":")
    for text, color in LIMITS.values():
        ax.plot([], [], color=color, lw=2, label=text)
    ax.axhline(sum(CENTRES) / 3, color=BLACK, lw=0.6, ls=":")
    ax.set(xscale="log", xlabel="step + 1", ylabel="x")
    ax.set_title("Quadratics: optimum -2/3, median 1")
    legend(ax, loc="center left")
