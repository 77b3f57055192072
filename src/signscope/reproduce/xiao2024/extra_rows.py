"""``xiao2024-extra-rows``: rows that are not Gaussian, where universality holds and where it ends."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from signscope._core.progress import Meter
from signscope.comparison import gap
from signscope.curves import Curve
from signscope.reproduce.claims import Claim, at_most, near
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import far_problem
from signscope.reproduce.xiao2024.rows_loop import (
    GAUSSIAN,
    RADEMACHER,
    STUDENT,
    UNIFORM,
    entries_curve,
    loop,
    norms_curve,
    sparse,
    student_norms,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LAWS = (GAUSSIAN, RADEMACHER, UNIFORM, STUDENT, sparse(0.1))
LR, NOISE, SPECTRUM = 0.5, "gaussian:0.5", "log:0.1,1"
MIXED = "random basis"
APART = "independent coordinates"
NORMS = "Gaussian rows times a random factor (Student-t rows, nu = 3)"


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap where a prediction is to hold.
    """

    dim: int = 400
    horizon: float = 10.0
    num_runs: int = 48
    tolerance: float = 0.04


SIZES = {"full": Size(), "small": Size(dim=60, horizon=3.0, num_runs=32, tolerance=0.12)}


@dataclass(frozen=True, eq=False)
class Case:
    """One simulated curve with the Gaussian equation and, where there is one, the corrected equation."""

    place: str
    label: str
    simulation: Curve
    gaussian: Curve
    corrected: Curve | None


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Entries of five laws, mixed by a random basis and not; rows whose norm varies."""
    cases: list[Case] = []
    times = torch.linspace(0, size.horizon, 51, dtype=torch.float64)
    for place in (MIXED, APART):
        problem = far_problem(size.dim, spectrum=SPECTRUM, noise=NOISE, seed=seed, rotated=place == MIXED)
        theory = entries_curve(problem, GAUSSIAN, lr=LR, times=times)
        for law in LAWS:
            meter.update(len(cases) / 11, f"{place}, {law.label}")
            runs = loop(problem, law, lr=LR, times=times, num_runs=size.num_runs, seed=seed)
            own = entries_curve(problem, law, lr=LR, times=times) if place == APART else None
            cases.append(Case(place, law.label, runs, theory, own))
        if place == APART:
            setting = {"lr": LR, "times": times, "num_runs": size.num_runs, "seed": seed}
            runs = loop(problem, GAUSSIAN, scale=student_norms, **setting)
            cases.append(Case(NORMS, NORMS, runs, theory, norms_curve(problem, lr=LR, times=times)))
    curves = [(f"{c.place}, {c.label}", c.simulation) for c in cases]
    curves += [(f"{c.place}, {c.label}", c.corrected) for c in cases if c.corrected is not None]
    return Findings(_claims(cases, size), curve_rows(curves), lambda: draw(cases, size))


def _claims(cases: list[Case], size: Size) -> list[Claim]:
    claims: list[Claim] = []
    for case in cases:
        measured = gap(case.gaussian, case.simulation).mean
        if case.corrected is None:
            claims.append(at_most(f"{MIXED}, {case.label}: gap of the Gaussian theory", measured, size.tolerance))
            continue
        text = NORMS if case.place == NORMS else f"{APART}, {case.label}"
        expected = gap(case.gaussian, replace(case.corrected, num_runs=1)).mean
        own = gap(case.corrected, case.simulation).mean
        claims.append(near(f"{text}: gap of the Gaussian theory", measured, expected, atol=size.tolerance))
        claims.append(at_most(f"{text}: gap of the theory for these rows", own, size.tolerance))
    return claims


def draw(cases: list[Case], size: Size) -> "Picture":
    """Mixed rows, independent entries, varying norms."""
    caption = (
        f"signSGD, lr {LR:g}. Black: Gaussian risk equation. Coloured lines: with the entries' own E|z|. Markers and "
        f"bands: mean and central 80% of {size.num_runs} runs, d = {size.dim}."
    )
    picture, axes = panels(3, caption=caption)
    titles = {
        MIXED: "Random basis: universal",
        APART: "Independent coordinates: not",
        NORMS: "Rows of varying norm: not",
    }
    for ax, place in zip(axes, titles, strict=True):
        group = [case for case in cases if case.place == place]
        for index, case in enumerate(group):
            label = "Student-t rows, nu = 3" if place == NORMS else case.label
            draw_pair(ax, case.corrected, case.simulation, label=label, index=index)
        theory = group[0].gaussian
        ax.plot(theory.time.numpy(), theory.value.numpy(), color="black", lw=1.6, label="Gaussian rows", zorder=6)
        finish_curves(ax, theory, title=titles[place])
    return picture


run = Experiment(
    "xiao2024-extra-rows",
    SIZES,
    measure,
    "Chosen here: entries of unit variance, variances from 0.1 to 1, Gaussian noise of standard deviation 0.5, lr 0.5.",
)
