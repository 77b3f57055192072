"""``xiao2024-fig5``: signSGD with mini-batches, risk curves and slopes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signscope._core.progress import Meter
from signscope.noise import parse_noise
from signscope.reproduce.claims import Claim, Rows, at_most
from signscope.reproduce.drawing import RISK, curve_rows, draw_pair, finish_curves, legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.laws import exact_slope, sampled_batch_slope
from signscope.reproduce.xiao2024.pairs import Pair, far_problem, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

BATCHES = (1, 2, 5, 20)
NOISE = "rademacher:1"  # the law on which batches matter most
LR = 0.5


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim.
        num_runs: Simulated runs per batch size.
        draws: Monte Carlo mini-batches per point of the slope.
        points: Risks of the slope.
        tolerance: Largest accepted mean relative gap.
    """

    dim: int = 500
    horizon: float = 10.0
    num_runs: int = 32
    draws: int = 100_000
    points: int = 7
    tolerance: float = 0.025


SIZES = {"full": Size(), "small": Size(dim=100, horizon=2.0, num_runs=8, draws=4_000, points=3, tolerance=0.15)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Risk curves per batch size and noise that single signs cannot see through; slopes against Monte Carlo."""
    problem = far_problem(size.dim, spectrum="log:0.1,1", noise=NOISE, seed=seed, distance=2.0)
    pairs: list[Pair] = []
    for index, batch in enumerate(BATCHES):
        meter.update(index / len(BATCHES), f"batch size {batch}")
        setting = {"lr": LR, "horizon": size.horizon, "num_runs": size.num_runs, "seed": seed, "batch_size": batch}
        pairs.append(run_pair(f"B = {batch}", problem, "signsgd", **setting))
    slopes, slope_claims = _slopes(size, seed)
    claims = [claim for pair in pairs for claim in pair.claims(at=size.tolerance)]
    numbers = [*curve_rows([c for pair in pairs for c in pair.curves]), *slopes]
    return Findings([*claims, *slope_claims], numbers, lambda: draw(pairs, slopes, size))


def _slopes(size: Size, seed: int) -> tuple[Rows, list[Claim]]:
    law = parse_noise(NOISE)
    risks = np.geomspace(0.03, 10, size.points)
    rows: Rows = []
    claims: list[Claim] = []
    for batch in BATCHES:
        exact = exact_slope(law, risks, batch_size=batch)
        pairs = [sampled_batch_slope(law, r, batch_size=batch, draws=size.draws, seed=seed) for r in risks]
        mean, stderr = np.array(pairs).T
        rows += [
            {"label": f"phi, B = {batch}", "kind": "slope", "time": r, "value": m, "stderr": s}
            for r, m, s in zip(risks, mean, stderr, strict=True)
        ]
        worst = float((np.abs(mean - exact) / stderr).max())
        claims.append(at_most(f"B = {batch}: largest |sampled - phi_B| in standard errors", worst, 4.5))
    return rows, claims


def draw(pairs: list[Pair], slopes: Rows, size: Size) -> "Picture":
    """Risk curves left, slopes right."""
    caption = (
        f"Left: risk equation (lines), mean and central 80% of {size.num_runs} runs (markers, bands), d = {size.dim}, "
        f"lr {LR:g}. Right: phi_B (lines), Monte Carlo (markers)."
    )
    picture, (left, right) = panels(2, caption=caption)
    grid = np.geomspace(0.03, 10, 120)
    for index, (batch, pair) in enumerate(zip(BATCHES, pairs, strict=True)):
        draw_pair(left, pair.prediction, pair.simulation, label=pair.label, index=index)
        style = look(index)
        values = exact_slope(parse_noise(NOISE), grid, batch_size=batch)
        right.plot(grid, values, color=style.color, ls=style.dash, lw=1.9, label=f"B = {batch}")
        rows = [row for row in slopes if row["label"] == f"phi, B = {batch}"]
        marks = {"ls": "none", "marker": style.marker, "ms": 4.5, "mfc": "white", "color": style.color}
        right.errorbar(
            [r["time"] for r in rows], [r["value"] for r in rows], yerr=[2 * r["stderr"] for r in rows], **marks
        )
    finish_curves(left, pairs[0].prediction, title="Rademacher noise of size 1")
    right.set(xscale="log", yscale="log", xlabel=RISK, ylabel="slope of the mean sign, phi_B(R)", ylim=(3e-3, 10))
    right.set_title("Slope per batch size", fontsize=10.5)
    legend(right)
    return picture


run = Experiment(
    "xiao2024-fig5",
    SIZES,
    measure,
    "Chosen here: Rademacher noise of size 1, independent coordinates with variances from 0.1 to 1, lr 0.5.",
)
