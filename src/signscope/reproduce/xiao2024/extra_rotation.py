"""``xiao2024-extra-rotation``: a random rotation removes the gain of the diagonal preconditioner."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signscope._core.progress import Meter
from signscope.problems import LeastSquares, log_spaced, rotated
from signscope.reproduce.claims import Claim, at_least, at_most, near
from signscope.reproduce.drawing import curve_rows, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, far_problem
from signscope.reproduce.xiao2024.rivals import best_pairs, draw_rivals, preconditioned_condition

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

BASES = {"independent coordinates": False, "random orthogonal basis": True}


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        condition: Condition number of K.
        horizon: Length in steps/dim; the rates are best for it.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap.
        gain: Least final risk of SGD over that of signSGD on independent coordinates.
    """

    dim: int = 300
    condition: float = 1e4
    horizon: float = 60.0
    num_runs: int = 16
    tolerance: float = 0.05
    gain: float = 1.5


SIZES = {"full": Size(), "small": Size(dim=60, horizon=15.0, num_runs=8, tolerance=0.2, gain=1.1)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """The same spectrum, start and optimum in two bases, both optimizers at their best rates."""
    pairs: dict[str, dict[str, Pair]] = {}
    spread: dict[str, float] = {}
    plain = far_problem(size.dim, spectrum=f"log:{1 / size.condition!r},1", noise="gaussian:0.1", seed=seed)
    for index, (name, is_rotated) in enumerate(BASES.items()):
        meter.update(index / 2, name)
        problem = turned(plain, size, seed) if is_rotated else plain
        spread[name] = preconditioned_condition(problem)
        pairs[name] = best_pairs(problem, f"{name},", horizon=size.horizon, num_runs=size.num_runs, seed=seed)
    every = [pair for both in pairs.values() for pair in both.values()]
    claims = [claim for pair in every for claim in pair.claims(at=size.tolerance)]
    numbers = curve_rows([c for pair in every for c in pair.curves])
    return Findings([*claims, *_claims(pairs, spread, size)], numbers, lambda: draw(pairs, size))


def turned(plain: LeastSquares, size: Size, seed: int) -> LeastSquares:
    """K, start and optimum turned together by one random rotation: nothing changes for SGD."""
    cov = rotated(log_spaced(size.dim, low=1 / size.condition, high=1.0), seed)
    basis = cov.eigh()[1]  # eigenvalues ascend, as in the plain problem
    return LeastSquares(cov, start=basis @ plain.start, target=basis @ plain.target, noise=plain.noise)


def _claims(pairs: dict[str, dict[str, Pair]], spread: dict[str, float], size: Size) -> list[Claim]:
    apart, turned_name = BASES
    gain = {name: both["sgd"].simulation.final / both["signsgd"].simulation.final for name, both in pairs.items()}
    same = pairs[turned_name]["sgd"].prediction.final / pairs[apart]["sgd"].prediction.final
    return [
        near(f"{apart}: condition number of D^-1 K", spread[apart], size.condition**0.5, rtol=1e-9),
        near(
            f"{turned_name}: condition number of D^-1 K / that of K", spread[turned_name] / size.condition, 1, atol=0.15
        ),
        near("SGD: predicted final risk in the random basis / in the other", same, 1.0, rtol=1e-3),
        at_least(f"{apart}: simulated final risk of SGD / of signSGD", gain[apart], size.gain),
        at_most(f"{turned_name}: simulated final risk of SGD / of signSGD", gain[turned_name], 1.0),
    ]


def draw(pairs: dict[str, dict[str, Pair]], size: Size) -> "Picture":
    """One panel per basis."""
    caption = (
        f"The same eigenvalues (condition number {size.condition:g}) in two bases, best constant rates. Line: "
        f"prediction. Markers and band: mean and central 80% of {size.num_runs} runs, d = {size.dim}, noise of std 0.1."
    )
    picture, axes = panels(2, caption=caption)
    for ax, name in zip(axes, BASES, strict=True):
        draw_rivals(ax, pairs[name], title=name[0].upper() + name[1:])
    low, high = zip(*(ax.get_ylim() for ax in axes), strict=True)
    for ax in axes:
        ax.set_ylim(min(low), max(high))
    return picture


run = Experiment(
    "xiao2024-extra-rotation",
    SIZES,
    measure,
    "Chosen here: variances log-spaced from 1e-4 to 1, Gaussian noise of standard deviation 0.1, horizon 60.",
)
