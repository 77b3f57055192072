"""``compagnoni2024-e3``: the mean loss of SignSGD and of its SDE under the bounds of the phases."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near
from signscope.reproduce.compagnoni2024.sign_model import coefficients
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes.loss_bounds import BoundedLoss, chord_slope, phase_one_bound, sign_loss_bound
from signscope.sdes.moments import chain_laws, expectations, gaussian_up

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LR = 0.01
PHASE_THREE, PHASE_ONE, SMALL_NOISE = 0.95, 6.0, 0.05  # |Y_0| of the first part; start and noise std of the second
CONSTANTS = {1.0: 0.595880, 1.5: 0.455426}  # largest |Y| -> kappa


@dataclass(frozen=True)
class Size:
    """How much is run: ``times`` at which the SDE is solved up to lr*steps = ``horizon``."""

    times: int = 16
    horizon: float = 3.2


SIZES = {"full": Size(), "small": Size(times=4, horizon=1.6)}


def optimizer_loss(start: float, std: float, *, num_steps: int) -> Tensor:
    """Exact mean of x^2/2 after 0, 1, ..., ``num_steps`` steps."""
    laws = chain_laws(start, gaussian_up(1, std), lr=LR, num_steps=num_steps)
    return torch.stack([0.5 * (p * x * x).sum() for x, p in laws])


def sde_loss(start: float, std: float, time: float) -> float:
    """Mean of x^2/2 of the SDE at ``time``."""
    drift, variance = coefficients(lr=LR, std=std)
    reach = abs(start) + 1.5
    return float(expectations(drift, variance, [lambda x: 0.5 * x * x], start, horizon=time, reach=reach))


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """One coordinate, h = 1: from |Y| = 0.95 against the bounds of phase 3, from far away against those of phase 1."""
    start = PHASE_THREE * math.sqrt(2)
    problem = BoundedLoss(gap=0.5 * start**2, mu=1.0, trace=1.0, std_max=1.0, lr=LR)
    steps = round(size.horizon / LR)
    time = LR * torch.arange(steps + 1, dtype=torch.float64)
    own = optimizer_loss(start, 1.0, num_steps=steps)
    bounds = {
        "stated": sign_loss_bound(problem, time, form="stated phase 3").value,
        "corrected": sign_loss_bound(problem, time, largest_ratio=math.sqrt(2)).value,
    }
    rows: Rows = []
    for k in range(0, steps + 1, steps // size.times):
        meter.update(k / steps)
        model = float(own[0]) if k == 0 else sde_loss(start, 1.0, float(time[k]))
        values = {name: float(bound[k]) for name, bound in bounds.items()}
        rows.append({"part": "phase 3", "time": float(time[k]), "optimizer": float(own[k]), "sde": model, **values})
    claims = _phase_three(rows, own, bounds)
    far, more = _phase_one()
    claims += [
        near(f"chord constant up to |Y| = {y:g}", chord_slope(y * math.sqrt(2)), k, atol=1e-6)
        for y, k in CONSTANTS.items()
    ]
    return Findings([*claims, *more], [*rows, *far], lambda: draw(rows, far))


def _phase_three(rows: Rows, own: Tensor, bounds: dict[str, Tensor]) -> list[Claim]:
    stated, corrected = bounds.values()
    worst = {key: max(row["sde"] / row[key] for row in rows) for key in bounds}
    return [
        at_least("from |Y| = 0.95: SDE over the stated bound, largest (the bound is violated)", worst["stated"], 1.1),
        at_least("from |Y| = 0.95: optimizer over the stated bound, largest", float((own / stated).max()), 1.1),
        at_most("from |Y| = 0.95: SDE over the corrected bound, largest", worst["corrected"], 1.0 + 1e-6),
        at_most(
            "from |Y| = 0.95: optimizer over the corrected bound, largest", float((own / corrected).max()), 1.0 + 1e-6
        ),
    ]


def _phase_one() -> tuple[Rows, list[Claim]]:
    """From x = 6 sigma-free: noise 0.05, so that |Y| > 3/2 until x = 0.1; the flow of signs attains the sharp bound."""
    problem = BoundedLoss(gap=0.5 * PHASE_ONE**2, mu=1.0, trace=1.0, std_max=SMALL_NOISE, lr=LR)
    steps = round((PHASE_ONE - 3 * SMALL_NOISE) / LR)
    time = LR * torch.arange(steps + 1, dtype=torch.float64)
    own = optimizer_loss(PHASE_ONE, SMALL_NOISE, num_steps=steps)
    sharp, stated = (phase_one_bound(problem, time, form=form).value for form in ("sharp", "stated"))
    flow = 0.5 * (PHASE_ONE - time) ** 2
    rows = [
        {"part": "phase 1", "time": float(t), "optimizer": float(a), "sharp": float(b), "stated": float(c)}
        for t, a, b, c in list(zip(time, own, sharp, stated, strict=True))[:: steps // 60]
    ]
    ends = [2 * math.sqrt(problem.gap), math.sqrt(2 * problem.gap)]
    return rows, [
        at_most(
            "phase 1, d = 1: sharp bound / flow of signs, farthest from 1", float((sharp / flow - 1).abs().max()), 1e-9
        ),
        at_most("phase 1: optimizer / sharp bound, largest", float((own / sharp).max()), 1.001),
        at_most("phase 1: optimizer / stated bound, largest", float((own / stated).max()), 1.0 + 1e-9),
        near("phase 1: end by the stated bound / by the sharp one", ends[0] / ends[1], math.sqrt(2), rtol=1e-12),
    ]


def draw(rows: Rows, far: Rows) -> "Picture":
    """Phase 3 left, phase 1 right."""
    caption = (
        f"f = x^2/2, lr {LR:g}. Optimizer: exact law on its lattice. SDE: backward equation. Left: noise std "
        f"1, Y_0 = 0.95. Right: noise std {SMALL_NOISE:g}, x_0 = {PHASE_ONE:g}."
    )
    picture, (left, right) = panels(2, caption=caption)
    for ax, part, keys in (
        (left, rows, ("optimizer", "sde", "stated", "corrected")),
        (right, far, ("optimizer", "stated", "sharp")),
    ):
        for index, key in enumerate(keys):
            style = look(index)
            name = {"optimizer": "SignSGD", "sde": "SDE"}.get(key, f"bound, {key}")
            ax.plot(
                [r["time"] for r in part], [r[key] for r in part], color=style.color, ls=style.dash, lw=1.9, label=name
            )
        ax.set(yscale="log", xlabel="time, lr*steps", ylabel="mean loss E f - f*")
        legend(ax)
    left.set_title("Phase 3: the stated bound is violated")
    right.set_title("Phase 1: stated and sharp bound")
    return picture


run = Experiment(
    "compagnoni2024-e3", SIZES, measure, "Chosen here: one coordinate, h = 1, lr 0.01; violation means by 10% or more."
)
