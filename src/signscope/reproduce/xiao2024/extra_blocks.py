"""``xiao2024-extra-blocks``: block-diagonal covariances, where the preconditioner helps across blocks only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.comparison import best_lr
from signscope.problems import LeastSquares, gaussian_problem, log_spaced, rotated
from signscope.reproduce.claims import Claim, at_least, at_most, near
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

NAMES = {"sgd": "SGD", "signsgd": "signSGD"}
SPREAD = 10.0  # condition number inside a block
CASES = {"blocks of one scale": 1.0, "blocks of scales 1 to 1e-4": 1e-4}
DISTANCE = 3.0


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d, a multiple of ``num_blocks``.
        num_blocks: Blocks of equal size, each in its own random basis.
        horizon: Length in steps/dim; the rates are best for it.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap.
    """

    dim: int = 320
    num_blocks: int = 8
    horizon: float = 60.0
    num_runs: int = 16
    tolerance: float = 0.05


SIZES = {"full": Size(), "small": Size(dim=64, num_blocks=4, horizon=15.0, num_runs=8, tolerance=0.25)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Blocks of one scale against blocks of very different scales, both optimizers at their best rates."""
    pairs: dict[tuple[str, str], Pair] = {}
    spread: dict[str, tuple[float, float]] = {}
    for index, (name, smallest) in enumerate(CASES.items()):
        meter.update(index / 2, name)
        problem = block_problem(size, smallest, seed)
        spread[name] = (problem.cov.condition_number, conditioned(problem))
        for optimizer, label in NAMES.items():
            lr = best_lr(problem, optimizer, horizon=size.horizon).lr
            setting = {"lr": lr, "horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
            pairs[name, optimizer] = run_pair(f"{label}, {name}, lr {lr:.3g}", problem, optimizer, **setting)
    claims = [claim for pair in pairs.values() for claim in pair.claims(at=size.tolerance)]
    numbers = curve_rows([c for pair in pairs.values() for c in pair.curves])
    return Findings([*claims, *_claims(pairs, spread)], numbers, lambda: draw(pairs, size))


def block_problem(size: Size, smallest: float, seed: int) -> LeastSquares:
    """Blocks with the same inner spectrum in random bases, multiplied by scales from ``smallest`` to 1."""
    width = size.dim // size.num_blocks
    scales = log_spaced(size.num_blocks, low=smallest, high=1.0)
    inner = log_spaced(width, low=1 / SPREAD, high=1.0)
    parts: list[Tensor] = [float(scale) * rotated(inner, seed + number).dense() for number, scale in enumerate(scales)]
    plain = gaussian_problem(width * size.num_blocks, seed=seed)
    return LeastSquares(torch.block_diag(*parts), target=DISTANCE * plain.target, noise=0.1)


def conditioned(problem: LeastSquares) -> float:
    """Largest over smallest eigenvalue of Kbar = D^-1 K, made symmetric."""
    half = problem.cov.diagonal().pow(-0.25)
    eigvals = torch.linalg.eigvalsh(problem.cov.dense() * torch.outer(half, half))
    return float(eigvals[-1] / eigvals[0])


def _claims(pairs: dict[tuple[str, str], Pair], spread: dict[str, tuple[float, float]]) -> list[Claim]:
    one, many = CASES
    final = {key: pair.simulation.final for key, pair in pairs.items()}
    gain = {name: final[name, "sgd"] / final[name, "signsgd"] for name in CASES}
    (k_one, bar_one), (k_many, bar_many) = spread[one], spread[many]
    text = "growth of the condition number by the scales: of D^-1 K against the square root of that of K"
    return [
        near(text, bar_many / bar_one, (k_many / k_one) ** 0.5, rtol=0.2),
        at_most(f"{one}: simulated final risk of SGD / of signSGD", gain[one], 1.0),
        at_least("gain of signSGD over SGD, many scales / one scale", gain[many] / gain[one], 1.5),
    ]


def draw(pairs: dict[tuple[str, str], Pair], size: Size) -> "Picture":
    """One panel per set of scales."""
    caption = (
        f"{size.num_blocks} blocks, each in its own random basis, best constant rates. Line: prediction. Markers and "
        f"band: mean and central 80% of {size.num_runs} runs, d = {size.dim}, Gaussian noise (std 0.1)."
    )
    picture, axes = panels(2, caption=caption)
    for ax, name in zip(axes, CASES, strict=True):
        for index, (optimizer, label) in enumerate(NAMES.items()):
            pair = pairs[name, optimizer]
            draw_pair(ax, pair.prediction, pair.simulation, label=f"{label}, lr {pair.prediction.lr:.3g}", index=index)
        finish_curves(ax, pairs[name, "sgd"].prediction, title=name[0].upper() + name[1:])
    return picture


run = Experiment(
    "xiao2024-extra-blocks",
    SIZES,
    measure,
    "Chosen here: eight blocks of condition number 10, scales from 1e-4 to 1, Gaussian noise of std 0.1.",
)
