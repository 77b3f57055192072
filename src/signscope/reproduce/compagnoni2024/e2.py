"""``compagnoni2024-e2``: SignSGD against its SDE, the SDE of second order, the flow and the Gaussian closure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from signscope._core.progress import Meter
from signscope.problems.landscapes import DoubleWell, Quadratic
from signscope.problems.oracle_noise import GaussianNoise
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near
from signscope.reproduce.compagnoni2024.sign_model import OBSERVABLES, START, flow, of_optimizer, of_sde
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes import expected, solve
from signscope.simulation.descent import descend

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

EXPECTED = {  # R4 at T = 2: E x, E x^2, E cos 2x, E x^4 of optimizer, SDE, SDE of order 2
    0.125: (
        (0.35244975, 0.19399055, 0.66329018, 0.08352339),
        (0.372166, 0.203850, 0.642685, 0.081132),
        (0.353568, 0.189313, 0.666108, 0.071844),
    ),
    0.015625: (
        (0.36227531, 0.13960783, 0.73639110, 0.02404812),
        (0.364748, 0.141337, 0.733195, 0.024448),
        (0.362294, 0.139536, 0.736430, 0.023876),
    ),
}
NAMES = ("optimizer", "SDE", "SDE of order 2")
LR = 0.125


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates of the quadratic with correlated noise.
        num_runs: Runs and paths there; ten times as many on the double well.
        tolerance: Accepted L2 distance of loss curves.
    """

    dim: int = 10
    num_runs: int = 2_000
    tolerance: float = 0.02


SIZES = {"full": Size(), "small": Size(num_runs=200, tolerance=0.08)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """One coordinate without sampling; d coordinates and a double well with correlated noise."""
    claims: list[Claim] = []
    observe = list(OBSERVABLES.values())
    for lr, table in EXPECTED.items():
        found = (of_optimizer(lr, observe), of_sde(lr, observe), of_sde(lr, observe, order=2))
        for name, values, wanted in zip(NAMES, found, table, strict=True):
            gap = float((values - torch.tensor(wanted, dtype=torch.float64)).abs().max())
            claims.append(
                at_most(
                    f"lr {lr:g}, {name}: largest distance from the expected moments",
                    gap,
                    1e-8 if name == "optimizer" else 3e-6,
                )
            )
    claims.append(near("flow: x(2) from 1.5", flow(2.0), 0.36362709, atol=1e-8))
    numbers = _one_coordinate()
    meter.update(0.2, f"d = {size.dim}")
    more, rows = _correlated(size, seed)
    meter.update(0.6, "double well")
    return Findings([*claims, *more, *_double_well(size, seed)], [*numbers, *rows], lambda: draw(numbers, rows, size))


def _one_coordinate() -> Rows:
    """Mean loss and variance of h = sigma = 1 against time at lr 1/8."""
    rows: Rows = []
    observe = [OBSERVABLES["x"], OBSERVABLES["x^2"]]
    for time in [0.25 * k for k in range(1, 17)]:
        pairs = dict(
            zip(
                NAMES,
                (
                    of_optimizer(LR, observe, horizon=time),
                    of_sde(LR, observe, horizon=time),
                    of_sde(LR, observe, order=2, horizon=time),
                ),
                strict=True,
            )
        )
        row: dict[str, Any] = {"part": "one coordinate", "time": time, "flow loss": 0.5 * flow(time, start=START) ** 2}
        for name, (mean, square) in ((n, p.tolist()) for n, p in pairs.items()):
            row |= {f"{name} loss": 0.5 * square, f"{name} variance": square - mean**2}
        rows.append(row)
    return rows


def _correlated(size: Size, seed: int) -> tuple[list[Claim], Rows]:
    """Curvatures 0.5 to 2, noise of std 0.5 to 2 and correlation 0.5: all three routes."""
    d = size.dim
    std = torch.linspace(0.5, 2, d, dtype=torch.float64)
    cov = torch.outer(std, std) * (0.5 + 0.5 * torch.eye(d, dtype=torch.float64))
    loss = Quadratic(torch.linspace(2, 0.5, d, dtype=torch.float64))
    common: dict[str, Any] = {
        "optimizer": "signsgd",
        "noise": GaussianNoise(d, cov=cov),
        "lr": 0.005,
        "num_steps": 600,
        "times": list(range(0, 601, 20)),
    }
    start = [1.0] * d
    closure = expected(loss, start, **common)
    runs = descend(loss, start, num_paths=size.num_runs, seed=seed, **common)
    paths = solve(loss, start, num_paths=size.num_runs, seed=seed + 1, substeps=8, **common)
    claims = []
    for name, other in (("SDE (dt = lr/8)", paths), ("closure", closure)):
        gap = float((other.loss.value - runs.loss.value).norm() / runs.loss.value.norm())
        claims.append(at_most(f"d = {d}: L2 distance of loss curves, {name} and optimizer", gap, size.tolerance))
        ratio = float((other.total_variance[-10:] / runs.total_variance[-10:]).mean())
        claims.append(near(f"d = {d}: late total variance, {name} over optimizer", ratio, 1.0, atol=5 * size.tolerance))
    columns = {"closure": closure.loss.value, "optimizer": runs.loss.value, "SDE": paths.loss.value}
    rows = zip(closure.time.tolist(), *(v.tolist() for v in columns.values()), strict=True)
    return claims, [{"part": "correlated", **dict(zip(("time", *columns), row, strict=True))} for row in rows]


def _double_well(size: Size, seed: int) -> list[Claim]:
    """Two coordinates, not convex, noise of correlation 0.8: Cov(x_1, x_2) needs the covariance of the signs."""
    cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    loss, start = DoubleWell(2, tilt=0.2), [0.5, 0.5]
    observe = {"product": lambda x: x[:, 0] * x[:, 1]}
    common: dict[str, Any] = {
        "optimizer": "signsgd",
        "lr": 0.02,
        "num_steps": 100,
        "times": [100],
        "observe": observe,
        "num_paths": 10 * size.num_runs,
    }
    own = descend(loss, start, noise=GaussianNoise(2, cov=cov), seed=seed, **common)
    whole = solve(loss, start, noise=GaussianNoise(2, cov=cov), seed=seed + 1, substeps=4, **common)
    alone = solve(loss, start, noise=GaussianNoise(2, std=1.0), seed=seed + 1, substeps=4, **common)
    product, right, wrong = (e.observed["product"].final - float(e.mean[-1].prod()) for e in (own, whole, alone))
    return [
        near("double well: Cov(x_1, x_2) of the SDE / of SignSGD", right / product, 1.0, atol=5 * size.tolerance),
        at_least(
            "double well: |Cov(x_1, x_2)| missed without the covariance of signs / its size",
            abs(wrong / product - 1),
            0.7,
        ),
    ]


def draw(numbers: Rows, rows: Rows, size: Size) -> "Picture":
    """Loss and variance in one coordinate, loss in d."""
    caption = (
        f"Left, middle: f = x^2/2, noise 1, lr 1/8, no sampling. Right: d = {size.dim}, correlated noise, lr "
        f"0.005, {size.num_runs} runs; SDE with dt = lr/8."
    )
    picture, axes = panels(3, caption=caption, width=4.6)
    time = [row["time"] for row in numbers]
    for ax, key in zip(axes, ("loss", "variance"), strict=False):
        for index, name in enumerate(NAMES if key == "variance" else (*NAMES, "flow")):
            style = look(index)
            ax.plot(
                time,
                [row[f"{name} {key}"] for row in numbers],
                color=style.color,
                ls=style.dash,
                marker=style.marker,
                ms=3.5,
                label=name,
            )
        ax.set(xlabel="time, lr*steps", ylabel="mean loss E f - f*" if key == "loss" else "variance of x")
        ax.set_title(f"One coordinate: {key}")
    axes[0].set_yscale("log")
    for index, name in enumerate(("optimizer", "SDE", "closure")):
        style = look(index)
        axes[2].plot(
            [r["time"] for r in rows], [r[name] for r in rows], color=style.color, ls=style.dash, lw=1.8, label=name
        )
    axes[2].set(yscale="log", xlabel="time, lr*steps", ylabel="mean loss E f - f*")
    axes[2].set_title("Correlated noise: loss")
    for ax in axes:
        legend(ax)
    return picture


run = Experiment(
    "compagnoni2024-e2",
    SIZES,
    measure,
    "Chosen here: correlation 0.5 (d = 10) and 0.8 (double well), curvatures 0.5 to 2.",
)
