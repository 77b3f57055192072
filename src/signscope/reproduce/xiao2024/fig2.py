"""``xiao2024-fig2``: phi, the slope of the mean sign, against the risk for each noise law."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signscope._core.progress import Meter
from signscope.noise import NoiseLaw
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near
from signscope.reproduce.drawing import RISK, legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.laws import STUDENT, UNIT, exact_slope, sampled_slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

GROUPS = {"Student-t family, scale 1": STUDENT, "Unit variance": UNIT}
LIMIT = 4.5  # standard errors


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        draws: Monte Carlo samples.
        points: Risks at which they are used.
        low, high: Range of risks.
    """

    draws: int = 1_000_000
    points: int = 9
    low: float = 1e-2
    high: float = 1e2


SIZES = {"full": Size(), "small": Size(draws=20_000, points=4)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Monte Carlo of every law against the closed forms, and what the closed forms say at both ends."""
    risks = np.geomspace(size.low, size.high, size.points)
    numbers: Rows = []
    claims: list[Claim] = []
    laws = [(group, label, law) for group, members in GROUPS.items() for label, law in members.items()]
    for index, (group, label, law) in enumerate(laws):
        meter.update(index / len(laws), label)
        mean, stderr = sampled_slope(law, risks, draws=size.draws, seed=seed)
        theory = exact_slope(law, risks)
        rows = zip(risks, mean, stderr, theory, strict=True)
        numbers += [
            {"group": group, "law": label, "risk": r, "sampled": m, "stderr": s, "phi": t} for r, m, s, t in rows
        ]
        worst = float((np.abs(mean - theory) / stderr).max())
        claims.append(at_most(f"{label} ({group}): largest |sampled - phi| in standard errors", worst, LIMIT))
    return Findings([*claims, *_ends()], numbers, lambda: draw(numbers, size))


def _ends() -> list[Claim]:
    """Slope at R -> 0 is the noise density at 0; at R -> inf the noise no longer matters; Rademacher has a floor."""
    claims = []
    for label, law in {**STUDENT, **{k: v for k, v in UNIT.items() if k != "Rademacher"}}.items():
        at_zero = 2 * math.sqrt(2 / math.pi) * law.density_at_zero
        value = float(exact_slope(law, np.array([1e-8]))[0])
        claims.append(near(f"{label}: phi at R = 1e-8 against 2 sqrt(2/pi) p(0)", value, at_zero, rtol=1e-3))
    far = [float(exact_slope(law, np.array([1e8]))[0] * math.pi * 1e4 / math.sqrt(2)) for law in UNIT.values()]
    claims.append(
        near("unit variance: phi pi sqrt(2R) / 2 at R = 1e8", max(far, key=lambda x: abs(x - 1)), 1, rtol=1e-6)
    )
    risks = np.geomspace(0.02, 1, 40)
    bound = 2 / (math.pi * np.sqrt(2 * risks)) * np.exp(-1 / (4 * risks))
    ratio = bound / exact_slope(UNIT["Rademacher"], risks)
    claims.append(
        at_least("Rademacher: least of the bound for noise away from 0, over phi", float(ratio.min()), 1 - 1e-9)
    )
    return claims


def draw(numbers: Rows, size: Size) -> "Picture":
    """One panel per group: closed forms as lines, samples as markers."""
    caption = f"Line: closed form. Markers: Monte Carlo, {size.draws:,} draws (error bars: 2 standard errors)."
    picture, axes = panels(len(GROUPS), caption=caption)
    grid = np.geomspace(size.low, size.high, 300)
    for ax, (group, members) in zip(axes, GROUPS.items(), strict=True):
        for index, (label, law) in enumerate(members.items()):
            _draw_law(ax, label, law, [r for r in numbers if (r["group"], r["law"]) == (group, label)], grid, index)
        ax.plot(grid, 2 / (math.pi * np.sqrt(2 * grid)), color="#777777", lw=1, ls=":", label="no noise")
        ax.set(xscale="log", yscale="log", xlabel=RISK, ylabel="slope of the mean sign, phi(R)", title=group)
        ax.set_ylim(3e-2, 3)
        legend(ax, loc="lower left")
    return picture


def _draw_law(ax: "Axes", label: str, law: NoiseLaw, rows: Rows, grid: np.ndarray, index: int) -> None:
    style = look(index)
    ax.plot(grid, exact_slope(law, grid), color=style.color, ls=style.dash, lw=1.8, label=label)
    risk, mean, stderr = (np.array([row[key] for row in rows]) for key in ("risk", "sampled", "stderr"))
    bars = {"ls": "none", "marker": style.marker, "ms": 4.5, "mfc": "white", "color": style.color}
    ax.errorbar(risk, mean, yerr=2 * stderr, **bars)


run = Experiment("xiao2024-fig2", SIZES, measure, "Chosen here: Student-t laws of scale 1, the others of variance 1.")
