"""``compagnoni2024-e5``: heavy tails and skewed noise, SGD by its median loss against SignSGD by its exact law."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from signscope._core.progress import Meter
from signscope.problems.landscapes import Quadratic
from signscope.reproduce.claims import Claim, Rows, at_most, near
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes.moments import chain_stationary
from signscope.simulation.descent import descend

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

FINE, LR = 0.001, 0.01
DOFS = (0.5, 1.0, 2.0, 3.0)
FIXED = {"centred Gumbel": 0.21059, "centred exponential": 0.30660}  # exact mean at lr 0.001
STEPS = 1_000


@dataclass(frozen=True)
class Size:
    """How much is run: ``num_runs`` per law; ``tolerance`` on SGD's median loss under Cauchy noise."""

    num_runs: int = 20_000
    tolerance: float = 0.1


SIZES = {"full": Size(), "small": Size(num_runs=1_000, tolerance=0.45)}


def laws() -> dict[str, Any]:
    """Frozen laws of scipy, mean 0 where there is a mean."""
    from scipy import stats

    student = {f"Student-t, nu = {dof:g}": stats.t(dof) for dof in DOFS}
    skewed = {"centred Gumbel": stats.gumbel_r(-np.euler_gamma), "centred exponential": stats.expon(-1)}
    return {"Gaussian": stats.norm(), **student, "Laplace": stats.laplace(), **skewed}


def stationary(law: Any, lr: float) -> tuple[float, float]:
    """Mean and variance of SignSGD on x^2/2 in the long run, exactly."""

    def up(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(law.cdf(-x.numpy()))

    x, p = chain_stationary(up, lr=lr, reach=0.5 + 12 * lr**0.5)
    mean = (p * x).sum()
    return float(mean), float((p * (x - mean).square()).sum())


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Fixed points and variances exactly; median losses of both optimizers by simulation."""
    claims: list[Claim] = []
    numbers: Rows = []
    for label, law in laws().items():
        mean, variance = stationary(law, FINE)
        median = float(law.median())
        ratio = variance * 4 * float(law.pdf(median)) / FINE
        numbers.append({"part": "law", "law": label, "mean": mean, "minus_median": -median, "ratio": ratio})
        if label in FIXED:
            claims.append(near(f"{label}: mean of SignSGD at lr 0.001", mean, FIXED[label], atol=2e-5))
            claims.append(near(f"{label}: the same against -median", mean, -median, atol=5e-4))
        if label != "Student-t, nu = 0.5":
            high = 0.02 if label == "Laplace" else 1e-3
            claims.append(near(f"{label}: variance over lr / (4 p(median) h)", ratio, 1.0, atol=high))
    for index, dof in enumerate(DOFS):
        meter.update(index / len(DOFS), f"nu = {dof:g}")
        numbers.append({"part": "runs", "dof": dof, **_medians(dof, LR, size, seed)})
    claims += _runs(numbers, size, seed)
    return Findings(claims, numbers, lambda: draw(numbers, size))


def _medians(dof: float, lr: float, size: Size, seed: int) -> dict[str, float]:
    """Median of x^2/2 over runs after `STEPS` steps."""
    found = {}
    for optimizer in ("sgd", "signsgd"):
        runs = descend(
            Quadratic([1.0]), [0.0], optimizer=optimizer, noise=f"student-t:{dof:g}", lr=lr, num_steps=STEPS,
            times=[STEPS], num_paths=size.num_runs, seed=seed,
        )  # fmt: skip
        assert runs.loss.runs is not None
        found[optimizer] = float(runs.loss.runs[:, -1].median())
    return found


def _runs(numbers: Rows, size: Size, seed: int) -> list[Claim]:
    """Under Cauchy noise SGD's law in the long run is Cauchy of scale 1 at any rate: median loss 1/2."""
    found = {row["dof"]: row for row in numbers if row["part"] == "runs"}
    faster = _medians(1.0, 0.05, size, seed + 1)["sgd"]
    claims = [
        near("Cauchy noise, lr 0.01: median loss of SGD", found[1.0]["sgd"], 0.5, rtol=size.tolerance),
        near("Cauchy noise, lr 0.05: median loss of SGD, the same", faster, 0.5, rtol=size.tolerance),
    ]
    for dof in (0.5, 1.0):
        text = f"nu = {dof:g}: median loss of SignSGD over that of SGD"
        claims.append(at_most(text, found[dof]["signsgd"] / found[dof]["sgd"], 0.02))
    return claims


def draw(numbers: Rows, size: Size) -> "Picture":
    """Median losses left; fixed points right."""
    caption = (
        f"f = x^2/2, scale 1. Left: median over {size.num_runs:,} runs after {STEPS} steps from 0, lr {LR:g}. "
        f"Right: mean of SignSGD in the long run, exact, lr {FINE:g}."
    )
    picture, (left, right) = panels(2, caption=caption)
    rows = [row for row in numbers if row["part"] == "runs"]
    for index, (key, name) in enumerate({"sgd": "SGD", "signsgd": "SignSGD"}.items()):
        style = look(index)
        left.plot(
            [r["dof"] for r in rows],
            [r[key] for r in rows],
            color=style.color,
            ls=style.dash,
            marker=style.marker,
            label=name,
        )
    left.axhline(0.5, color="#999999", lw=0.9, ls=":", label="Cauchy, any rate: 1/2")
    left.set(yscale="log", xlabel="degrees of freedom nu of the noise", ylabel="median loss f - f*")
    left.set_title("Heavy tails reach SGD, not SignSGD")
    legend(left)
    shown = [row for row in numbers if row["part"] == "law"]
    right.plot(
        [r["minus_median"] for r in shown],
        range(len(shown)),
        "o",
        mfc="white",
        ms=9,
        color=look(0).color,
        label="- median of the noise / h",
    )
    right.plot([r["mean"] for r in shown], range(len(shown)), "x", color=look(1).color, label="mean of SignSGD")
    right.set_yticks(range(len(shown)), [r["law"] for r in shown], fontsize=8)
    right.set(xlabel="position x (the minimum is at 0)", xlim=(-0.05, 0.4))
    right.set_title("Skewed noise moves the fixed point")
    legend(right, loc="center right")
    return picture


run = Experiment(
    "compagnoni2024-e5",
    SIZES,
    measure,
    "Chosen here: h = 1, laws of scale 1, median of the loss for SGD because its mean does not exist for nu <= 2.",
)
