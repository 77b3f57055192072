"""``compagnoni2024-e4``: stationary variance of SignSGD against r = lr h / sigma, and long-run losses against noise."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.reproduce.claims import Claim, Rows, near
from signscope.reproduce.compagnoni2024.sign_model import stationary
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes.moments import stationary_covariance

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

# relative to v0 = (lr/2) sqrt(pi/2) sigma/h, from R5: r, chain, stated, closure, nonlinear SDE
EXPECTED = (
    (0.01, 6.2862251e-3, 6.2416700e-3, 6.2862364e-3, 6.2611437e-3),
    (0.1, 6.4648241e-2, 6.0261616e-2, 6.4659956e-2, 6.2078490e-2),
    (1.0, 8.3828e-1, 4.4795e-1, 8.5305e-1, 5.5966e-1),
)
ROUTES = ("optimizer", "stated", "corrected", "sde")
LINES = {"sgd": 2, "signsgd": 1, "rmsprop": 1, "adam": 1}  # power of the noise in the long-run loss
LR = 1e-3


@dataclass(frozen=True)
class Size:
    """How much is run: ``points`` of r per decade, coordinates ``dim`` of the random problems."""

    points: int = 8
    dim: int = 8


SIZES = {"full": Size(), "small": Size(points=2, dim=4)}


def variances(r: float) -> dict[str, float]:
    """Stationary E x^2 of h = 1, sigma = 1 at lr = r by each route; the formulas typed out."""
    (x, p), (y, q) = stationary(r)
    shift, slope = math.pi * r**2 / 16, math.sqrt(2 / math.pi)
    return {
        "optimizer": float((p * x * x).sum()),
        "stated": 0.5 * r / (slope + r / math.pi),
        "corrected": shift + math.sqrt(shift**2 + math.pi / 8 * r**2),
        "sde": float((q * y * y).sum()),
        "leading": 0.5 * r / slope,
    }


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Both halves; nothing is sampled but the random matrices."""
    claims: list[Claim] = []
    for r, *wanted in EXPECTED:
        found = variances(r)
        for route, value in zip(ROUTES, wanted, strict=True):
            claims.append(near(f"r = {r:g}: stationary variance, {route}", found[route], value, rtol=1e-4))
        room = {0.01: 2e-5, 0.1: 2e-3, 1.0: 0.03}[r]
        claims.append(
            near(f"r = {r:g}: corrected formula / optimizer", found["corrected"] / found["optimizer"], 1, atol=room)
        )
    for text, route, wanted in (
        ("r = 0.1: stated formula / optimizer", "stated", 0.932),
        ("r = 0.1: SDE / optimizer", "sde", 0.960),
    ):
        found = variances(0.1)
        claims.append(near(text, found[route] / found["optimizer"], wanted, atol=2e-3))
    grid = np.geomspace(1e-3, 10, 4 * size.points + 1)
    numbers: Rows = [{"part": "variance", "r": r, **variances(r)} for r in grid.tolist()]
    more, lines = _losses(size, seed)
    return Findings([*claims, *more], [*numbers, *lines], lambda: draw(numbers, lines, size))


def problem(dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """A Hessian with eigenvalues from 0.3 to 3 and a noise covariance of size 1, neither diagonal, not commuting."""
    rng = stream(seed, "matrices")
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    hessian = basis * np.geomspace(0.3, 3, dim) @ basis.T
    root = rng.normal(size=(dim, 2 * dim)) / (2 * dim) ** 0.5
    cov = root @ root.T
    return torch.from_numpy((hessian + hessian.T) / 2), torch.from_numpy(cov / np.trace(cov) * dim)


def _losses(size: Size, seed: int) -> tuple[list[Claim], Rows]:
    """Exact or closed long-run loss of every method on one problem, at noise from 0.3 to 10."""
    hessian, cov = problem(size.dim, seed)
    rows: Rows = []
    for sigma in np.geomspace(0.3, 100, 2 * size.points + 1).tolist():
        noise = cov * sigma**2
        std = noise.diagonal().sqrt().sum()
        lines = {"sgd": noise.trace(), "signsgd": math.sqrt(math.pi / 2) * std, "rmsprop": std, "adam": std}
        for rule in LINES:
            spread = stationary_covariance(rule, hessian, noise, lr=LR, betas=(0.9, 0.999))
            found = {"loss": float(0.5 * (hessian * spread).sum()), "line": float(LR / 4 * lines[rule])}
            rows.append({"part": "loss", "optimizer": rule, "std": sigma, **found})
    claims: list[Claim] = []
    for rule, power in LINES.items():
        own = [row for row in rows if row["optimizer"] == rule]
        ratio = max((row["loss"] / row["line"] for row in own if row["std"] >= 1), key=lambda q: abs(q - 1))
        slope = math.log(own[-1]["loss"] / own[0]["loss"]) / math.log(own[-1]["std"] / own[0]["std"])
        claims.append(near(f"{rule}: long-run loss over its line, sigma >= 1, farthest from 1", ratio, 1, atol=0.01))
        claims.append(near(f"{rule}: power of the noise in the long-run loss", slope, power, atol=0.01))
    return claims, rows


def draw(numbers: Rows, lines: Rows, size: Size) -> "Picture":
    """Variance over its leading term left; losses against the noise right."""
    caption = (
        f"Left: h = sigma = 1, chain and densities, no sampling. Right: one random problem, d = {size.dim}, H "
        f"and Sigma not diagonal, lr {LR:g}; markers: exact or closed, lines: leading order."
    )
    picture, (left, right) = panels(2, caption=caption)
    r = [row["r"] for row in numbers]
    names = {
        "optimizer": "optimizer",
        "stated": "usually stated",
        "corrected": "corrected",
        "sde": "nonlinear SDE",
    }
    for index, (route, name) in enumerate(names.items()):
        values = [row[route] / row["leading"] for row in numbers]
        left.plot(r, values, color=look(index).color, ls=look(index).dash, lw=1.8, label=name)
    left.axhline(1, color="#999999", lw=0.9, ls=":")
    left.set(
        xscale="log",
        ylim=(0, 3),
        xlabel="r = learning rate * curvature / noise std",
        ylabel="stationary variance / leading term",
    )
    left.set_title("SignSGD: variance of the parameter")
    for index, rule in enumerate(LINES):
        own = [row for row in lines if row["optimizer"] == rule]
        style, x = look(index), [row["std"] for row in own]
        right.plot(
            x, [row["line"] for row in own], color=style.color, ls=style.dash, label=f"{rule}: noise^{LINES[rule]}"
        )
        right.plot(x, [row["loss"] for row in own], style.marker, color=style.color, mfc="white", ms=5)
    right.set(xscale="log", yscale="log", xlabel="noise standard deviation (scale)", ylabel="long-run loss E f - f*")
    right.set_title("Noise enters linearly, for SGD quadratically")
    for ax in (left, right):
        legend(ax, loc="upper left")
    return picture


run = Experiment(
    "compagnoni2024-e4",
    SIZES,
    measure,
    f"Chosen here: random H (eigenvalues 0.3 to 3) and Sigma, lr {LR:g}, 1% on the lines.",
)
