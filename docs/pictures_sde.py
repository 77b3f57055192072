"""Picture of the page on SDEs: what is usually stated of signSGD next to what holds; called by ``make_pictures.py``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from signscope.plots.styles import FIXED, SPARE
from signscope.sdes.loss_bounds import BoundedLoss, sign_loss_bound
from signscope.sdes.moments import chain_law, chain_stationary, gaussian_up
from signscope.sdes.stationary_laws import sign_variance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 130


def statements(path: Path) -> None:
    """Left: stationary variance against lr h / sigma. Right: loss from |Y| = 0.95 and the bounds of phase 3."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _variance(left)
    _bounds(right)
    for ax in (left, right):
        ax.grid(alpha=0.25)
        ax.legend(fontsize=9, edgecolor="none")
    figure.suptitle("SignSGD on a parabola, Gaussian noise: exact laws without sampling", fontsize=12)
    figure.savefig(path, dpi=DPI)


def _variance(ax: "Axes") -> None:
    ratios = [10 ** (k / 8) for k in range(-16, 3)]
    leading = [sign_variance(1.0, 1.0, lr=r, form="leading") for r in ratios]
    exact = []
    for r in ratios:
        x, p = chain_stationary(gaussian_up(1.0, 1.0), lr=r, reach=min(12 * math.sqrt(r), 7.5))
        exact.append(float((p * x * x).sum()))
    ax.plot(ratios, _over(exact, leading), "o", color="black", ms=4.5, label="signSGD, exact", zorder=5)
    for form, label, style in (
        ("corrected", "corrected closed form", FIXED["adam"]),
        ("leading", "leading order", SPARE[1]),
        ("stated", "as usually stated", FIXED["signsgd"]),
    ):
        values = [sign_variance(1.0, 1.0, lr=r, form=form) for r in ratios]
        ax.plot(ratios, _over(values, leading), color=style.color, ls=style.dash, lw=1.8, label=label)
    ax.set_xscale("log")
    ax.set_xlabel("lr h / sigma")
    ax.set_ylabel("stationary variance over its leading order")


def _bounds(ax: "Axes") -> None:
    start, lr = 0.95 * math.sqrt(2), 0.005
    times = torch.linspace(0, 3.5, 36, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    problem = BoundedLoss.of_quadratic(one, one, start * one[0], lr=lr)
    losses = []
    for t in times.tolist():
        x, p = chain_law(start, gaussian_up(1.0, 1.0), lr=lr, num_steps=round(t / lr))
        losses.append(0.5 * float((p * x * x).sum()))
    exact = torch.tensor(losses, dtype=torch.float64)
    ax.plot(times, torch.ones_like(times), color="black", lw=1.8, label="mean loss of signSGD, exact")
    for bound, label, style in (
        (sign_loss_bound(problem, times, largest_ratio=1.0), "corrected bound, |Y| <= 1", FIXED["adam"]),
        (sign_loss_bound(problem, times, form="stated phase 3"), "bound as usually stated", FIXED["signsgd"]),
    ):
        ax.plot(times, bound.value / exact, color=style.color, ls=style.dash, lw=1.8, label=label)
    ax.set_xlabel("lr * steps")
    ax.set_ylabel("bound over mean loss (below 1: violated)")


def _over(values: list[float], base: list[float]) -> list[float]:
    return [value / other for value, other in zip(values, base, strict=True)]


PICTURES = {"sde-statements": statements}
