"""``xiao2024-extra-blocks``: block-diagonal covariances, where the preconditioner helps across blocks only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.problems import LeastSquares, gaussian_problem, log_spaced, rotated
from signscope.reproduce.claims import Claim, at_least, at_most, near
from signscope.reproduce.drawing import curve_rows, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair
from signscope.reproduce.xiao2024.rivals import best_pairs, draw_rivals, preconditioned_condition

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

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
    pairs: dict[str, dict[str, Pair]] = {}
    spread: dict[str, tuple[float, float]] = {}
    for index, (name, smallest) in enumerate(CASES.items()):
        meter.update(index / 2, name)
        problem = block_problem(size, smallest, seed)
        spread[name] = (problem.cov.condition_number, preconditioned_condition(problem))
        pairs[name] = best_pairs(problem, f"{name},", horizon=size.horizon, num_runs=size.num_runs, seed=seed)
    every = [pair for both in pairs.values() for pair in both.values()]
    claims = [claim for pair in every for claim in pair.claims(at=size.tolerance)]
    numbers = curve_rows([c for pair in every for c in pair.curves])
    return Findings([*claims, *_claims(pairs, spread)], numbers, lambda: draw(pairs, size))


def block_problem(size: Size, smallest: float, seed: int) -> LeastSquares:
    """Blocks with the same inner spectrum in random bases, multiplied by scales from ``smallest`` to 1."""
    width = size.dim // size.num_blocks
    scales = log_spaced(size.num_blocks, low=smallest, high=1.0)
    inner = log_spaced(width, low=1 / SPREAD, high=1.0)
    parts: list[Tensor] = [float(scale) * rotated(inner, seed + number).dense() for number, scale in enumerate(scales)]
    plain = gaussian_problem(width * size.num_blocks, seed=seed)
    return LeastSquares(torch.block_diag(*parts), target=DISTANCE * plain.target, noise=0.1)


def _claims(pairs: dict[str, dict[str, Pair]], spread: dict[str, tuple[float, float]]) -> list[Claim]:
    one, many = CASES
    gain = {name: both["sgd"].simulation.final / both["signsgd"].simulation.final for name, both in pairs.items()}
    (k_one, bar_one), (k_many, bar_many) = spread[one], spread[many]
    text = "growth of the condition number by the scales: of D^-1 K against the square root of that of K"
    return [
        near(text, bar_many / bar_one, (k_many / k_one) ** 0.5, rtol=0.2),
        at_most(f"{one}: simulated final risk of SGD / of signSGD", gain[one], 1.0),
        at_least("gain of signSGD over SGD, many scales / one scale", gain[many] / gain[one], 1.5),
    ]


def draw(pairs: dict[str, dict[str, Pair]], size: Size) -> "Picture":
    """One panel per set of scales."""
    caption = (
        f"{size.num_blocks} blocks, each in its own random basis, best constant rates. Line: prediction. Markers and "
        f"band: mean and central 80% of {size.num_runs} runs, d = {size.dim}, Gaussian noise (std 0.1)."
    )
    picture, axes = panels(2, caption=caption)
    for ax, name in zip(axes, CASES, strict=True):
        draw_rivals(ax, pairs[name], title=name[0].upper() + name[1:])
    return picture


run = Experiment(
    "xiao2024-extra-blocks",
    SIZES,
    measure,
    "Chosen here: eight blocks of condition number 10, scales from 1e-4 to 1, Gaussian noise of std 0.1.",
)
