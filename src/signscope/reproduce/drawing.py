"""What the pictures of this paper share: colours, panels with named axes, a prediction with its simulation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signscope.curves import Curve
from signscope.plots.risk import dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

BLUE, ORANGE, GREEN, PINK, SKY, GOLD, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
)
COLORS = (BLUE, ORANGE, GREEN, PINK, GOLD, SKY, BLACK)  # Okabe and Ito: told apart by colour-blind readers
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 1.6)),
    (0, (7, 1.6, 1.4, 1.6)),
    (0, (1.4, 1.4)),
    (0, (4, 1.2, 1.2, 1.2, 1.2, 1.2)),
    (0, (9, 2)),
    (0, (2.5, 1.2)),
)
MARKERS = "os^DvPX"
RISK = "excess risk R"
_MARKS = 10
_LETTERS = 14  # of a caption per inch


@dataclass(frozen=True)
class Look:
    """Colour, dash and marker of one line."""

    color: str
    dash: Any
    marker: str


def look(index: int) -> Look:
    """The look of the line number ``index``."""
    return Look(COLORS[index % 7], DASHES[index % 7], MARKERS[index % 7])


def panels(count: int, *, caption: str, width: float = 5.2, height: float = 4.6) -> "tuple[Picture, list[Axes]]":
    """A picture of its own (not known to pyplot) with ``count`` panels side by side and a caption below."""
    import textwrap

    from matplotlib.figure import Figure

    picture = Figure(figsize=(width * count, height), layout="constrained")
    axes = list(picture.subplots(1, count, squeeze=False)[0])
    lines = "\n".join(textwrap.wrap(caption, int(_LETTERS * width * count)))
    picture.supxlabel(lines, fontsize=8.5, color="#555555")
    for ax in axes:
        grid(ax)
    return picture, axes


def finish(picture: "Picture") -> "Picture":
    """The picture with titles of one size."""
    for ax in picture.axes:
        ax.title.set_fontsize(10.5)
    return picture


def grid(ax: "Axes") -> None:
    """Light grid behind the lines, no frame above and to the right."""
    ax.grid(visible=True, which="major", color="#dcdcdc", lw=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def legend(ax: "Axes", **where: Any) -> None:
    """The legend, readable over lines."""
    ax.legend(**{"fontsize": 8.5, "frameon": True, "framealpha": 0.9, "edgecolor": "none", **where})


def draw_pair(ax: "Axes", prediction: Curve | None, simulation: Curve | None, *, label: str, index: int) -> None:
    """A prediction as a line, the simulation of the same setting as markers with its band."""
    style = look(index)
    if simulation is not None:
        time = simulation.time.numpy()
        if simulation.band is not None:
            low, high = (edge.numpy() for edge in simulation.band)
            ax.fill_between(time, low, high, color=style.color, alpha=0.17, lw=0, zorder=1)
        gap = max(1, len(time) // _MARKS)
        start = (gap // 2 + index * gap // 4) % gap
        marks: dict[str, Any] = {"ls": "none", "marker": style.marker, "ms": 4.5, "mfc": "white", "mew": 1.2}
        own = label if prediction is None else f"_{label}"
        ax.plot(time, simulation.value.numpy(), color=style.color, markevery=(start, gap), label=own, zorder=5, **marks)
    if prediction is not None:
        time, value = prediction.time.numpy(), prediction.value.numpy()
        ax.plot(time, value, color=style.color, ls=style.dash, lw=1.9, label=label, zorder=4)


def finish_curves(ax: "Axes", curve: Curve, *, title: str, **where: Any) -> None:
    """Axes of risk curves with units, title and legend."""
    dress(ax, curve)
    ax.set_title(title, fontsize=10.5)
    legend(ax, **where)


def curve_rows(curves: Sequence[tuple[str, Curve]]) -> list[dict[str, Any]]:
    """The points of labelled curves as rows of a table."""
    rows: list[dict[str, Any]] = []
    for label, curve in curves:
        frame = {"time": curve.time.tolist(), "value": curve.value.tolist()}
        if curve.stderr is not None:
            frame["stderr"] = curve.stderr.tolist()
        if curve.band is not None:
            frame["low"], frame["high"] = (edge.tolist() for edge in curve.band)
        kind = "simulation" if curve.num_runs else "prediction"
        keys = list(frame)
        rows += [
            {"label": label, "kind": kind, **dict(zip(keys, point, strict=True))}
            for point in zip(*frame.values(), strict=True)
        ]
    return rows
