"""`plot_risk`: risk against time, predictions as lines, simulations with their band."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from signscope._core.errors import InvalidInput
from signscope.curves import Curve
from signscope.plots.styles import Key, Style, key_of, label_of, styles_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import LogFormatter

_MARKS = 12  # markers along a simulated curve
_INK = "#3a3a3a"
QUANTITIES = {
    "excess_risk": "excess risk R",
    "distance": "squared distance to the optimum",
    "grad_norm": "squared gradient norm",
}
TIMES = {"steps/dim": "time (steps / dim)", "steps": "time (steps)", "lr*steps": "time (lr x steps)"}


def plot_risk(curves: "Sequence[Curve] | Curve", *, ax: "Axes | None" = None) -> "Axes":
    """Risk against time in the curves' common unit; predictions as lines, simulations with their band.

    Args:
        curves: Curves with one time unit and one quantity. An optimizer (at one rate) has one colour, line style
            and marker, whether predicted or simulated.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes, with labels, units and legends; nothing is shown, and no global style is changed.

    Raises:
        InvalidInput: No curve, or curves with different units or quantities.
    """
    shown = [curves] if isinstance(curves, Curve) else list(curves)
    _check(shown)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.figure(figsize=(6.4, 4.4), layout="constrained").add_subplot()
    styles = styles_for(shown)
    draw_curves(ax, shown, styles)
    dress(ax, shown[0])
    add_legends(ax, shown, styles)
    return ax


def draw_curves(ax: "Axes", curves: Sequence[Curve], styles: dict[Key, Style]) -> None:
    """Simulations first (band, then mean), predictions on top."""
    for number, curve in enumerate(c for c in curves if c.num_runs):
        _draw_simulation(ax, curve, styles[key_of(curve)], offset=number)
    for curve in curves:
        if not curve.num_runs:
            style = styles[key_of(curve)]
            ax.plot(*_visible(curve), color=style.color, linestyle=style.dash, lw=2.0, zorder=4, label=label_of(curve))


def draw_aside(ax: "Axes", curves: Sequence[Curve], styles: dict[Key, Style]) -> None:
    """Predictions shown for comparison only: thin and dotted."""
    for curve in curves:
        style = styles[key_of(curve)]
        ax.plot(*_visible(curve), color=style.color, linestyle=":", lw=1.3, zorder=3, label=f"_{label_of(curve)}")


def dress(ax: "Axes", curve: Curve) -> None:
    """Scales, labels with units, light grid."""
    from matplotlib.ticker import MaxNLocator

    ax.set_yscale("log")
    ax.set_xlabel(TIMES[curve.time_unit])
    ax.set_ylabel(QUANTITIES.get(curve.quantity, curve.quantity))
    ax.margins(x=0.015)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(plain_numbers())
    ax.yaxis.set_minor_formatter(plain_numbers())
    ax.grid(visible=True, which="major", color="#dcdcdc", lw=0.7)
    ax.grid(visible=True, which="minor", axis="y", color="#efefef", lw=0.5)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def plain_numbers() -> "LogFormatter":
    """Labels such as 0.04 instead of powers; between decades only where the axis spans few of them."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    return Plain(minor_thresholds=(2.0, 0.7))


def add_legends(
    ax: "Axes", curves: Sequence[Curve], styles: dict[Key, Style], *, aside: bool = False, **where: Any
) -> None:
    """One legend: a line per optimizer with its rate, then what lines, bands and dots mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for key, style in styles.items():
        curve = next(c for c in curves if key_of(c) == key)
        look: dict[str, Any] = {
            "color": style.color,
            "marker": style.marker,
            "markersize": 5,
            "markerfacecolor": "white",
        }
        handles.append(Line2D([], [], linestyle=style.dash, lw=2.0, label=label_of(curve), **look))
    if any(not c.num_runs for c in curves):
        handles.append(Line2D([], [], color=_INK, lw=2.0, label="prediction"))
    simulated = next((c for c in curves if c.num_runs), None)
    if simulated is not None:
        band = f", {100 * simulated.band_level:.0f}% band" if simulated.band is not None else ""
        handles.append(
            (
                Patch(facecolor=_INK, alpha=0.2),
                Line2D(
                    [],
                    [],
                    color=_INK,
                    marker="o",
                    ls="",
                    markersize=5,
                    markerfacecolor="white",
                    label=f"simulation{band}",
                ),
            )
        )
    if aside:
        handles.append(Line2D([], [], color=_INK, lw=1.3, ls=":", label="Gaussian theory"))
    labels = [h[1].get_label() if isinstance(h, tuple) else h.get_label() for h in handles]
    options: dict[str, Any] = {"loc": "best", "frameon": True, "framealpha": 0.9, "edgecolor": "none", "fontsize": 9}
    ax.legend(handles, labels, handlelength=4.2, **{**options, **where})


def _check(curves: Sequence[Curve]) -> None:
    if not curves:
        raise InvalidInput("plot_risk: `curves` is empty.")
    for name in ("time_unit", "quantity"):
        found = sorted({getattr(c, name) for c in curves})
        if len(found) > 1:
            raise InvalidInput(f"plot_risk: `curves` must share one {name}, got {', '.join(found)}.")


def _draw_simulation(ax: "Axes", curve: Curve, style: Style, *, offset: int) -> None:
    time, value = _visible(curve)
    if curve.band is not None:
        low, high = (torch.where(torch.isfinite(curve.value), b, torch.nan).numpy() for b in curve.band)
        time_axis = curve.time.numpy()
        ax.fill_between(time_axis, low, high, color=style.color, alpha=0.17, lw=0, zorder=1)
        for edge in (low, high):  # seen in grey, and where bands overlap
            ax.plot(time_axis, edge, color=style.color, lw=0.5, alpha=0.45, zorder=2)
    gap = max(1, len(time) // _MARKS)
    ax.plot(
        time,
        value,
        color=style.color,
        linestyle="none",
        marker=style.marker,
        markersize=5,
        markerfacecolor="white",
        markeredgewidth=1.2,
        markevery=(gap // 2 + offset * gap // 4, gap),
        zorder=5,
        label=f"_{label_of(curve)} simulated",
    )


def _visible(curve: Curve) -> tuple[Any, Any]:
    """Times and values; what a logarithmic axis cannot show becomes NaN."""
    value = curve.value.detach()
    shown = torch.where(torch.isfinite(value) & (value > 0), value, torch.nan)
    return curve.time.numpy(), shown.numpy()
