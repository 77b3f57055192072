"""``xiao2024-extra-adam``: Adam against signSGD under heavy tails, the paper's open question."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, near
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, far_problem, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

NOISES = {"Cauchy(2, 1)": "cauchy:2,1", "Student-t, nu = 1.5": "student-t:1.5"}
BETAS = (0.5, 0.9)
LR = 0.4


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap.
    """

    dim: int = 400
    horizon: float = 15.0
    num_runs: int = 32
    tolerance: float = 0.03


SIZES = {"full": Size(), "small": Size(dim=80, horizon=3.0, num_runs=8, tolerance=0.15)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Runs of signSGD and of Adam at two values of beta2 (beta1 = 0), at one rate, per law."""
    pairs: dict[str, list[Pair]] = {}
    for index, (name, noise) in enumerate(NOISES.items()):
        problem = far_problem(size.dim, spectrum="log:0.1,1", noise=noise, seed=seed)
        setting = {"lr": LR, "horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
        pairs[name] = [run_pair(f"signSGD, {name}", problem, "signsgd", **setting)]
        for number, beta in enumerate(BETAS):
            meter.update((index + (1 + number) / 3) / len(NOISES), f"{name}, beta2 {beta:g}")
            betas = (0.0, beta)
            pairs[name].append(run_pair(f"Adam, beta2 = {beta:g}, {name}", problem, "adam", betas=betas, **setting))
    every = [pair for group in pairs.values() for pair in group]
    claims = [claim for pair in every for claim in pair.claims(at=size.tolerance)]
    numbers = curve_rows([c for pair in every for c in pair.curves])
    return Findings([*claims, *_order(pairs, size)], numbers, lambda: draw(pairs, size))


def _order(pairs: dict[str, list[Pair]], size: Size) -> list[Claim]:
    """Final risk of Adam over that of signSGD, simulated against predicted."""
    claims = []
    for group in pairs.values():
        sign, *rest = group
        for pair in rest:
            seen = pair.simulation.final / sign.simulation.final
            expected = pair.prediction.final / sign.prediction.final
            text = f"{pair.label}: simulated final risk / that of signSGD, against predicted"
            claims.append(near(text, seen, expected, rtol=3 * size.tolerance))
    return claims


def draw(pairs: dict[str, list[Pair]], size: Size) -> "Picture":
    """One panel per law."""
    caption = (
        f"Line: risk equation at this beta2. Markers and band: mean and central 80% of {size.num_runs} runs, "
        f"d = {size.dim}, beta1 = 0, lr {LR:g}."
    )
    picture, axes = panels(len(pairs), caption=caption)
    for ax, (name, group) in zip(axes, pairs.items(), strict=True):
        for index, pair in enumerate(group):
            draw_pair(ax, pair.prediction, pair.simulation, label=pair.label.removesuffix(f", {name}"), index=index)
        finish_curves(ax, group[0].prediction, title=f"{name} noise: no variance")
    return picture


run = Experiment(
    "xiao2024-extra-adam",
    SIZES,
    measure,
    "Chosen here: independent coordinates with variances from 0.1 to 1, beta2 = 0.5 and 0.9, lr 0.4. The paper leaves "
    "Adam under heavy tails open.",
)
