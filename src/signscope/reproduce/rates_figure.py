"""The picture of the rate experiments: log-log, with the theoretical exponents."""

from typing import TYPE_CHECKING

import numpy as np

from signscope.reproduce.rates import LINES, Line, Rows, points_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "steps": ("Stochastic gradients", "updates T"),
    "sum_steps": ("Finite sum, m = 64", "updates T"),
    "components": ("Finite sum, fixed T", "components m"),
}
LOOKS = {
    "signsgd skewed": ("#D55E00", "s"),
    "signsgd gaussian": ("#E69F00", "D"),
    "signum skewed": ("#0072B2", "o"),
    "ssvr skewed": ("#009E73", "^"),
    "ssvr gaussian": ("#56B4E9", "v"),
    "ssvr_fs": ("#009E73", "^"),
    "ssvr_fs reset": ("#56B4E9", "v"),
    "spider_sign": ("#CC79A7", "P"),
    "signsvrg": ("#000000", "X"),
}


def draw(data: Rows) -> "Figure":
    """Mean over runs with its range, one panel per sweep; dotted lines have the theoretical exponent.

    Args:
        data: What `rates.measure` returned.

    Returns:
        A figure of its own (not known to pyplot).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.4, 5.2), layout="constrained")
    for ax, (sweep, (title, label)) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        for line in LINES:
            if line.sweep == sweep:
                _draw_line(ax, line, data)
        ax.set(yscale="log", title=title, xlabel=label)
        ax.set_xscale("log", base=2)
        ax.grid(visible=True, which="both", color="#e4e4e4", lw=0.6)
        ax.set_axisbelow(True)
        low, high = ax.get_ylim()
        ax.set_ylim(low / (high / low) ** 0.25, high)  # room for the legend
        ax.legend(fontsize=8.5, frameon=True, framealpha=0.9, edgecolor="none")
    figure.axes[0].set_ylabel("mean l1 norm of the gradient along the path")
    runs = [len(points_of(line, data)[1][0]) for line in LINES]
    figure.supxlabel(
        f"Markers: mean of {max(runs)} (finite sum: {min(runs)}) runs, bars from smallest to largest, theoretical "
        "parameters. Dotted: theoretical exponent through the last point.",
        fontsize=8.5,
        color="#555555",
    )
    return figure


def _draw_line(ax: "Axes", line: Line, data: Rows) -> None:
    color, marker = LOOKS[line.key]
    x, norms = points_of(line, data)
    mean = norms.mean(1)
    slope = np.polyfit(np.log(x), np.log(mean), 1)[0]
    ax.errorbar(
        x,
        mean,
        yerr=np.stack([mean - norms.min(1), norms.max(1) - mean]),
        color=color,
        marker=marker,
        ms=5,
        mfc="white",
        lw=1.6,
        label=f"{line.label}: {slope:+.3f}",
    )
    ax.plot(x, mean[-1] * (x / x[-1]) ** line.theory, color=color, ls=":", lw=1.3, zorder=1)
