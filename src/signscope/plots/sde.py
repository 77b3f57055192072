"""The picture of an SDE next to its optimizer: mean loss with bands, and total variance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from signscope._core.errors import InvalidInput
from signscope.curves import Curve
from signscope.plots.risk import TIMES, dress
from signscope.plots.styles import FIXED, SPARE, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS: dict[str, Style] = {"optimizer": FIXED["sgd"], "SDE": FIXED["signsgd"], "without sampling": SPARE[3]}
_MARKS = 14


def plot_sde(
    losses: Mapping[str, Curve], variances: Mapping[str, Curve], *, title: str = "", caption: str = ""
) -> "Figure":
    """Mean loss on the left, total variance on the right, against lr*steps.

    Args:
        losses: Curves by name out of `LOOKS`; those of many paths have their central band.
        variances: Total variance by the same names.
        title: What the problem is.
        caption: A line under the panels.

    Returns:
        A figure of its own (not known to pyplot), ready for ``savefig``.

    Raises:
        InvalidInput: There is no curve, or a name is unknown.
    """
    from matplotlib.figure import Figure

    unknown = [name for name in (*losses, *variances) if name not in LOOKS]
    if unknown or not losses:
        raise InvalidInput(f"plot_sde: wanted curves named out of {', '.join(LOOKS)}, got {unknown or 'none'}.")
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for ax, curves, label in ((left, losses, "mean loss"), (right, variances, "total variance of the position")):
        for name, curve in curves.items():
            _draw(ax, name, curve)
        first = next(iter(curves.values()))
        dress(ax, first)
        if any(float(c.value.min()) <= 0 for c in losses.values()) and ax is left:
            ax.set_yscale("linear")
        ax.set_xlabel(TIMES["lr*steps"])
        ax.set_ylabel(label)
    left.legend(fontsize=9, edgecolor="none", handlelength=3.6)
    if title:
        figure.suptitle(title, fontsize=12)
    if caption:
        figure.supxlabel(caption, fontsize=8.5, color="#555555")
    return figure


def _draw(ax: "Axes", name: str, curve: Curve) -> None:
    style, time, value = LOOKS[name], curve.time.numpy(), curve.value.numpy()
    keep = value > 0 if curve.quantity == "variance" else value == value
    if curve.band is not None:
        low, high = (b.numpy() for b in curve.band)
        ax.fill_between(time, low, high, color=style.color, alpha=0.15, lw=0, zorder=2)
    marks = {
        "marker": style.marker,
        "markevery": max(1, len(time) // _MARKS),
        "markersize": 5,
        "markerfacecolor": "white",
    }
    ax.plot(time[keep], value[keep], color=style.color, ls=style.dash, lw=1.8, zorder=4, label=name, **marks)
