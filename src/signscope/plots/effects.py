"""The picture of the four effects: five risk curves, and the noise compression with its two thresholds."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from signscope._core.errors import InvalidInput
from signscope.curves import Curve
from signscope.plots.risk import TIMES, draw_curves, dress
from signscope.plots.styles import FIXED, SPARE, Key, Style, key_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "frozen_rate": "SGD, frozen rate",
    "effective_rate": "+ effective rate",
    "compression": "+ noise compression",
    "preconditioner": "+ preconditioner",
    "reshaping": "+ noise reshaping = signSGD",
    "preconditioned_sgd": "preconditioned SGD",
}
_ORANGE = Style(SPARE[2].color, (0, (3, 1, 1, 1)), SPARE[2].marker)
_LOOKS = (FIXED["sgd"], SPARE[1], SPARE[0], _ORANGE, FIXED["signsgd"], FIXED["adam"])
STYLES: dict[str, Style] = dict(zip(NAMES, _LOOKS, strict=True))


def plot_effects(
    curves: Sequence[Curve], psi: Curve, *, simulations: Sequence[Curve] = (), title: str = ""
) -> "Figure":
    """Five risk curves on the left, psi along signSGD's on the right.

    Args:
        curves: Curves of `signscope.five_effects`, in order; undefined ones are left out and named.
        psi: The noise-compression factor, ``quantity="compression"``.
        simulations: Runs of the same algorithms, drawn with their band.
        title: What the problem is.

    Returns:
        A figure of its own (not known to pyplot), ready for ``savefig``.

    Raises:
        InvalidInput: A curve is not that of an effect.
    """
    from matplotlib.figure import Figure

    unknown = [c.optimizer for c in (*curves, *simulations) if c.optimizer not in STYLES]
    if unknown:
        raise InvalidInput(f"plot_effects: {unknown[0]!r} is not one of the effects {', '.join(STYLES)}.")
    figure = Figure(figsize=(10.4, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    shown = [curve for curve in curves if not curve.failed]
    styles: dict[Key, Style] = {key_of(c): STYLES[c.optimizer] for c in (*shown, *simulations)}
    draw_curves(left, [*simulations, *shown], styles)
    dress(left, curves[0])
    _legend(left, curves, simulations)
    _draw_compression(right, psi)
    if title:
        figure.suptitle(title, fontsize=12)
    band = "" if not simulations else f" Markers: mean of {simulations[0].num_runs} runs; bands hold the central 80%."
    caption = f"Lines: prediction; each adds one effect to the one before it.{band}"
    figure.supxlabel(caption, fontsize=8.5, color="#555555")
    return figure


def _legend(ax: "Axes", curves: Sequence[Curve], simulations: Sequence[Curve]) -> None:
    from matplotlib.lines import Line2D

    ran = {curve.optimizer for curve in simulations}
    handles: list[Line2D] = []
    for curve in curves:
        style = STYLES[curve.optimizer]
        note = f" ({curve.status})" if curve.failed else ""
        marker = style.marker if curve.optimizer in ran else ""
        look = {"color": style.color, "marker": marker, "markersize": 5, "markerfacecolor": "white"}
        handles.append(Line2D([], [], linestyle=style.dash, lw=2.0, label=NAMES[curve.optimizer] + note, **look))
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.01), "borderaxespad": 0.0}  # above: curves fill the panel
    ax.legend(handles=handles, ncols=2, fontsize=9, handlelength=4.2, frameon=False, **place)


def _draw_compression(ax: "Axes", psi: Curve) -> None:
    import torch

    finite = torch.isfinite(psi.value)
    ink = "#3a3a3a"
    if bool(finite.any()):
        ax.plot(psi.time[finite].numpy(), psi.value[finite].numpy(), color=FIXED["signsgd"].color, lw=2.0)
    else:
        ax.text(0.5, 0.5, "psi is infinite", ha="center", transform=ax.transAxes, color=ink)
    for level, text in ((1.0, "above 1: faster at equal rate"), (math.pi / 2, "above π/2: faster at own best rate")):
        ax.axhline(level, color=ink, lw=0.9, ls=(0, (4, 2)))
        ax.annotate(
            text, (1, level), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", fontsize=8.5, color=ink,
        )  # fmt: skip
    top = float(psi.value[finite].max()) if bool(finite.any()) else 1.0
    bottom = float(psi.value[finite].min()) if bool(finite.any()) else 1.0
    ax.set_ylim(min(0.75, 0.95 * bottom), max(1.75, 1.05 * top))
    ax.set_xlabel(TIMES[psi.time_unit])
    ax.set_xlim(float(psi.time[0]), float(psi.time[-1]))
    ax.set_ylabel("noise compression ψ of signSGD")
    ax.grid(visible=True, color="#dcdcdc", lw=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
