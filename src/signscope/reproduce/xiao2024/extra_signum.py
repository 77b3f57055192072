"""``xiao2024-extra-signum``: the sign of a running average against the sign of one gradient, at their best rates."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signscope._core.progress import Meter
from signscope.comparison import best_lr
from signscope.limits import limit
from signscope.problems import LeastSquares, gaussian_problem
from signscope.reproduce.claims import Claim, near
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, far_problem, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

NOISES = {"Gaussian, std 1": 1.0, "Cauchy(0, 1)": "cauchy:1"}
CASES = {
    "signSGD": ("signsgd", (0.9, 0.999)),
    "Signum, momentum 0.5": ("signum", (0.5, 0.999)),
    "Signum, momentum 0.9": ("signum", (0.9, 0.999)),
    "Adam": ("adam", (0.9, 0.999)),
}
WORTH = {0.5: 1.7819, 0.9: 2.1599, 0.99: 2.2543}
"""Floor of signSGD over that of Signum at one rate of convergence, identity covariance and Gaussian noise: page."""


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim; the rates are best for it.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap.
    """

    dim: int = 1000
    horizon: float = 8.0
    num_runs: int = 24
    tolerance: float = 0.03


SIZES = {"full": Size(), "small": Size(dim=200, horizon=3.0, num_runs=8, tolerance=0.15)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """All at their best constant rates for the horizon, per law."""
    pairs: dict[str, dict[str, Pair]] = {}
    for index, (law, noise) in enumerate(NOISES.items()):
        problem = far_problem(size.dim, spectrum="log:0.1,1", noise=noise, seed=seed, distance=2.0)
        pairs[law] = {}
        for number, (name, (optimizer, betas)) in enumerate(CASES.items()):
            meter.update((index + number / len(CASES)) / len(NOISES), f"{name}, {law}")
            lr = best_lr(problem, optimizer, horizon=size.horizon, betas=betas).lr
            setting = {"lr": lr, "horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
            pairs[law][name] = run_pair(f"{name}, {law}", problem, optimizer, betas=betas, **setting)
    every = [pair for group in pairs.values() for pair in group.values()]
    claims = [claim for pair in every for claim in pair.claims(at=size.tolerance)]
    numbers = curve_rows([c for pair in every for c in pair.curves])
    return Findings([*claims, *_gains(pairs, size), *_worth()], numbers, lambda: draw(pairs, size))


def _gains(pairs: dict[str, dict[str, Pair]], size: Size) -> list[Claim]:
    """Final risk of signSGD over that of Signum, simulated against predicted; above 1 momentum helps."""
    claims = []
    for law, group in pairs.items():
        sign, signum = group["signSGD"], group["Signum, momentum 0.9"]
        seen = sign.simulation.final / signum.simulation.final
        expected = sign.prediction.final / signum.prediction.final
        text = f"{law}: simulated final risk of signSGD / of Signum with momentum 0.9, against predicted"
        claims.append(near(text, seen, expected, rtol=3 * size.tolerance))
    return claims


def _worth() -> list[Claim]:
    """Limit risks at small rates that converge equally fast, on a problem where only the direction matters."""
    plain = gaussian_problem(100_000, noise=1.0)
    problem = LeastSquares(plain.cov, noise=1.0)
    claims = []
    for momentum, expected in WORTH.items():
        ends = [limit(problem, name, lr=1e-3, betas=(momentum, 0.999)) for name in ("signsgd", "signum")]
        floors = [end.excess_risk / end.rate for end in ends]
        text = f"floor of signSGD / of Signum at one rate of convergence, momentum {momentum:g}"
        claims.append(near(text, floors[0] / floors[1], expected, rtol=5e-3))
    return claims


def draw(pairs: dict[str, dict[str, Pair]], size: Size) -> "Picture":
    """One panel per law."""
    caption = (
        f"Best constant rates. Line: risk equation. Markers and band: mean and central 80% of {size.num_runs} runs, "
        f"d = {size.dim}, variances from 0.1 to 1; Adam with betas 0.9 and 0.999."
    )
    picture, axes = panels(len(pairs), caption=caption)
    for ax, (law, group) in zip(axes, pairs.items(), strict=True):
        for index, (name, pair) in enumerate(group.items()):
            draw_pair(ax, pair.prediction, pair.simulation, label=f"{name}, lr {pair.prediction.lr:.3g}", index=index)
        finish_curves(ax, group["signSGD"].prediction, title=law)
    return picture


run = Experiment(
    "xiao2024-extra-signum",
    SIZES,
    measure,
    "Chosen here: variances from 0.1 to 1, target N(0, 4 I/d), best constant rates for 8 steps/dim. The paper has no "
    "momentum; the risk equation is this package's.",
)
