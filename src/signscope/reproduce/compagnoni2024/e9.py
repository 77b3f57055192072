"""``compagnoni2024-e9``: weak order of the SDEs of SignSGD and SGD, without sampling; the ODE on the same plot."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, Rows, at_least, near
from signscope.reproduce.compagnoni2024.sign_model import HORIZON, OBSERVABLES, START, flow, of_optimizer, of_sde
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

EXPECTED = {  # model, observable: errors at lr = 1/4, 1/8, ...
    ("SDE", "x"): (3.95e-2, 1.97e-2, 9.87e-3, 4.94e-3, 2.47e-3, 1.24e-3),
    ("SDE", "x^2"): (1.05e-2, 9.86e-3, 6.07e-3, 3.32e-3, 1.73e-3, 8.8e-4),
    ("SDE", "cos 2x"): (3.11e-2, 2.06e-2, 1.17e-2, 6.2e-3, 3.2e-3, 1.6e-3),
    ("SDE of order 2", "x"): (4.3e-3, 1.1e-3, 2.9e-4, 7.3e-5),
    ("ODE", "x^2"): (1.30e-1, 6.18e-2, 3.01e-2),
}
SGD_MEAN = (5.283e-2, 2.590e-2, 1.282e-2, 6.377e-3, 3.180e-3)  # lr = 1/4 ... 1/64
SLOPES = {"SDE": 1.0, "SDE of order 2": 2.0, "ODE": 1.0}


@dataclass(frozen=True)
class Size:
    """How much is run: rates from 1/4 down, ``halvings`` times halved, and the accepted distance of the last slope."""

    halvings: int = 5
    slope_room: float = 0.06


SIZES = {"full": Size(), "small": Size(halvings=3, slope_room=0.2)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Errors |E g(X_T) - E g(x_T)| per rate; exact chain against the backward equation."""
    numbers: Rows = []
    observe = list(OBSERVABLES.values())
    fixed = [float(g(_point(flow(HORIZON)))) for g in observe]
    for k in range(size.halvings + 1):
        lr = 0.25 / 2**k
        meter.update(k / (size.halvings + 1), f"lr 1/{round(1 / lr)}")
        exact = of_optimizer(lr, observe).tolist()
        models = {name: of_sde(lr, observe, order=order).tolist() for name, order in zip(SLOPES, (1, 2), strict=False)}
        for model, values in {**models, "ODE": fixed}.items():
            for name, found, wanted in zip(OBSERVABLES, values, exact, strict=True):
                numbers.append({"model": model, "observable": name, "lr": lr, "error": abs(found - wanted)})
    return Findings([*_values(numbers), *_orders(numbers, size), *_sgd()], numbers, lambda: draw(numbers))


def errors(numbers: Rows, model: str, observable: str) -> list[float]:
    """Errors of one line, from the largest rate on."""
    return [row["error"] for row in numbers if (row["model"], row["observable"]) == (model, observable)]


def _point(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def _values(numbers: Rows) -> list[Claim]:
    claims = []
    for (model, observable), table in EXPECTED.items():
        found = errors(numbers, model, observable)
        worst = max((abs(f / e - 1), f, e) for f, e in zip(found, table, strict=False))
        text = f"{model}, {observable}: error farthest from the expected one"
        claims.append(near(text, worst[1], worst[2], rtol=0.03 if worst[2] > 1e-4 else 0.05))
    return claims


def _orders(numbers: Rows, size: Size) -> list[Claim]:
    claims = []
    for model, order in SLOPES.items():
        for observable in OBSERVABLES:
            if observable == "x^4" and model == "SDE":
                continue  # its signed error crosses zero between lr = 1/8 and 1/16
            coarse, fine = errors(numbers, model, observable)[-2:]
            room = size.slope_room if observable == "x" or order == 2 else 2.5 * size.slope_room
            text = f"{model}, {observable}: slope between the two smallest rates"
            claims.append(near(text, math.log2(coarse / fine), order, atol=room))
    ratio = errors(numbers, "ODE", "x^2")[-1] / errors(numbers, "SDE", "x^2")[-1]
    claims.append(at_least("x^2: error of the ODE over that of the SDE, same slope", ratio, 2.5))
    return claims


def _sgd() -> list[Claim]:
    """Of SGD for h = sigma = 1: both means in closed form."""
    found = [
        abs(math.exp(-HORIZON) - (1 - lr) ** round(HORIZON / lr)) * START for lr in (0.25 / 2**k for k in range(5))
    ]
    worst = max(zip(found, SGD_MEAN, strict=True), key=lambda pair: abs(pair[0] / pair[1] - 1))
    slopes = [math.log2(a / b) for a, b in pairwise(found)]
    return [
        near("SGD, x: error farthest from the expected one", *worst, rtol=2e-3),
        near("SGD, x: last slope", slopes[-1], 1.0, atol=0.02),
    ]


def draw(numbers: Rows) -> "Picture":
    """Errors against the rate: the mean left, the second moment right."""
    caption = (
        "SignSGD on x^2/2, noise of variance 1, x_0 = 1.5, T = 2. Exact law of the optimizer against the "
        "backward equation of each model. Grey: slopes 1 and 2."
    )
    picture, axes = panels(2, caption=caption)
    for ax, observable in zip(axes, ("x", "x^2"), strict=True):
        rates = sorted({row["lr"] for row in numbers}, reverse=True)
        for index, model in enumerate(SLOPES):
            style = look(index)
            found = errors(numbers, model, observable)
            ax.plot(rates, found, color=style.color, ls=style.dash, marker=style.marker, ms=4.5, label=model)
        for order in (1, 2):
            top = errors(numbers, "SDE" if order == 1 else "SDE of order 2", observable)[0]
            ax.plot(rates, [1.4 * top * (lr / rates[0]) ** order for lr in rates], color="#999999", lw=0.9, ls=":")
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="learning rate",
            ylabel=f"|E {observable} (model) - E {observable} (SignSGD)|",
        )
        ax.set_title(f"Weak error of {observable} at time lr*steps = {HORIZON:g}")
        legend(ax)
    return picture


run = Experiment("compagnoni2024-e9", SIZES, measure, "Chosen here: accepted distances, 3% on errors, 0.06 on slopes.")
