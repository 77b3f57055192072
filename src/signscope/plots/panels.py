"""The picture of a comparison: one panel per kind of rows, side by side, with a caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signscope._core.errors import InvalidInput
from signscope.curves import Curve
from signscope.plots.risk import add_legends, draw_aside, draw_curves, dress
from signscope.plots.styles import styles_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes:
        title: Text above it.
        curves: Predictions and simulations.
        aside: Predictions shown for comparison, thin and dotted.
        notes: Lines of text at its upper right, such as optimizers without a curve.
    """

    title: str
    curves: Sequence[Curve]
    aside: Sequence[Curve] = ()
    notes: Sequence[str] = ()


def plot_panels(panels: Sequence[Panel], *, title: str = "") -> "Figure":
    """Panels side by side with a common risk axis, a legend and a caption under them.

    Args:
        panels: One or more; those without curves show their notes.
        title: What the problem is.

    Returns:
        A figure of its own (not known to pyplot), ready for ``savefig``.

    Raises:
        InvalidInput: There is no panel.
    """
    from matplotlib.figure import Figure

    if not panels:
        raise InvalidInput("plot_panels: `panels` is empty.")
    curves = [c for p in panels for c in (*p.curves, *p.aside)]
    styles = styles_for(curves)
    width = 6.6 if len(panels) == 1 else 4.9 * len(panels) + 0.6
    figure = Figure(figsize=(width, 4.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        draw_curves(ax, panel.curves, styles)
        draw_aside(ax, panel.aside, styles)
        if curves:
            dress(ax, curves[0])
        ax.set_title(panel.title, fontsize=11)
        ax.label_outer()
        if panel.notes:
            place = {"transform": ax.transAxes, "ha": "left", "va": "bottom"}  # curves fall: this corner is free
            ax.text(0.02, 0.03, "\n".join(panel.notes), fontsize=8.5, color="#555555", **place)
    if curves:
        add_legends(axes[-1], curves, styles, aside=any(p.aside for p in panels))
    if title:
        figure.suptitle(title, fontsize=12)
    figure.supxlabel(_caption(curves), fontsize=8.5, color="#555555")
    return figure


def _caption(curves: Sequence[Curve]) -> str:
    """What markers and band are."""
    simulated = next((c for c in curves if c.num_runs), None)
    if simulated is None:
        return "Lines: prediction, made before any run."
    band = f"; bands hold the central {100 * simulated.band_level:.0f}% of them" if simulated.band is not None else ""
    lines = "Lines: prediction. " if any(not c.num_runs for c in curves) else ""
    return f"{lines}Markers: mean of {simulated.num_runs} runs{band}."
