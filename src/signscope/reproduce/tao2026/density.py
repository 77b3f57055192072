"""Density of noise and gradient along training, for the methods of an experiment at their best rates."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from signscope.reproduce.claims import Claim, Rows, at_most, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Findings
from signscope.reproduce.job import Job
from signscope.reproduce.methods import METHODS
from signscope.reproduce.tao2026.conducting import Setup
from signscope.reproduce.training_summary import at_edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

KEPT = ("test_loss", "train_loss", "density", "density_low", "density_high", "density_body", "grad_density", "sigma1")
KEPT += ("sigma2", "grad_l1", "noise_scale", "never_seen", "phase3")


def followed(setup: Setup, methods: Sequence[str]) -> tuple[list[Job], str]:
    """Runs with measured noise, one of each method at its best rate; a sentence on rates at an edge."""
    found, edges, tried = [], [], 0
    part = 1 / len(methods)
    for index, method in enumerate(methods):
        jobs = setup.swept(method, (index * part, 0.6 * part))
        best = setup.repeated(jobs, ((index + 0.6) * part, 0.4 * part), probes=setup.size.probes)
        found.append(best[0])
        tried = max(tried, len(jobs))
        if at_edge(best[0], jobs):
            edges.append(f"{METHODS[method].label} (lr {best[0].lr:g})")
    return found, edges_told(edges, tried=tried)


def edges_told(edges: Sequence[str], *, tried: int) -> str:
    """A sentence on best rates at the edge of their grid; ``tried`` is the largest number of rates of a grid."""
    if tried < 2:
        return "One rate per method: nothing was swept."
    return f"Best rate at the edge of its grid: {', '.join(edges)}." if edges else "No best rate lies at a grid's edge."


def traces(setup: Setup, jobs: Sequence[Job]) -> Rows:
    """Measurements along the runs, one row each."""
    return [
        {
            "method": job.method,
            "lr": job.lr,
            "step": row["steps"],
            **{name: row[name] for name in KEPT},
            "layers": row["layers"],
        }
        for job in jobs
        for row in setup.store.rows(job)
    ]


def follow(
    setup: Setup, methods: Sequence[str], *, published: tuple[float, float], room: float, title: str
) -> Findings:
    """Densities along training against the published values at the start and at the end.

    Args:
        setup: Of the experiment.
        methods: Followed; claims are judged on the first.
        published: Density at the first and at the last measurement.
        room: Accepted factor around them.
        title: Of the picture.
    """
    jobs, edges = followed(setup, methods)
    numbers = traces(setup, jobs)
    mine = {method: [row for row in numbers if row["method"] == method] for method in methods}
    judged = mine[methods[0]]
    first, last = published
    words = METHODS[methods[0]].label
    claims = [
        Claim(f"{words}: noise density at the start", judged[0]["density"], first, first / room, first * room),
        Claim(f"{words}: noise density at the end", judged[-1]["density"], last, last / room, last * room),
        Claim(
            f"{words}: density at the end over the start",
            judged[-1]["density"] / judged[0]["density"],
            last / first,
            last / first / room,
            last / first * room,
        ),
        at_most(f"{words}: largest density (1 is that of noise of equal size)", max(r["density"] for r in judged), 1.0),
    ]
    for method, rows in mine.items():
        label = METHODS[method].label
        claims += [
            shown(f"{label}: density, smallest along the run", min(row["density"] for row in rows)),
            shown(f"{label}: density without embeddings at the end", rows[-1]["density_body"]),
            shown(f"{label}: gradient density at the end", rows[-1]["grad_density"]),
            shown(f"{label}: coordinates never active at the end", rows[-1]["never_seen"]),
        ]
    notes = [
        f"Published: {first:g} at the start, {last:g} at the end; accepted within a factor of {room:g}. This run: "
        f"{setup.base.model} on {setup.data.source}, {jobs[0].budget} steps.",
        edges,
    ]
    return Findings(claims, numbers, lambda: draw(setup, mine, published=published, title=title), notes)


def draw(setup: Setup, mine: dict[str, Rows], *, published: tuple[float, float], title: str) -> "Picture":
    """Noise density with its interval, gradient density, and the density of every layer."""
    caption = (
        f"{setup.base.model} on {setup.data.source}; each method at its best rate; noise from {setup.size.probes} "
        f"batches of {setup.base.batch_size}, jackknife-corrected, bands: 95% intervals. Dotted: published values at "
        "the start and the end, for the published configuration. Noise of equal size has density 1."
    )
    picture, (left, middle, right) = panels(3, caption=caption, width=4.7)
    for index, (method, rows) in enumerate(mine.items()):
        _line(left, rows, "density", index, METHODS[method].label)
        low, high = ([row[f"density_{end}"] for row in rows] for end in ("low", "high"))
        left.fill_between([row["step"] for row in rows], low, high, color=look(index).color, alpha=0.15, lw=0)
        _line(middle, rows, "grad_density", index, METHODS[method].label)
    for value in published:
        left.axhline(value, color="#777777", ls=":", lw=1.2)
    rows = next(iter(mine.values()))
    layers = [json.loads(row["layers"]) for row in rows]
    for name in layers[0]:
        color, width = ("#D55E00", 1.8) if "embedding" in name else ("#0072B2", 0.7)
        right.plot([row["step"] for row in rows], [layer[name] for layer in layers], color=color, lw=width, alpha=0.7)
    left.set_title(f"{title}: noise density")
    middle.set_title("Density of the mean gradient")
    tables = " (orange: embedding)" if any("embedding" in name for name in layers[0]) else ""
    right.set_title(f"By layer, {METHODS[next(iter(mine))].label}{tables}")
    for ax in (left, middle, right):
        ax.set(xlabel="steps", ylabel="density", yscale="log")
    low, high = left.get_ylim()
    left.set_ylim(low / 1.5 ** max(0, len(mine) - 3), high)  # room for a long legend
    legend(left)
    return picture


def _line(ax: "Axes", rows: Sequence[dict[str, Any]], name: str, index: int, label: str) -> None:
    style = look(index)
    kept = [(row["step"], row[name]) for row in rows if math.isfinite(row[name])]
    x, y = zip(*kept, strict=True)
    ax.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, mfc="white", ms=4.5, label=label)
