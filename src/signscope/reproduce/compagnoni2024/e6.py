"""``compagnoni2024-e6``: the forms of the SDEs of RMSprop and Adam, mean loss and variance, at two noise levels."""

import math
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope.problems.landscapes import Quadratic
from signscope.reproduce.claims import Claim, Rows, near
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes import solve
from signscope.sdes.moments import Averaged, adaptive_moments, frozen_variance, sde_moments
from signscope.simulation.descent import descend

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

FORMS = {
    "published": "stated",
    "augmented": "augmented",
    "recommended": "recommended",
    "older": "older",
}
EXPECTED = {  # lr, beta1, sigma: late relative error of the loss, order of FORMS
    (0.0025, 0.9, 1.0): (-0.185, -0.005, -0.001, 0.001),
    (0.0025, 0.9, 0.3): (-0.204, -0.016, -0.002, 0.037),
    (0.0025, 0.99, 1.0): (-0.025, -0.006, -0.001, 0.001),
    (0.0025, 0.99, 0.3): (-0.035, -0.016, -0.001, 0.033),
    (0.01, 0.9, 1.0): (-0.207, -0.022, -0.003, 0.003),
    (0.01, 0.9, 0.3): (-0.240, -0.057, -0.007, 0.037),
}
ATTAINED = {1.0: 0.022, 0.3: 0.099}  # L2 error of the loss curve of the older form, lr 0.0025, beta1 0.9
FROZEN = {"discrete": 5.00131614e-3, "published": 4.00990099e-3, "augmented": 4.95544554e-3, "recommended": 5e-3}  # R7
START = {1.0: 0.3, 0.3: 1.0}
HORIZON = 4.0
DIM = 4


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        settings: How many rows of the table, from the first.
        substeps: Steps of Heun's method per step of the optimizer.
        num_runs: Runs and paths behind the variances.
        tolerance: Accepted distance of a ratio of variances from 1, V noise on.
    """

    settings: int = 6
    substeps: int = 2
    num_runs: int = 20_000
    tolerance: float = 0.06


SIZES = {"full": Size(), "small": Size(settings=1, substeps=1, num_runs=1_000, tolerance=0.2)}


def loss_curves(lr: float, beta1: float, sigma: float, *, substeps: int) -> dict[str, Tensor]:
    """Mean loss at every step of the optimizer and of the four forms, V at its mean, no sampling."""
    hessian = torch.diag(torch.from_numpy(torch.logspace(math.log10(0.5), math.log10(5), DIM).double().numpy()))
    cov = sigma**2 * torch.eye(DIM, dtype=torch.float64)
    start = torch.full((DIM,), START[sigma], dtype=torch.float64)
    setting = Averaged((beta1, 1 - 2 * lr), weight_decay=0.2, bias_correction=False)
    steps = round(HORIZON / lr)
    own = adaptive_moments(hessian, cov, start, repeat((lr, 1.0), steps + 1), setting)
    common = {"lr": lr, "num_steps": steps, "substeps": substeps}
    moments = {"optimizer": own, **{f: sde_moments(hessian, cov, start, setting, form=f, **common) for f in FORMS}}
    return {
        name: torch.stack([0.5 * (m @ hessian @ m + (hessian * v).sum()) for m, v in each])
        for name, each in moments.items()
    }


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Loss curves of every form; frozen variances; Var(X) with and without noise in V."""
    claims: list[Claim] = []
    numbers: Rows = []
    for index, ((lr, beta1, sigma), wanted) in enumerate(list(EXPECTED.items())[: size.settings]):
        meter.update(0.6 * index / size.settings, f"beta1 {beta1:g}, sigma {sigma:g}")
        found = loss_curves(lr, beta1, sigma, substeps=size.substeps)
        claims += _judge((lr, beta1, sigma), found, wanted)
        keep = range(0, len(found["optimizer"]), 10)
        where = {"lr": lr, "beta1": beta1, "sigma": sigma}
        numbers += [{**where, "time": lr * k, **{name: float(v[k]) for name, v in found.items()}} for k in keep]
    for form, value in FROZEN.items():
        exact = frozen_variance(1.0, lr=0.01, beta1=0.9, form=form)
        claims.append(near(f"frozen V, beta1 0.9: stationary variance, {form}", exact, value, rtol=1e-7))
    spreads = spread_ratios(size, seed)
    for curvature, (without, with_noise) in spreads.items():
        text = f"RMSprop, h = {curvature:g}: Var(X) of the SDE / of the optimizer, farthest from 1"
        claims.append(Claim(f"{text}, no noise in V", without, low=1.25, high=1.9))
        claims.append(near(f"{text}, noise in V", with_noise, 1.0, atol=size.tolerance))
    return Findings(claims, numbers, lambda: draw(numbers, spreads))


def _judge(setting: tuple[float, float, float], found: dict[str, Tensor], wanted: tuple[float, ...]) -> list[Claim]:
    lr, beta1, sigma = setting
    own, head = found["optimizer"], f"lr {lr:g}, beta1 {beta1:g}, sigma {sigma:g}"
    late = slice(-len(own) // 10, None)
    claims = [
        near(
            f"{head}: late relative error of the loss, {name}",
            float(found[form][late].mean() / own[late].mean() - 1),
            value,
            atol=0.012,
        )
        for (form, name), value in zip(FORMS.items(), wanted, strict=True)
    ]
    if (lr, beta1) == (0.0025, 0.9):
        error = float((found["older"] - own).norm() / own.norm())
        claims.append(near(f"{head}: L2 error of the loss curve, older form", error, ATTAINED[sigma], rtol=0.15))
    return claims


def spread_ratios(size: Size, seed: int) -> dict[float, tuple[float, float]]:
    """Largest Var(X) ratio over time of RMSprop's SDE without and with noise in V; sigma = 0.25, x0 = 1."""
    ratios = {}
    for curvature in (1.0, 2.0):
        lr, times = 0.004, [100, 200, 300]
        common = {
            "optimizer": "rmsprop", "noise": 0.25, "lr": lr, "num_steps": 300, "betas": (0.9, 1 - 2 * lr),
            "times": times, "num_paths": size.num_runs,
        }  # fmt: skip
        loss = Quadratic([curvature])
        own = descend(loss, [1.0], seed=seed, **common).variance[:, 0]
        models = [
            solve(loss, [1.0], seed=seed + 1, v_noise=v_noise, substeps=4, **common).variance[:, 0] / own
            for v_noise in (False, True)
        ]
        ratios[curvature] = tuple(float(m[(m - 1).abs().argmax()]) for m in models)
    return ratios


def draw(numbers: Rows, spreads: dict[float, tuple[float, float]]) -> "Picture":
    """Loss curves at both noise levels, then the variances."""
    caption = (
        "Adam, lr 0.0025, beta1 0.9, decay 0.2, d = 4, curvatures 0.5 to 5; moments for the mean of V, no "
        "sampling. Right: RMSprop, sigma 0.25, start 1, Monte Carlo."
    )
    picture, axes = panels(3, caption=caption, width=4.6)
    for ax, sigma in zip(axes, (1.0, 0.3), strict=False):
        rows = [r for r in numbers if (r["lr"], r["beta1"], r["sigma"]) == (0.0025, 0.9, sigma)]
        for index, (form, name) in enumerate({"optimizer": "Adam itself", **FORMS}.items()):
            style = look(index)
            ax.plot([r["time"] for r in rows], [r[form] for r in rows], color=style.color, ls=style.dash, label=name)
        ax.set(yscale="log", xlabel="time, lr*steps", ylabel="mean loss E f - f*")
        ax.set_title(f"Adam, noise {sigma:g}, start {START[sigma]:g}")
        if rows:
            legend(ax)
    for index, pair in enumerate(spreads.values()):
        axes[2].bar([index - 0.2, index + 0.2], pair, width=0.36, color=[look(1).color, look(0).color])
    axes[2].axhline(1, color="#333333", lw=1)
    axes[2].set_xticks(range(len(spreads)), [f"h = {h:g}" for h in spreads])
    axes[2].set(xlabel="curvature", ylabel="Var(X), SDE / RMSprop", ylim=(0, None))
    axes[2].set_title("Orange: V without noise; blue: with")
    return picture


run = Experiment(
    "compagnoni2024-e6",
    SIZES,
    measure,
    "Chosen here: curvatures 0.5 to 5 in equal ratios, beta2 = 1 - 2 lr; late: the last tenth.",
)
