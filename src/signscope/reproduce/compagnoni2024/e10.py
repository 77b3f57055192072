"""``compagnoni2024-e10``: what a scheme with step lr / m adds to the error of the model, without sampling."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.integrate.equation import Step
from signscope.integrate.euler_maruyama import euler_step
from signscope.integrate.weak_second_order import platen_step
from signscope.problems.landscapes import Quadratic
from signscope.problems.oracle_noise import GaussianNoise
from signscope.reproduce.claims import Claim, Rows, at_most, near
from signscope.reproduce.compagnoni2024.sign_model import HORIZON, START, of_optimizer, of_sde
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes.setting import Setting
from signscope.sdes.signsgd import SignSgdEquation

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

AT_LR = {0.25: 6.2e-3, 0.125: 1.6e-3, 0.0625: 4.1e-4}  # Euler at dt = lr minus optimizer, x^2
AT_PARTS = {1: 6.5e-3, 2: 3.3e-3, 4: 1.6e-3, 8: 8e-4}  # Euler at dt = lr / m minus SDE, lr = 1/16
_NODES = 48


@dataclass(frozen=True)
class Size:
    """How much is run: grid ``points`` of the backward recursion, and the largest number of ``parts`` of a step."""

    points: int = 801
    parts: int = 8


SIZES = {"full": Size(), "small": Size(points=301, parts=4)}


def of_scheme(step: Step, lr: float, dt: float, *, points: int, reach: float = 4.0) -> float:
    """E X_T^2 of the scheme itself: u(x) = E u(one step from x), spline in x and Gauss-Hermite in the normal."""
    from scipy.interpolate import make_interp_spline

    loss, noise = Quadratic([1.0]), GaussianNoise(1, std=1.0)
    equation = SignSgdEquation(Setting(loss=loss, noise=noise, lr=lr))
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    x = np.linspace(-reach, reach, points)
    here = torch.from_numpy(np.repeat(x, _NODES))[:, None]
    moved: Tensor = step(equation, 0.0, here, dt, torch.from_numpy(np.tile(nodes, points))[:, None])
    place, share = moved.numpy().reshape(points, _NODES).clip(-reach, reach), weights / weights.sum()
    u = x**2
    for _ in range(round(HORIZON / dt)):
        u = make_interp_spline(x, u, k=5)(place) @ share
    return float(make_interp_spline(x, u, k=5)(START))


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Distances of x^2 at T between optimizer, SDE and schemes."""
    claims: list[Claim] = []
    numbers: Rows = []
    for index, (lr, wanted) in enumerate(AT_LR.items()):
        meter.update(index / len(AT_LR), f"lr {lr:g}")
        own, model = (float(f(lr, [torch.square])) for f in (of_optimizer, of_sde))
        gap = abs(model - own)
        for parts in [m for m in (1, 2, 4, 8) if m <= size.parts]:
            found = of_scheme(euler_step, lr, lr / parts, points=size.points)
            numbers.append(_row("Euler-Maruyama", lr, lr / parts, found, own, model))
        for dt in (2 * lr, lr):
            found = of_scheme(platen_step, lr, dt, points=size.points)
            numbers.append(_row("Platen, weak order 2", lr, dt, found, own, model))
        at_lr = next(row for row in numbers if row["lr"] == lr and row["dt"] == lr)
        claims.append(
            near(f"Euler at dt = lr = {lr:g}: distance to the optimizer", at_lr["to_optimizer"], wanted, rtol=0.03)
        )
        high = 0.09 if lr > 0.2 else 0.04
        claims.append(
            at_most(
                f"Platen at dt = lr = {lr:g}: distance to the SDE / error of the model",
                numbers[-1]["to_sde"] / gap,
                high,
            )
        )
    coarse = next(row for row in numbers if row["lr"] == 0.0625 and row["scheme"].startswith("Platen"))
    claims.append(
        near(
            "Platen at dt = 2 lr = 1/8: distance to the SDE / error of the model",
            coarse["to_sde"] / 6.07e-3,
            0.07,
            atol=0.02,
        )
    )
    for row in numbers:
        if row["lr"] == 0.0625 and row["scheme"].startswith("Euler"):
            parts = round(0.0625 / row["dt"])
            text = f"Euler at dt = lr/{parts}, lr = 1/16: distance to the SDE"
            claims.append(near(text, row["to_sde"], AT_PARTS[parts], rtol=0.04))
    slope = math.log2(AT_PARTS[1] / AT_PARTS[2])
    found = [row["to_sde"] for row in numbers if row["lr"] == 0.0625][:2]
    claims.append(near("Euler: slope in dt between m = 1 and 2", math.log2(found[0] / found[1]), slope, atol=0.05))
    return Findings(claims, numbers, lambda: draw(numbers))


def _row(scheme: str, lr: float, dt: float, found: float, own: float, model: float) -> dict[str, float | str]:
    gaps = {"to_sde": abs(found - model), "to_optimizer": abs(found - own), "model_error": abs(model - own)}
    return {"scheme": scheme, "lr": lr, "dt": dt, **gaps}


def draw(numbers: Rows) -> "Picture":
    """Distance to the SDE and to the optimizer against dt / lr."""
    caption = (
        "SignSGD on x^2/2, noise of variance 1, x_0 = 1.5, T = 2; E x^2 of every scheme by quadrature. "
        "Dotted: error of the SDE itself."
    )
    picture, axes = panels(2, caption=caption)
    for ax, key, target in zip(axes, ("to_sde", "to_optimizer"), ("SDE", "optimizer"), strict=True):
        for index, lr in enumerate(AT_LR):
            for scheme, fill in (("Euler-Maruyama", "white"), ("Platen, weak order 2", None)):
                rows = [row for row in numbers if (row["scheme"], row["lr"]) == (scheme, lr)]
                style = look(index)
                ax.plot(
                    [row["dt"] / lr for row in rows], [row[key] for row in rows], color=style.color,
                    marker=style.marker, mfc=fill or style.color, ls="-" if fill else "--", ms=5,
                    label=f"{scheme}, lr {lr:g}",
                )  # fmt: skip
            ax.axhline(rows[0]["model_error"], color=look(index).color, lw=0.9, ls=":")
        ax.set(xscale="log", yscale="log", xlabel="dt / learning rate", ylabel=f"|E x^2 (scheme) - E x^2 ({target})|")
        ax.set_title(f"Distance to the {target}")
        ax.set_xticks([0.125, 0.25, 0.5, 1, 2], ["1/8", "1/4", "1/2", "1", "2"])
        ax.xaxis.minorticks_off()
    legend(axes[0], loc="lower left", fontsize=7)
    return picture


run = Experiment(
    "compagnoni2024-e10", SIZES, measure, "Chosen here: h = sigma = 1, observable x^2, accepted 3% and 4%."
)
