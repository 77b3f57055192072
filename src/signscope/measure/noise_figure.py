"""The picture of a noise report: density by layer, and signal-to-noise ratios with the phases of signSGD."""

import math
from typing import TYPE_CHECKING

from signscope.measure.snr import FAST, HIGH, LOW, PER_DECADE, SLOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from signscope.measure.noise_report import NoiseReport

_NAMED = 24  # layers whose names fit on the axis
_BLUE, _ORANGE, _INK = "#0072B2", "#D55E00", "#3a3a3a"


def drawn(report: "NoiseReport") -> "Figure":
    """The figure, not known to pyplot.

    Args:
        report: What is drawn.
    """
    from matplotlib.figure import Figure

    height = max(4.4, 1.6 + 0.24 * min(len(report.layers), _NAMED))
    figure = Figure(figsize=(10.4, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _densities(left, report)
    _ratios(right, report)
    figure.supxlabel(
        f"Bars: 95% interval of the grouped jackknife (sampling error only). {report.num_gradients} gradients, "
        f"{report.mode} mode.",
        fontsize=8.5,
        color="#555555",
    )
    return figure


def _densities(ax: "Axes", report: "NoiseReport") -> None:
    places = list(range(len(report.layers)))
    for embedding, color, label in ((False, _BLUE, "layer"), (True, _ORANGE, "embedding")):
        mine = [(p, layer) for p, layer in zip(places, report.layers, strict=True) if layer.embedding is embedding]
        mine = [(p, layer) for p, layer in mine if math.isfinite(layer.density)]
        if mine:
            ends = [
                [max(0.0, layer.density - layer.density_low) for _, layer in mine],
                [max(0.0, layer.density_high - layer.density) for _, layer in mine],
            ]
            ax.errorbar(
                [layer.density for _, layer in mine], [p for p, _ in mine], xerr=ends, fmt="s" if embedding else "o",
                color=color, ms=5, lw=1.2, capsize=2, label=label,
            )  # fmt: skip
    ax.axvline(report.density, color=_INK, lw=1.1, ls=(0, (4, 2)), label=f"overall {report.density:.3g}")
    ax.axvline(1.0, color="#999999", lw=0.9, ls=(0, (1, 2)), label="isotropic noise")
    if len(places) <= _NAMED:
        ax.set_yticks(places, [layer.name for layer in report.layers], fontsize=8)
    else:
        ax.set_ylabel("layer, in order")
    ax.invert_yaxis()
    ax.set_xlim(0, 1.04)
    ax.set_xlabel(r"noise density $\phi(\sigma)$, dimensionless")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=4, fontsize=8.5, frameon=False, borderaxespad=0.0)
    _bare(ax)


def _ratios(ax: "Axes", report: "NoiseReport") -> None:
    counts = report.overall.snr_counts[1:-1]
    total = max(1, sum(report.overall.snr_counts))
    edges = [10 ** (LOW + i / PER_DECADE) for i in range((HIGH - LOW) * PER_DECADE + 1)]
    ax.stairs([100 * c / total for c in counts], edges, fill=True, color=_BLUE, alpha=0.35)
    ax.set_xscale("log")
    for level in (SLOW, FAST):
        ax.axvline(level, color=_INK, lw=0.9, ls=(0, (4, 2)))
    ax.axvline(report.resolution, color="#999999", lw=0.9, ls=(0, (1, 2)))
    marks = ax.get_xaxis_transform()
    ax.text(
        report.resolution, 0.98, "not resolved ", ha="right", va="top", fontsize=8, color="#777777", transform=marks
    )
    one, two, three = (100 * share for share in report.phases)
    ax.set_title(f"phase 3: {three:.0f}%   phase 2: {two:.0f}%   phase 1: {one:.0f}%", fontsize=9.5, color=_INK)
    used = [edge for edge, count in zip(edges, counts, strict=False) if count]
    ax.set_xlim(min([*used, 0.1]) / 2, max([*used, 3.0]) * 2)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(f"signal-to-noise ratio |z| at batch {report.batch_size:.4g}")
    ax.set_ylabel("coordinates, % per 0.1 decade")
    _bare(ax)


def _bare(ax: "Axes") -> None:
    ax.grid(visible=True, color="#dcdcdc", lw=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
