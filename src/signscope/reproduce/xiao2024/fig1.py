"""``xiao2024-fig1``: risk curves of signSGD on synthetic data, Gaussian and Cauchy label noise."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signscope._core.progress import Meter
from signscope.comparison import gap
from signscope.curves import Curve
from signscope.limits.homogenized import homogenized_paths
from signscope.reproduce.claims import Claim, at_most
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, far_problem, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

SPECTRUM = "log:0.01,1"
PANELS = (  # label, noise, lr of the paper
    ("Gaussian noise, std 0.5, lr 0.7", "gaussian:0.5", 0.7),
    ("Cauchy(2, 1) noise, lr 0.5", "cauchy:2,1", 0.5),
)


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim.
        num_runs: Simulated runs.
        tolerance: Largest accepted mean relative gap.
        band: Least accepted share of time in the 80% band.
        spread: Accepted interval of the spread of the homogenized SDE over that of the runs.
    """

    dim: int = 500
    horizon: float = 10.0
    num_runs: int = 64
    tolerance: float = 0.02
    band: float = 0.95
    spread: tuple[float, float] = (0.9, 1.4)


SIZES = {"full": Size(), "small": Size(dim=100, horizon=3.0, num_runs=16, tolerance=0.08, band=0.8, spread=(0.6, 2.0))}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Both panels: the risk equation and the homogenized SDE against runs of the algorithm on fresh rows."""
    pairs: list[Pair] = []
    paths: list[Curve] = []
    claims: list[Claim] = []
    for index, (label, noise, lr) in enumerate(PANELS):
        meter.update(index / len(PANELS), label)
        problem = far_problem(size.dim, spectrum=SPECTRUM, rotated=True, noise=noise, seed=seed)
        setting = {"lr": lr, "horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
        pair = run_pair(label, problem, "signsgd", **setting)
        sde = homogenized_paths(
            problem,
            "signsgd",
            lr=lr,
            horizon=size.horizon,
            times=pair.prediction.time,
            num_paths=size.num_runs,
            seed=seed,
        )
        pairs.append(pair)
        paths.append(sde)
        claims += [*pair.claims(at=size.tolerance, band=size.band), *_sde_claims(pair, sde, size)]
    curves = [c for pair in pairs for c in pair.curves]
    curves += [(f"{pair.label}, homogenized SDE", sde) for pair, sde in zip(pairs, paths, strict=True)]
    return Findings(claims, curve_rows(curves), lambda: draw(pairs, paths, size))


def _sde_claims(pair: Pair, sde: Curve, size: Size) -> list[Claim]:
    """The homogenized SDE has the mean of the algorithm, and at least its spread.

    Its noise is the second moment (2/pi) Ksig of the signs, from which the algorithm's covariance lacks the square of
    their mean: on isotropic data the spread of the SDE is too wide by 1/sqrt(1 - (4/pi^2) R/P), up to 1.30.
    """
    assert pair.simulation.runs is not None
    assert sde.runs is not None
    late = pair.prediction.time > 0
    spread = float((sde.runs.std(0) / pair.simulation.runs.std(0))[late].mean())
    mean = gap(sde, pair.simulation).mean
    return [
        at_most(f"{pair.label}: mean relative gap of the homogenized SDE to simulation", mean, 1.5 * size.tolerance),
        Claim(f"{pair.label}: spread of the homogenized SDE / of the simulation", spread, math.nan, *size.spread),
    ]


def draw(pairs: list[Pair], paths: list[Curve], size: Size) -> "Picture":
    """One panel per noise."""
    caption = (
        f"Line: risk equation. Dotted: 80% band of the homogenized SDE. "
        f"Markers and band: mean and central 80% of {size.num_runs} runs, d = {size.dim}, "
        "eigenvalues log-spaced from 0.01 to 1 in a random basis."
    )
    picture, axes = panels(len(pairs), caption=caption)
    for index, (ax, pair, sde) in enumerate(zip(axes, pairs, paths, strict=True)):
        draw_pair(ax, pair.prediction, pair.simulation, label="signSGD", index=1 - index)
        assert sde.band is not None
        for number, edge in enumerate(sde.band):
            label = "_" if number else "homogenized SDE, 80% band"
            ax.plot(sde.time.numpy(), edge.numpy(), color="black", ls=":", lw=1.1, label=label, zorder=3)
        finish_curves(ax, pair.prediction, title=pair.label)
    return picture


run = Experiment(
    "xiao2024-fig1",
    SIZES,
    measure,
    "Chosen here: eigenvalues from 0.01 to 1, Gaussian noise of standard deviation 0.5, start 0, target N(0, 25 I/d). "
    "The band of the homogenized SDE is wider than that of the algorithm: it takes the second moment of the signs as "
    "their covariance.",
)
