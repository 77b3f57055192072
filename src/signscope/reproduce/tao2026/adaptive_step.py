"""``tao2026-adaptive-step``: step sizes that adapt in the l-infinity geometry, without knowing the smoothness."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.bounds.instances import Quadratic, sharp_coordinates
from signscope.reproduce.claims import Claim, Rows, at_most, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

METHODS = ("signSGD, constant", "signSGD, adaptive", "SGD, constant", "SGD, adaptive")
NOISE = 0.2
EDGE = 1e-9
FLOOR = 1e-12  # smaller gradient norms count as this


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates of the sharp toy.
        num_steps: Steps of a run.
        num_problems: Random problems for the bounds.
        num_rates: Rates, over six decades.
        num_runs: Runs with noise.
    """

    dim: int = 1_000
    num_steps: int = 1_000
    num_problems: int = 30
    num_rates: int = 25
    num_runs: int = 8


SIZES = {"full": Size(), "small": Size(dim=100, num_steps=200, num_problems=3, num_rates=7, num_runs=2)}


@equation("signscope", "adaptive signSGD, deterministic bound")
def adaptive_bound(*, alpha: float, gap: float, smoothness: float, first: float, num_steps: int) -> float:
    r"""Bound on the mean l1 norm of the gradient along signSGD with the step of AdaGrad-Norm in its geometry.

    $$ \eta_t = \alpha\frac{\lVert g_t\rVert_1}{S_t}, \quad S_t^2 = \sum_{s\le t}\lVert g_s\rVert_1^2
       \quad\Rightarrow\quad
       \frac1T\sum_t\lVert g_t\rVert_1 \le \frac{S_T}{\sqrt T}, \quad
       S_T \le \frac\Delta\alpha + \frac{\alpha L}{2}\Bigl(1 + 2\ln\frac{S_T}{S_1}\Bigr) $$

    for exact gradients and every alpha: add the descent inequality over t, and use
    $\sum a_t/\sqrt{A_t} \ge \sqrt{A_T}$, $\sum a_t/A_t \le 1 + \ln(A_T/A_1)$ for partial sums A of a.

    Args:
        alpha: In the unit of the weights.
        gap: Delta = f(x_0) - inf f.
        smoothness: L in the l-infinity geometry.
        first: l1 norm of the first gradient, S_1.
        num_steps: T.

    Returns:
        The bound, in the unit of the gradient; the largest S_T that the inequality allows.
    """
    base, factor = gap / alpha + alpha * smoothness / 2, alpha * smoothness
    total = base + first + 4 * factor * (1 + abs(math.log1p(4 * (base + factor) / first)))
    for _ in range(200):  # from above: x -> base + factor ln(x / first) decreases to the largest root
        total = max(base + factor * math.log(total / first), first)
    return total / math.sqrt(num_steps)


def path(
    label: str,
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    scale: Tensor,
    num_steps: int,
    noise: Tensor,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """l1 norms of the true gradient along runs, averaged over all steps and over the last half.

    Args:
        label: One of `METHODS`; an adaptive one takes the step alpha |g_t| / sqrt(sum of |g_s|^2), with the l1 norm for
            signs and the l2 norm for SGD.
        gradient: Of points (runs, dim).
        start: (dim,).
        scale: Rate or alpha of every run, (runs,).
        num_steps: Steps.
        noise: Standard deviations, (dim,).
        rng: Of the noise.
    """
    signs, adaptive = label.startswith("sign"), label.endswith("adaptive")
    x, loud = start.repeat(len(scale), 1), noise.nonzero()[:, 0]
    squares, total, tail = torch.zeros_like(scale), torch.zeros_like(scale), torch.zeros_like(scale)
    for step in range(num_steps):
        grad = gradient(x)
        norm = grad.abs().sum(1)
        total += norm
        tail += norm if step >= num_steps // 2 else 0.0
        if len(loud):
            grad = grad.clone()
            grad[:, loud] += noise[loud] * torch.from_numpy(rng.standard_normal((len(scale), len(loud))))
        length = grad.abs().sum(1) if signs else grad.norm(dim=1)
        squares += length**2
        own = scale / squares.sqrt() if adaptive else scale  # of SGD: alpha g / S; of signs: alpha |g|_1 sign(g) / S
        if signs:
            x = x - (own * length if adaptive else own)[:, None] * torch.sign(grad)
        else:
            x = x - own[:, None] * grad
    return total / num_steps, tail / (num_steps - num_steps // 2)


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Bounds on random problems; then rates over six decades on the sharp toy, without and with noise."""
    numbers = [*_bounds(size, seed), *_sweep(size, seed, meter)]
    return Findings(claims_of(numbers), numbers, lambda: draw(numbers, size))


def _bounds(size: Size, seed: int) -> Rows:
    """Measured over bound for known L (eta = |g|_1 / L) and for the adaptive step, on random quadratics."""
    rows: Rows = []
    for index in range(size.num_problems):
        rng = stream(seed, "problem", index)
        root = rng.standard_normal((8, 8)) * rng.lognormal(0, 1, 8)
        problem = Quadratic(root @ root.T, start=rng.standard_normal(8))
        known = problem.constants
        x, squares = problem.start[None].clone(), 0.0
        for _ in range(size.num_steps):
            grad = problem.gradient(x)
            norm = float(grad.abs().sum())
            squares += norm**2
            x = x - norm / known.smoothness * torch.sign(grad)
        rows.append(
            {
                "part": "bounds",
                "problem": index,
                "method": "step |g|/L",
                "ratio": squares / (2 * known.smoothness * known.initial_gap),
            }
        )
        alpha = math.sqrt(known.initial_gap / known.smoothness) * np.geomspace(1e-3, 1e3, 13)
        norm, _ = path(
            METHODS[1],
            problem.gradient,
            problem.start,
            scale=torch.from_numpy(alpha),
            num_steps=size.num_steps,
            noise=torch.zeros(8, dtype=torch.float64),
            rng=rng,
        )
        first = float(problem.gradient(problem.start[None]).abs().sum())
        for a, value in zip(alpha, norm.tolist(), strict=True):
            bound = adaptive_bound(
                alpha=float(a),
                gap=known.initial_gap,
                smoothness=known.smoothness,
                first=first,
                num_steps=size.num_steps,
            )
            rows.append({"part": "bounds", "problem": index, "method": "adaptive", "scale": a, "ratio": value / bound})
    return rows


def _sweep(size: Size, seed: int, meter: Meter) -> Rows:
    """Every method over rates, on the sharp toy."""
    rows: Rows = []
    base = np.geomspace(1e-3, 1e3, size.num_rates)
    start = 1 + 0.3 * stream(seed, "start").random(size.dim)
    for kind, noise, runs in (("no noise", 0.0, 1), ("noise", NOISE, size.num_runs)):
        problem = sharp_coordinates(size.dim, noise=noise, start=start)
        curvature = float(problem.hessian[0])
        natural = {
            METHODS[0]: math.sqrt(2 * problem.constants.initial_gap / (problem.constants.smoothness * size.num_steps)),
            METHODS[1]: math.sqrt(problem.constants.initial_gap / problem.constants.smoothness),
            METHODS[2]: 1 / curvature,
            METHODS[3]: math.sqrt(2 * problem.constants.initial_gap / curvature),
        }
        for index, label in enumerate(METHODS):
            meter.update((index + 4 * (runs > 1)) / 8, f"{label}, {kind}")
            scale = torch.from_numpy(np.repeat(natural[label] * base, runs))
            mean, tail = path(
                label,
                problem.gradient,
                problem.start,
                scale=scale,
                num_steps=size.num_steps,
                noise=problem.noise,
                rng=stream(seed, kind, label),
            )
            for k, factor in enumerate(base):
                part = slice(k * runs, (k + 1) * runs)
                found = {"grad_l1": float(mean[part].mean()), "tail_l1": float(tail[part].mean())}
                rows.append({"part": kind, "method": label, "factor": float(factor), **found})
    return rows


def window(numbers: Rows, kind: str, label: str, *, within: float = 10.0) -> tuple[float, float]:
    """Best value over all rates, and the worst one for rates at most ``within`` times too small or large."""
    rows = [row for row in numbers if row["part"] == kind and row["method"] == label]
    values = [max(row["tail_l1"], FLOOR) if math.isfinite(row["tail_l1"]) else math.inf for row in rows]
    near = [
        v
        for row, v in zip(rows, values, strict=True)
        if 1 / within <= row["factor"] * (1 + EDGE) <= within * (1 + 2 * EDGE)
    ]
    return min(values), max(near)


def claims_of(numbers: Rows) -> list[Claim]:
    """Bounds hold; a badly chosen rate costs less with an adaptive step; at its best it costs little."""
    ratios = {name: [r["ratio"] for r in numbers if r.get("method") == name] for name in ("step |g|/L", "adaptive")}
    claims = [
        at_most("step |g|_1 / L: largest sum of |g|_1^2 over 2 L Delta", max(ratios["step |g|/L"]), 1.0),
        at_most(
            "adaptive step: largest mean |g|_1 over its bound, alpha over six decades", max(ratios["adaptive"]), 1.0
        ),
    ]
    for kind in ("no noise", "noise"):
        best, worst = zip(*(window(numbers, kind, label) for label in METHODS), strict=True)
        claims += [
            at_most(f"{kind}: signSGD at its best rate, adaptive over constant", best[1] / best[0], 1.5),
            at_most(
                f"{kind}: signSGD with a rate up to 10 times off, adaptive over constant", worst[1] / worst[0], 1.0
            ),
            shown(f"{kind}: signSGD with a rate up to 10 times off over its best, constant", worst[0] / best[0]),
            shown(f"{kind}: signSGD with a rate up to 10 times off over its best, adaptive", worst[1] / best[1]),
            shown(f"{kind}: best of SGD over best of signSGD, constant", best[2] / best[0]),
            shown(f"{kind}: best of SGD over best of signSGD, adaptive", best[3] / best[1]),
        ]
    return claims


def draw(numbers: Rows, size: Size) -> "Picture":
    """Tail gradient norm against the factor on the natural rate."""
    caption = (
        f"The sharp toy (one coordinate holds half of L), d = {size.dim}, {size.num_steps} steps, mean l1 norm of "
        f"the gradient over the last half. Rates in units of what theory proposes; noise {NOISE:g} in the sharp "
        f"coordinate, mean of {size.num_runs} runs. Adaptive: AdaGrad-Norm with the norm that belongs to the method."
    )
    picture, axes = panels(2, caption=caption)
    for ax, kind in zip(axes, ("no noise", "noise"), strict=True):
        for index, label in enumerate(METHODS):
            rows = [row for row in numbers if row["part"] == kind and row["method"] == label]
            kept = [(row["factor"], max(row["tail_l1"], FLOOR)) for row in rows if row["tail_l1"] < 1e3]
            style = look(index)
            ax.plot(*zip(*kept, strict=True), color=style.color, ls=style.dash, marker=style.marker, ms=4, label=label)
        ax.set(xscale="log", yscale="log", xlabel="rate over the theory's", ylabel="mean l1 norm, last half")
        ax.set_title(kind)
        legend(ax)
    return picture


run = Experiment(
    "tao2026-adaptive-step",
    SIZES,
    measure,
    "Chosen here: everything; the paper names adaptive steps as future work. The bound of the adaptive step is ours.",
)
