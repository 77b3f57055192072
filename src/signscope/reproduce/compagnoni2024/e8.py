"""``compagnoni2024-e8``: batch-size rules, with each part of a rule left out, noise dominating and not."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from signscope._core.progress import Meter
from signscope.problems.landscapes import Quadratic
from signscope.reproduce.claims import Claim, Rows, at_least, at_most
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes import expected
from signscope.sdes.scaling import Hyperparameters, scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

CURVATURES = (0.5, 1.0, 2.0, 4.0)
DECAY = 0.3
OPTIMIZERS = {"sgd": "SGD", "signsgd": "SignSGDW", "rmspropw": "RMSpropW", "adamw": "AdamW"}
REGIMES = {"noise dominated": (20.0, 0.3), "moderate": (2.0, 0.4)}  # sigma, start
BETAS, EPS = (0.99, 0.999), 1e-8
GRID = 40


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        num_steps: Steps at the old batch.
        lr: Rate at the old batch; that of SGD is divided by the noise.
        deltas: How many times larger the new batches are.
        regimes: Noise levels.
    """

    num_steps: int = 9_600
    lr: float = 0.001
    deltas: tuple[int, ...] = (4, 16)
    regimes: tuple[str, ...] = tuple(REGIMES)


SIZES = {"full": Size(), "small": Size(num_steps=2_400, lr=0.004, deltas=(4,), regimes=("noise dominated",))}


def curve(optimizer: str, hyper: Hyperparameters, sigma: float, start: float, num_steps: int) -> Tensor:
    """Mean loss at `GRID` + 1 equal times, by the recursion of the method."""
    options: dict[str, Any] = {"optimizer": optimizer, "lr": hyper.lr, "noise": sigma, "num_steps": num_steps}
    if optimizer != "sgd":
        options["weight_decay"] = hyper.weight_decay
    if optimizer in ("rmspropw", "adamw"):
        options |= {"betas": hyper.betas, "eps": hyper.eps, "bias_correction": False}
    times = [k * num_steps // GRID for k in range(GRID + 1)]
    return expected(Quadratic(CURVATURES), [start] * len(CURVATURES), times=times, **options).loss.value


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Distances of curve and late loss from those at the old batch, per variant of the rule."""
    numbers: Rows = []
    curves: dict[tuple[str, str], Tensor] = {}
    jobs = [(regime, optimizer) for regime in size.regimes for optimizer in OPTIMIZERS]
    for index, (regime, optimizer) in enumerate(jobs):
        meter.update(index / len(jobs), f"{OPTIMIZERS[optimizer]}, {regime}")
        sigma, start = REGIMES[regime]
        base = Hyperparameters(size.lr / sigma) if optimizer == "sgd" else Hyperparameters(size.lr, BETAS, DECAY, EPS)
        for eps in (EPS, *([sigma / 2] if _adaptive(optimizer) and regime == "noise dominated" else [])):
            old = replace(base, eps=eps)
            reference = curve(optimizer, old, sigma, start, size.num_steps)
            if eps == EPS:
                curves[regime, f"{optimizer}, batch x 1"] = reference
            for delta in size.deltas:
                for variant, new in _variants(optimizer, old, delta, has_eps=eps != EPS).items():
                    found = curve(optimizer, new, sigma / delta**0.5, start, size.num_steps // delta)
                    curves[regime, f"{optimizer}, batch x {delta}, {variant}"] = found
                    where = {"regime": regime, "optimizer": optimizer, "delta": delta, "variant": variant}
                    numbers.append({**where, **_distance(found, reference)})
    return Findings([*_kept(numbers), *_broken(numbers)], numbers, lambda: draw(curves, size))


def _adaptive(optimizer: str) -> bool:
    return optimizer in ("rmspropw", "adamw")


def _variants(optimizer: str, old: Hyperparameters, delta: float, *, has_eps: bool) -> dict[str, Hyperparameters]:
    new = scaled(optimizer, old, delta)
    if has_eps:
        return {"rule, eps = sigma/2": new, "eps unscaled": scaled(optimizer, old, delta, leave=("eps",))}
    other = delta**0.5 if optimizer == "sgd" else delta
    found = {"rule": new, "other power of delta": replace(new, lr=old.lr * other)}
    if optimizer != "sgd":
        found["decay unscaled"] = scaled(optimizer, old, delta, leave=("weight_decay",))
    if optimizer == "adamw":
        found["betas unscaled"] = scaled(optimizer, old, delta, leave=("betas",))
    return found


def _distance(found: Tensor, reference: Tensor) -> dict[str, float]:
    late = slice(-GRID // 8, None)
    curve_gap = float((found - reference).norm() / reference.norm())
    return {"curve": curve_gap, "late": float(found[late].mean() / reference[late].mean() - 1)}


def _kept(numbers: Rows) -> list[Claim]:
    claims = []
    for row in (row for row in numbers if row["variant"].startswith("rule")):
        head = f"{OPTIMIZERS[row['optimizer']]}, {row['regime']}, batch x {row['delta']}, {row['variant']}"
        if row["regime"] == "noise dominated":
            claims.append(at_most(f"{head}: L2 distance of the curves", row["curve"], 0.015))
        room = 0.015 if row["regime"] == "noise dominated" else 0.03
        claims.append(at_most(f"{head}: distance of the late loss", abs(row["late"]), room))
    return claims


def _broken(numbers: Rows) -> list[Claim]:
    """What must go wrong: other powers, decay or eps unscaled, and the transient at moderate noise."""
    claims = []
    for row in numbers:
        head = f"{OPTIMIZERS[row['optimizer']]}, {row['regime']}, batch x {row['delta']}"
        if row["regime"] == "noise dominated" and row["variant"] in (
            "other power of delta",
            "decay unscaled",
            "eps unscaled",
        ):
            claims.append(at_least(f"{head}, {row['variant']}: distance of the late loss", abs(row["late"]), 0.15))
        if row["regime"] == "moderate" and row["variant"] == "rule" and row["optimizer"] != "sgd":
            text = f"{head}: L2 distance of the curves, outside the regime"
            claims.append(at_least(text, row["curve"], 0.02))
    return claims


def draw(curves: dict[tuple[str, str], Tensor], size: Size) -> "Picture":
    """AdamW and SignSGDW against samples seen, by the rule and without parts of it."""
    caption = (
        "Mean loss by recursion (SignSGD: Gaussian closure; AdamW: V at its mean), d = 4. A batch delta times "
        "larger makes as many times fewer steps."
    )
    picture, axes = panels(3, caption=caption, width=4.6)
    shown = (("noise dominated", "adamw"), ("noise dominated", "signsgd"), (size.regimes[-1], "adamw"))
    samples = [k * size.num_steps / GRID for k in range(GRID + 1)]
    for ax, (regime, optimizer) in zip(axes, shown, strict=True):
        index = 0
        for (where, name), value in curves.items():
            hidden = "eps" in name or ("x 16" in name and not name.endswith(" rule"))
            if where != regime or not name.startswith(optimizer) or hidden:
                continue
            style = look(index)
            ax.plot(samples, value.tolist(), color=style.color, ls=style.dash, label=name.partition(", ")[2])
            index += 1
        ax.set(yscale="log", xlabel="samples seen / old batch size", ylabel="mean loss E f - f*")
        ax.set_title(f"{OPTIMIZERS[optimizer]}, {regime}")
        legend(ax, fontsize=7.5)
    return picture


run = Experiment(
    "compagnoni2024-e8",
    SIZES,
    measure,
    "Chosen here: curvatures 0.5 to 4, lr 0.001 (SGD: over sigma), betas (0.99, 0.999), decay 0.3; eps = sigma/2 where "
    "its scaling is tried.",
)
