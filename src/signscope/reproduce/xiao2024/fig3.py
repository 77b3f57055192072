"""``xiao2024-fig3``: psi, the noise compression, against the risk for each noise law."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near, shown
from signscope.reproduce.drawing import RISK, legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.laws import STUDENT, UNIT, exact_compression, integrated_slope

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

FINITE = {label: law for label, law in STUDENT.items() if math.isfinite(law.second_moment)}
GROUPS = {"Student-t family, scale 1": FINITE, "Unit variance": UNIT}
TINY = 1e-9
RTOL = 1e-8  # of the closed forms against quadrature of the density


@dataclass(frozen=True)
class Size:
    """How much is run: risks of the picture and of the quadrature."""

    points: int = 300
    checked: int = 9
    low: float = 1e-3
    high: float = 1e2


SIZES = {"full": Size(), "small": Size(points=60, checked=3)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Compression factors, checked by quadrature of the densities and at their published bounds."""
    risks, few = np.geomspace(size.low, size.high, size.points), np.geomspace(size.low, size.high, size.checked)
    numbers: Rows = []
    claims: list[Claim] = []
    for group, members in GROUPS.items():
        for label, law in members.items():
            numbers += [
                {"group": group, "law": label, "risk": r, "psi": p}
                for r, p in zip(risks, exact_compression(law, risks), strict=True)
            ]
            by_density = np.array([integrated_slope(law, r) * _factor(law.second_moment, r) for r in few])
            off = float(np.abs(exact_compression(law, few) / by_density - 1).max())
            claims.append(at_most(f"{label} ({group}): psi against quadrature of the density", off, RTOL))
    meter.update(0.9)
    return Findings([*claims, *_shape(risks)], numbers, lambda: draw(numbers))


def _factor(second_moment: float, risk: float) -> float:
    return math.pi / 2 * math.sqrt(2 * risk + second_moment)


def _shape(risks: np.ndarray) -> list[Claim]:
    """1 for Gaussian noise, the bounds of log-concave noise at both ends, Jensen's bound, infinite variance."""
    gaussian = np.abs(exact_compression(UNIT["Gaussian"], risks) - 1).max()
    jensen = np.sqrt(1 + 1 / (2 * risks)) * np.exp(-1 / (4 * risks))
    least = min(float((exact_compression(law, risks) / jensen).min()) for law in UNIT.values())
    at_zero = {name: float(exact_compression(UNIT[name], np.array([TINY]))[0]) for name in ("uniform", "Laplace")}
    family = np.array([exact_compression(law, risks) for law in FINITE.values()])  # by growing nu
    claims = [
        at_most("Gaussian: largest |psi - 1|", float(gaussian), 1e-12),
        near(
            "uniform: psi at R -> 0 is sqrt(pi/6), the least of log-concave noise",
            at_zero["uniform"],
            math.sqrt(math.pi / 6),
            rtol=1e-3,
        ),
        near(
            "Laplace: psi at R -> 0 is sqrt(pi), the largest of log-concave noise",
            at_zero["Laplace"],
            math.sqrt(math.pi),
            rtol=1e-3,
        ),
        at_least("unit variance: least psi over Jensen's lower bound", least, 1 - 1e-12),
        at_most(
            "Rademacher: distance of psi from that bound, which it attains",
            float(np.abs(exact_compression(UNIT["Rademacher"], risks) / jensen - 1).max()),
            1e-12,
        ),
        at_most(
            "Rademacher: psi at the smallest risk (signs are blind)",
            float(exact_compression(UNIT["Rademacher"], risks)[0]),
            1e-6,
        ),
        at_most(
            "Student-t: largest increase of psi from one nu to the next larger",
            float(np.diff(family, axis=0).max()),
            1e-12,
        ),
        at_least(
            "Student-t, nu = 2: psi (infinite variance)",
            float(exact_compression(STUDENT["Student-t, nu = 2"], risks).min()),
            math.inf,
        ),
    ]
    return [*claims, *_crossings(risks)]


def _crossings(risks: np.ndarray) -> list[Claim]:
    """Where signSGD at its best rate overtakes SGD at its own: psi = pi/2 on isotropic data."""
    found = []
    for label, law in {**FINITE, **UNIT}.items():
        above = exact_compression(law, risks) > math.pi / 2
        if above.any() and not above.all():
            found.append(shown(f"{label}: largest risk with psi > pi/2", float(risks[above].max())))
    return found


def draw(numbers: Rows) -> "Picture":
    """One panel per group, with the levels 1 and pi/2."""
    caption = (
        "Above 1 signs compress the noise at a common effective rate; above pi/2 signSGD beats SGD, each at its own "
        "best rate (isotropic data). nu <= 2: infinite."
    )
    picture, axes = panels(len(GROUPS), caption=caption)
    for ax, (group, members) in zip(axes, GROUPS.items(), strict=True):
        for index, label in enumerate(members):
            rows = [row for row in numbers if (row["group"], row["law"]) == (group, label)]
            style = look(index)
            risk, psi = (np.array([row[key] for row in rows]) for key in ("risk", "psi"))
            ax.plot(risk, psi, color=style.color, ls=style.dash, lw=1.9, label=label)
        ax.axhline(math.pi / 2, color="#777777", lw=1, ls=":")
        ax.annotate(
            "pi/2", (0.985, math.pi / 2), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8.5
        )
        ax.set(xscale="log", xlabel=RISK, ylabel="noise compression psi(R)", title=group, ylim=(0, 2.4))
        legend(ax, loc="upper right" if group.startswith("Student") else "lower right")
    return picture


run = Experiment("xiao2024-fig3", SIZES, measure, "Chosen here: Student-t laws of scale 1, the others of variance 1.")
