"""``compagnoni2024-e7``: long-run loss against noise for Adam, AdamW and Adam with L2 decay, minimum at 0 and not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signscope._core.progress import Meter
from signscope.problems.landscapes import Quadratic
from signscope.reproduce.claims import Claim, Rows, near
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes import expected
from signscope.simulation.descent import descend

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LR, BETAS, DECAY, CURVATURE, CENTRE = 0.005, (0.9, 0.99), 0.5, 1.0, 0.3
METHODS = {"adam": "Adam, no decay", "adamw": "AdamW", "l2": "Adam, L2 decay"}
SIMULATED = {0.1: 2.20e-4, 1.0: 5.84e-3, 10.0: 3.329e-2, 100.0: 4.59e-2}  # AdamW, x* = 0.3


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        points: Noise levels per decade in the picture.
        num_runs: Simulated runs at the four noise levels of the table.
        num_steps: Their length; the mean of the last half or less counts.
        tolerance: Accepted relative distance of the simulation from the expected loss.
    """

    points: int = 3
    num_runs: int = 1_000
    num_steps: int = 4_000
    tolerance: float = 0.05


SIZES = {"full": Size(), "small": Size(points=1, num_runs=150, num_steps=2_000, tolerance=0.25)}


def setting(method: str, centre: float) -> tuple[Quadratic, dict[str, object]]:
    """Loss that the method descends on and its options; L2 decay belongs to the loss."""
    options: dict[str, object] = {"lr": LR, "betas": BETAS, "optimizer": "adam"}
    if method == "l2":
        total = CURVATURE + DECAY
        return Quadratic([total], centre=[CURVATURE * centre / total]), options
    if method == "adamw":
        options |= {"optimizer": "adamw", "weight_decay": DECAY}
    return Quadratic([CURVATURE], centre=[centre]), options


def long_run(method: str, sigma: float, centre: float) -> float:
    """Mean of h (x - x*)^2 / 2 in the long run by the recursion for the mean of V."""
    pull = CURVATURE / max(sigma, CURVATURE) + (DECAY if method == "adamw" else 0.0)
    steps = min(40_000, round(5 / pull / LR) + 200)
    loss, options = setting(method, centre)
    found = expected(loss, [centre], noise=sigma, num_steps=steps, times=[steps], **options)  # pyright: ignore[reportArgumentType]
    return 0.5 * CURVATURE * float((found.mean[-1, 0] - centre) ** 2 + found.variance[-1, 0])


def theory(method: str, sigma: float, centre: float) -> float:
    """Leading order: variance with the memory of beta1, plus the loss of the shifted mean."""
    h, theta = CURVATURE, DECAY
    if method == "adam":
        return LR / 4 * sigma
    if method == "l2":
        return LR / 4 * h * sigma / (h + theta) + 0.5 * h * (theta / (h + theta) * centre) ** 2
    memory = 1 + LR * theta / (1 - BETAS[0])
    bias = 0.5 * h * (theta * sigma / (h + theta * sigma) * centre) ** 2
    return LR / 4 * h * sigma / (h + theta * sigma) / memory + bias


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Recursion over the noise for both minima; runs of AdamW at four noise levels."""
    grid = np.geomspace(0.1, 100, 3 * size.points + 1).tolist()
    numbers: Rows = []
    for index, (centre, method) in enumerate((c, m) for c in (0.0, CENTRE) for m in METHODS):
        meter.update(0.5 * index / 6, METHODS[method])
        for sigma in grid if method == "adamw" else [s for s in grid if s <= 10.001]:
            found = {"loss": long_run(method, sigma, centre), "theory": theory(method, sigma, centre)}
            numbers.append({"centre": centre, "method": method, "std": sigma, **found})
    claims = _shapes(numbers)
    for index, (sigma, wanted) in enumerate(SIMULATED.items()):
        meter.update(0.5 + index / 8, f"runs, sigma {sigma:g}")
        loss, options = setting("adamw", CENTRE)
        steps = size.num_steps
        times = list(range(steps - max(500, steps - 2_000), steps + 1, 100))
        common = {"noise": sigma, "num_steps": steps, "times": times, "num_paths": size.num_runs, "seed": seed}
        runs = descend(loss, [CENTRE], **common, **options)  # pyright: ignore[reportArgumentType]
        value = float(runs.loss.value.mean())
        numbers.append({"centre": CENTRE, "method": "adamw runs", "std": sigma, "loss": value, "theory": wanted})
        claims.append(near(f"AdamW, x* = 0.3, sigma {sigma:g}: simulated loss", value, wanted, rtol=size.tolerance))
        own = long_run("adamw", sigma, CENTRE)
        claims.append(near(f"AdamW, x* = 0.3, sigma {sigma:g}: loss by the recursion", own, wanted, rtol=0.03))
    return Findings(claims, numbers, lambda: draw(numbers))


def _shapes(numbers: Rows) -> list[Claim]:
    """Linear growth without decay and with L2, saturation with decoupled decay, collapse where x* is not 0."""
    table = {(row["centre"], row["method"], round(row["std"], 6)): row for row in numbers}
    claims = []
    for method, wanted in (("adam", 10.0), ("l2", 10.0), ("adamw", 1.25)):
        low, high = (table[0.0, method, s]["loss"] for s in (1.0, 10.0))
        wanted = table[0.0, method, 10.0]["theory"] / table[0.0, method, 1.0]["theory"] if method == "adamw" else wanted
        claims.append(near(f"{METHODS[method]}, x* = 0: loss at sigma 10 / at 1", high / low, wanted, rtol=0.02))
    far = table[0.0, "adamw", 100.0]["loss"]
    ceiling = LR / 4 / DECAY / (1 + LR * DECAY / (1 - BETAS[0]))
    claims.append(near("AdamW, x* = 0, sigma 100: loss / its ceiling (lr/4) h/theta", far / ceiling, 1, atol=0.04))
    collapsed = table[CENTRE, "adamw", 100.0]["loss"] - far
    whole = 0.5 * CURVATURE * CENTRE**2
    claims.append(
        near(
            "AdamW, x* = 0.3, sigma 100: loss of the shifted mean / that of x = 0", collapsed / whole, 0.961, atol=0.01
        )
    )
    worst = max((row["loss"] / row["theory"] for row in numbers if row["std"] >= 1), key=lambda q: abs(q - 1))
    claims.append(near("all methods, sigma >= 1: recursion / leading order, farthest from 1", worst, 1, atol=0.02))
    return claims


def draw(numbers: Rows) -> "Picture":
    """Long-run losses, x* = 0 left and x* = 0.3 right."""
    caption = (
        f"f = (x - x*)^2/2, lr {LR:g}, decay {DECAY:g}. Markers: recursion for the mean of V; lines: leading "
        "order; stars: simulated runs of AdamW."
    )
    picture, axes = panels(2, caption=caption)
    for ax, centre in zip(axes, (0.0, CENTRE), strict=True):
        for index, (method, name) in enumerate(METHODS.items()):
            rows = [row for row in numbers if (row["centre"], row["method"]) == (centre, method)]
            style, x = look(index), [row["std"] for row in rows]
            ax.plot(x, [row["theory"] for row in rows], color=style.color, ls=style.dash, label=name)
            ax.plot(x, [row["loss"] for row in rows], style.marker, color=style.color, mfc="white", ms=5)
        runs = [row for row in numbers if (row["centre"], row["method"]) == (centre, "adamw runs")]
        ax.plot([r["std"] for r in runs], [r["loss"] for r in runs], "*", color=look(1).color, ms=9)
        ax.set(xscale="log", yscale="log", xlabel="noise standard deviation", ylabel="long-run loss E f - f*")
        legend(ax, loc="upper left")
    axes[0].set_title("Minimum at 0: decoupled decay bounds the loss")
    axes[1].set_title("Minimum at 0.3: it does so by pulling x to 0")
    axes[1].axhline(0.5 * CENTRE**2, color="#999999", lw=0.9, ls=":")
    return picture


run = Experiment(
    "compagnoni2024-e7",
    SIZES,
    measure,
    "Chosen here: lr 0.005 (the one that the expected losses belong to), betas (0.9, 0.99), one coordinate, h = 1.",
)
