"""``xiao2024-extra-dimension``: risk curves at d = 50, 200, 500 and 1000 against one and the same equation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from signscope._core.progress import Meter
from signscope.comparison import gap
from signscope.problems import LeastSquares, log_spaced
from signscope.reproduce.claims import Claim, at_most, shown
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

NOISES = {"Gaussian, std 0.5": ("gaussian:0.5", 0.7), "Cauchy(2, 1)": ("cauchy:2,1", 0.5)}
LEVELS = 50  # distinct variances, repeated as often as the dimension allows


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dims: Dimensions, multiples of 50.
        numbers: Runs times dimension, so that all dimensions are averaged about equally well.
        horizon: Length in steps/dim.
        factor: Accepted mean relative gap times d.
    """

    dims: tuple[int, ...] = (50, 200, 500, 1000)
    numbers: int = 40_000
    horizon: float = 10.0
    factor: float = 8.0


SIZES = {"full": Size(), "small": Size(dims=(50, 100), numbers=6_400, horizon=3.0, factor=10.0)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Problems with one limit: the same variances, each repeated d/50 times, and the same start risk per level."""
    pairs: dict[tuple[str, int], Pair] = {}
    for index, (label, (noise, lr)) in enumerate(NOISES.items()):
        for number, dim in enumerate(size.dims):
            meter.update((index + number / len(size.dims)) / len(NOISES), f"{label}, d = {dim}")
            runs = max(8, size.numbers // dim)
            setting = {"lr": lr, "horizon": size.horizon, "num_runs": runs, "seed": seed}
            pairs[label, dim] = run_pair(f"{label}, d = {dim}", levels_problem(dim, noise), "signsgd", **setting)
    claims: list[Claim] = []
    for label in NOISES:
        curves = [pairs[label, dim].prediction for dim in size.dims]
        apart = max(float((c.value / curves[0].value - 1).abs().max()) for c in curves)
        claims.append(at_most(f"{label}: largest difference of the equations of all d", apart, 1e-4))
        for dim in size.dims:
            found = gap(pairs[label, dim].prediction, pairs[label, dim].simulation)
            claims.append(at_most(f"{label}, d = {dim}: mean relative gap", found.mean, 0.005 + size.factor / dim / 4))
            claims.append(shown(f"{label}, d = {dim}: signed gap times d", found.signed * dim))
    numbers = curve_rows([c for pair in pairs.values() for c in pair.curves])
    return Findings(claims, numbers, lambda: draw(pairs, size))


def levels_problem(dim: int, noise: str) -> LeastSquares:
    """Variances from 0.1 to 1 in 50 levels; every coordinate starts at distance 5/sqrt(d)."""
    eigvals = log_spaced(LEVELS, low=0.1, high=1.0).repeat_interleave(dim // LEVELS)
    return LeastSquares(eigvals, target=torch.full((dim,), 5 / dim**0.5, dtype=torch.float64), noise=noise)


def draw(pairs: dict[tuple[str, int], Pair], size: Size) -> "Picture":
    """One panel per noise: one line for all dimensions, one band per dimension."""
    caption = "Line: the risk equation, the same for every d. Markers and bands: mean and central 80% of the runs."
    picture, axes = panels(len(NOISES), caption=caption)
    for ax, label in zip(axes, NOISES, strict=True):
        for index, dim in enumerate(size.dims):
            draw_pair(ax, None, pairs[label, dim].simulation, label=f"d = {dim}", index=index)
        theory = pairs[label, size.dims[-1]].prediction
        ax.plot(theory.time.numpy(), theory.value.numpy(), color="black", lw=1.8, label="risk equation", zorder=6)
        finish_curves(ax, theory, title=f"{label} noise, lr {NOISES[label][1]:g}")
    return picture


run = Experiment(
    "xiao2024-extra-dimension",
    SIZES,
    measure,
    "Chosen here: 50 variances from 0.1 to 1 repeated d/50 times, the start spread evenly, 40,000/d runs; accepted: a "
    "mean relative gap of 0.5% plus 2/d.",
)
