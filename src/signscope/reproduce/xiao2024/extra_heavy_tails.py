"""``xiao2024-extra-heavy-tails``: signSGD where the noise has no variance, and what becomes of SGD."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from signscope._core.progress import Meter
from signscope.curves import Curve
from signscope.limits import predict
from signscope.problems import LeastSquares
from signscope.reproduce.claims import Claim, at_least, near
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, far_problem, run_pair
from signscope.simulation import simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

NOISES = {
    "Student-t, nu = 3": "student-t:3",
    "Student-t, nu = 1.5": "student-t:1.5",
    "Cauchy(0, 1)": "cauchy:1",
    "1.2-stable": "stable:1.2",
}
LR = 0.5
SGD_LR = 0.3


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap of signSGD.
    """

    dim: int = 400
    horizon: float = 15.0
    num_runs: int = 32
    tolerance: float = 0.025


SIZES = {"full": Size(), "small": Size(dim=80, horizon=4.0, num_runs=12, tolerance=0.12)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Runs of signSGD per law against its equation; SGD on the same problems."""
    pairs: list[Pair] = []
    sgd: dict[str, Curve] = {}
    claims: list[Claim] = []
    for index, (label, noise) in enumerate(NOISES.items()):
        meter.update(index / len(NOISES), label)
        problem = far_problem(size.dim, spectrum="log:0.1,1", noise=noise, seed=seed)
        setting = {"horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
        pair = run_pair(label, problem, "signsgd", lr=LR, **setting)
        pairs.append(pair)
        claims += pair.claims(at=size.tolerance)
        times = pair.simulation.time
        sgd[label] = simulate(problem, "sgd", lr=SGD_LR, times=times, dtype="float32", **setting)
        claims.append(_status(label, problem, size))
    worst = {label: worst_jump(curve) for label, curve in sgd.items()}
    heavy, light = worst["Cauchy(0, 1)"], worst["Student-t, nu = 3"]
    claims.append(at_least("SGD: largest jump of a run, Cauchy(0, 1) / Student-t, nu = 3", heavy / light, 10))
    numbers = curve_rows([c for pair in pairs for c in pair.curves] + [(f"SGD, {k}", v) for k, v in sgd.items()])
    return Findings(claims, numbers, lambda: draw(pairs, sgd, size))


def _status(label: str, problem: LeastSquares, size: Size) -> Claim:
    """SGD's prediction says undefined exactly where the variance is infinite."""
    undefined = predict(problem, "sgd", lr=SGD_LR, horizon=size.horizon).status == "undefined"
    infinite = problem.noise.second_moment == float("inf")
    return near(f"{label}: SGD reported as undefined (1) or not (0)", float(undefined), float(infinite))


def worst_jump(curve: Curve) -> float:
    """Largest increase of a run's risk between two recorded times."""
    assert curve.runs is not None
    return float(torch.diff(curve.runs, dim=1).max())


def draw(pairs: list[Pair], sgd: dict[str, Curve], size: Size) -> "Picture":
    """Left signSGD, single runs of SGD right."""
    caption = (
        f"Left: risk equation (lines), mean and central 80% of {size.num_runs} runs (markers, bands). Right: median "
        f"over runs and central 80% (mean and variance do not exist for nu <= 2). d = {size.dim}."
    )
    picture, (left, right) = panels(2, caption=caption)
    for index, pair in enumerate(pairs):
        draw_pair(left, pair.prediction, pair.simulation, label=pair.label, index=index)
        curve = sgd[pair.label]
        assert curve.runs is not None
        middle = Curve(curve.time, curve.runs.median(0).values, band=curve.band, num_runs=curve.num_runs)
        draw_pair(right, None, middle, label=pair.label, index=index)
    finish_curves(left, pairs[0].prediction, title=f"signSGD, lr {LR:g}")
    finish_curves(right, pairs[0].prediction, title=f"SGD, lr {SGD_LR:g}: no risk curve without a variance")
    return picture


run = Experiment(
    "xiao2024-extra-heavy-tails",
    SIZES,
    measure,
    "Chosen here: laws of scale 1, independent coordinates with variances from 0.1 to 1, lr 0.5 (SGD: 0.3).",
)
