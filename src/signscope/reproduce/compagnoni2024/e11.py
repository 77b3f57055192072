"""``compagnoni2024-e11``: learning rates that fall like 1/t, and a noise that changes in time, under SignSGD."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.problems.landscapes import Quadratic
from signscope.problems.oracle_noise import GaussianNoise
from signscope.reproduce.claims import Claim, Rows, at_most, near
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes import expected, solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

STDS, START = (0.5, 3.2), (0.1, 0.3)  # h = 1: q = 2 sqrt(2/pi) / sigma is 3.19 and 0.499
METHODS = {"signsgd": "SignSGD", "adamw": "AdamW"}


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        lr: eta.
        horizon: End of the run with u = 1/(1 + t), in lr*steps.
        slope_room: Accepted distance of the late slopes.
        num_runs: Paths of the SDE under the cosine and the oscillating noise.
        tolerance: Accepted L2 distance of its loss curve from the recursion.
    """

    lr: float = 0.01
    horizon: float = 200.0
    slope_room: float = 0.03
    num_runs: int = 4_000
    tolerance: float = 0.03


SIZES = {"full": Size(), "small": Size(lr=0.02, horizon=40.0, slope_room=0.1, num_runs=300, tolerance=0.12)}


def power(std: float) -> float:
    """Exponent q = 2a of the linearised second moment."""
    return 2 * math.sqrt(2 / math.pi) / std


def formula(time: Tensor, q: float, start: float, lr: float) -> Tensor:
    """E x^2 of the linearised SDE under u = 1/(1 + t)."""
    return (1 + time) ** -q * start**2 + lr * ((1 + time) ** -1 - (1 + time) ** -q) / (q - 1)


def falling(optimizer: str, size: Size) -> tuple[Tensor, Tensor]:
    """Times and E x^2 per coordinate (one noise each) under u = 1/(1 + t), by the closure or exactly."""
    steps = round(size.horizon / size.lr)
    times = sorted({0, *torch.logspace(0, math.log10(steps), 60).round().int().tolist(), steps // 2, steps})
    noise = GaussianNoise(2, std=list(STDS))
    loss = Quadratic([1.0, 1.0])
    options: dict[str, Any] = {"noise": noise, "lr": size.lr, "num_steps": steps, "times": times}
    found = expected(loss, START, optimizer=optimizer, schedule=lambda t: 1 / (1 + t), **options)
    return found.time, found.mean.square() + found.variance


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Falling rates without sampling; then the SDE under a cosine and oscillating noise against the recursion."""
    claims: list[Claim] = []
    numbers: Rows = []
    for k, (optimizer, label) in enumerate({"signsgd": "SignSGD", "sgd": "SGD"}.items()):
        meter.update(0.3 * k, label)
        time, square = falling(optimizer, size)
        middle = int((time - 0.5 * time[-1]).abs().argmin())
        for index, std in enumerate(STDS):
            own = square[:, index]
            slope = float(torch.log(own[-1] / own[middle]) / torch.log((1 + time[-1]) / (1 + time[middle])))
            q = power(std) if optimizer == "signsgd" else 2.0
            text = f"{label}, sigma {std:g}, q = {q:.3g}: late slope of E x^2 in 1 + t"
            claims.append(near(text, slope, -min(q, 1.0), atol=size.slope_room))
            theory = (
                formula(time, q, START[index], size.lr) if optimizer == "signsgd" else torch.full_like(own, math.nan)
            )
            if optimizer == "signsgd":
                worst = float((own / theory - 1).abs().max())
                claims.append(
                    at_most(
                        f"{label}, sigma {std:g}: largest relative distance from the linearised formula", worst, 0.04
                    )
                )
            rows = zip(time.tolist(), own.tolist(), theory.tolist(), strict=True)
            numbers += [{"part": label, "std": std, "time": t, "value": v, "theory": w} for t, v, w in rows]
    for k, (optimizer, label) in enumerate(METHODS.items()):
        meter.update(0.6 + 0.2 * k, label)
        pair = changing(optimizer, size, seed)
        gap = float((pair["sde"] - pair["recursion"]).norm() / pair["recursion"].norm())
        claims.append(
            at_most(
                f"{label}, cosine rate and oscillating noise: L2 distance of SDE and recursion", gap, size.tolerance
            )
        )
        rows = zip(*(pair[name].tolist() for name in ("time", "recursion", "sde")), strict=True)
        numbers += [{"part": f"{label}, cosine", "time": t, "value": v, "theory": w} for t, v, w in rows]
    return Findings(claims, numbers, lambda: draw(numbers, size))


def changing(optimizer: str, size: Size, seed: int) -> dict[str, Tensor]:
    """Loss under u = (1 + cos(pi t / 4)) / 2 and sigma(t) = 1 + 0.8 sin(3t), by recursion and by paths of the SDE."""
    noise = GaussianNoise(2, std=1.0, scale=lambda t: 1 + 0.8 * math.sin(3 * float(t)))
    common: dict[str, Any] = {
        "optimizer": optimizer, "noise": noise, "lr": 0.01, "horizon": 4.0, "times": list(range(0, 401, 10)),
        "schedule": lambda t: 0.5 * (1 + math.cos(math.pi * float(t) / 4)),
    }  # fmt: skip
    if optimizer == "adamw":
        common |= {"betas": (0.9, 0.98), "weight_decay": 0.2, "bias_correction": False}
    loss, start = Quadratic([1.0, 3.0]), [0.4, 0.2]
    own = expected(loss, start, **common)
    model = solve(loss, start, num_paths=size.num_runs, seed=seed, substeps=4, **common)
    return {"time": own.time, "recursion": own.loss.value, "sde": model.loss.value}


def draw(numbers: Rows, size: Size) -> "Picture":
    """Falling rates left, cosine and oscillating noise right."""
    caption = (
        f"Left: h = 1, lr {size.lr:g}/(1 + t); markers: Gaussian closure (SGD: exact), lines: linearised "
        f"moments. Right: noise 1 + 0.8 sin 3t; lines: recursion, markers: SDE, {size.num_runs} paths."
    )
    picture, (left, right) = panels(2, caption=caption)
    index = 0
    for label in ("SignSGD", "SGD"):
        for std in STDS:
            rows = [r for r in numbers if r["part"] == label and r["std"] == std]
            style, time = look(index), [1 + r["time"] for r in rows]
            left.plot(
                time,
                [r["value"] for r in rows],
                style.marker,
                color=style.color,
                mfc="white",
                ms=4,
                label=f"{label}, noise {std:g}",
            )
            left.plot(time, [r["theory"] for r in rows], color=style.color, lw=1.5)
            index += 1
    left.set(xscale="log", yscale="log", xlabel="1 + t, t = lr*steps", ylabel="E x^2")
    left.set_title("Strong noise costs SignSGD the rate 1/t")
    for k, label in enumerate(METHODS.values()):
        rows = [r for r in numbers if r["part"] == f"{label}, cosine"]
        time = [r["time"] for r in rows]
        right.plot(time, [r["value"] for r in rows], color=look(k).color, label=label)
        right.plot(time, [r["theory"] for r in rows], look(k).marker, color=look(k).color, mfc="white", ms=4)
    right.set(yscale="log", xlabel="time, lr*steps", ylabel="mean loss E f - f*")
    right.set_title("Cosine rate, noise that oscillates")
    for ax in (left, right):
        legend(ax)
    return picture


run = Experiment(
    "compagnoni2024-e11",
    SIZES,
    measure,
    "Chosen here: noise 0.5 and 3.2 (q = 3.19 and 0.499), h = 1; second part h = (1, 3).",
)
