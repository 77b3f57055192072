"""``tao2026-correlated-noise``: noise whose coordinates are correlated, which a separable model leaves out."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.bounds import Constants, density, signsgd_bound
from signscope.bounds.instances import sharp_coordinates
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.tao2026 import toys

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LABELS = ("SGD", "signSGD")
CORRELATIONS = (0.0, 0.5, 0.99)
RATES = {"SGD": 0.5, "signSGD": 0.01}  # of the first part
START = 1.15


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates.
        num_runs: Runs of every setting.
        num_steps: Steps of a run.
        num_rates: Rates of the second part.
        num_angles: Turns of the noisy direction.
    """

    dim: int = 64
    num_runs: int = 200
    num_steps: int = 1_000
    num_rates: int = 13
    num_angles: int = 5


SIZES = {"full": Size(), "small": Size(num_runs=40, num_steps=200, num_rates=7, num_angles=2)}


def simulate(
    label: str, hessian: Tensor, *, start: Tensor, factor: Tensor, lr: Tensor, num_steps: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mean l1 norm of the gradient along the run, and mean loss over its last half.

    Args:
        label: "SGD" or "signSGD".
        hessian: Diagonal (dim,) or matrix (dim, dim).
        start: First points, (runs, dim).
        factor: Noise of one gradient is ``factor @ xi`` with xi standard Gaussian, shape (dim, k).
        lr: Rate of every run, (runs,).
        num_steps: Steps.
        rng: Of the noise.

    Returns:
        Two tensors (runs,).
    """
    x, runs = start, len(lr)
    norm, loss = torch.zeros(runs, dtype=torch.float64), torch.zeros(runs, dtype=torch.float64)
    for step in range(num_steps):
        grad = x * hessian if hessian.ndim == 1 else x @ hessian
        norm += grad.abs().sum(1)
        if step >= num_steps // 2:
            loss += (x * grad).sum(1) / 2
        noisy = grad + torch.from_numpy(rng.standard_normal((runs, factor.shape[1]))) @ factor.mT
        x = x - lr[:, None] * (noisy if label == "SGD" else torch.sign(noisy))
    return norm / num_steps, loss / (num_steps - num_steps // 2)


def common(sigma: Tensor, correlation: float) -> Tensor:
    """Factor of noise with standard deviations ``sigma`` and one correlation between all pairs."""
    own = math.sqrt(1 - correlation) * torch.diag(sigma)
    return torch.cat([own, math.sqrt(correlation) * sigma[:, None]], dim=1)


def turned(dim: int, share: float) -> Tensor:
    """Unit vector between the first axis (share 0) and the diagonal of the cube (share 1)."""
    axis = torch.zeros(dim, dtype=torch.float64)
    axis[0] = 1.0
    other = (torch.ones(dim, dtype=torch.float64) - axis) / math.sqrt(dim - 1)
    angle = share * math.acos(1 / math.sqrt(dim))
    return math.cos(angle) * axis + math.sin(angle) * other


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Marginals kept and correlations changed; then the noisy direction turned."""
    numbers = [*_marginals(size, seed, meter), *_rotation(size, seed, meter)]
    return Findings(claims_of(numbers), numbers, lambda: draw(numbers, size))


def _marginals(size: Size, seed: int, meter: Meter) -> Rows:
    """A separable loss, and one that is not, under noise with equal marginals and different correlations."""
    rows: Rows = []
    rng = stream(seed, "problem")
    sigma = torch.from_numpy(rng.lognormal(0.0, 1.0, size.dim))
    sigma /= sigma.sum()
    curvature = torch.from_numpy(np.geomspace(0.1, 10.0, size.dim))
    curvature /= curvature.sum()
    coupled = torch.diag(curvature / 2) + torch.outer(curvature, curvature) / 2
    for kind, hessian in (("separable", curvature), ("not separable", coupled)):
        gap = START**2 * float(hessian.sum()) / 2  # a start with equal entries
        known = Constants(gap, float(hessian.sum()), float(sigma.sum()))  # entries >= 0: L is their sum
        for index, label in enumerate(LABELS):
            for correlation in CORRELATIONS:
                meter.update(0.2 * index, f"{kind}, {label}, correlation {correlation:g}")
                lr = torch.full((size.num_runs,), RATES[label], dtype=torch.float64)
                own = stream(seed, "runs", kind, label, str(correlation))
                factor = common(sigma, correlation)
                start = torch.full((size.num_runs, size.dim), START, dtype=torch.float64)
                norm, _ = simulate(label, hessian, start=start, factor=factor, lr=lr, num_steps=size.num_steps, rng=own)
                bound = signsgd_bound(known, lr=RATES[label], num_steps=size.num_steps)
                rows.append(
                    {
                        "part": "marginals",
                        "loss": kind,
                        "method": label,
                        "correlation": correlation,
                        "grad_l1": float(norm.mean()),
                        "stderr": float(norm.std() / size.num_runs**0.5),
                        "spread": float(norm.std()),
                        "bound": bound if label == "signSGD" else math.nan,
                    }
                )
    return rows


def _rotation(size: Size, seed: int, meter: Meter) -> Rows:
    """One sharp noisy direction, turned from an axis to the diagonal; the loss in other directions stays isotropic."""
    rows: Rows = []
    axis_form = sharp_coordinates(size.dim, noise=1.0)
    flat = float(axis_form.hessian[1])
    grids = {"SGD": toys.geometric(0.02, 3.8, size.num_rates), "signSGD": toys.geometric(1e-4, 0.1, size.num_rates)}
    runs = max(8, size.num_runs // 10)
    for index, share in enumerate(np.linspace(0, 1, size.num_angles)):
        u = turned(size.dim, float(share))
        hessian = flat * torch.eye(size.dim, dtype=torch.float64) + (0.5 - flat) * torch.outer(u, u)
        for label in LABELS:
            meter.update(0.4 + 0.6 * index / size.num_angles, f"turned by {share:.2f}, {label}")
            lr = torch.from_numpy(np.repeat(grids[label], runs))
            own = stream(seed, "turned", label, index)
            start = torch.from_numpy(own.standard_normal((len(lr), size.dim)))  # no direction is preferred
            start *= START * size.dim**0.5 / start.norm(dim=1, keepdim=True)
            _, loss = simulate(label, hessian, start=start, factor=u[:, None], lr=lr, num_steps=size.num_steps, rng=own)
            means = loss.view(-1, runs).mean(1).tolist()
            best, value, edge = toys.best_of(grids[label], means)
            place = means.index(min(m for m in means if math.isfinite(m)))
            stderr = float(loss.view(-1, runs)[place].std() / runs**0.5)
            where = {"part": "rotation", "method": label, "share": float(share), "density": density(u.abs().numpy())}
            rows.append({**where, "lr": best, "tail_loss": value, "stderr": stderr, "at_edge": edge})
    return rows


def claims_of(numbers: Rows) -> list[Claim]:
    """Marginals decide the mean on separable losses, bounds hold, and a turned basis takes the advantage away."""
    claims: list[Claim] = []
    kept = [row for row in numbers if row["part"] == "marginals"]
    for label in LABELS:
        for kind in ("separable", "not separable"):
            same = [row for row in kept if (row["method"], row["loss"]) == (label, kind)]
            free = same[0]
            for row in same[1:]:
                z = (row["grad_l1"] - free["grad_l1"]) / math.hypot(row["stderr"], free["stderr"])
                text = (
                    f"{kind} loss, {label}, correlation {row['correlation']:g}: change of the mean in standard errors"
                )
                claims.append(at_most(text, abs(z), 4.5) if kind == "separable" else shown(text, abs(z)))
            if kind == "separable":
                text = f"separable loss, {label}: spread over runs, correlation {same[-1]['correlation']:g} over none"
                claims.append(at_least(text, same[-1]["spread"] / free["spread"], 2.0))
    ratios = [row["grad_l1"] / row["bound"] for row in kept if row["method"] == "signSGD"]
    claims.append(at_most("largest mean gradient norm of signSGD over its bound", max(ratios), 1.0))
    rows = {label: [r for r in numbers if r["part"] == "rotation" and r["method"] == label] for label in LABELS}
    gain = [a["tail_loss"] / b["tail_loss"] for a, b in zip(rows["SGD"], rows["signSGD"], strict=True)]
    text = "noisy direction along an axis (density 1/d): loss of SGD over that of signSGD"
    claims.append(at_least(text, gain[0], 2.0))
    text = f"along the diagonal (density {rows['SGD'][-1]['density']:.2f}): loss of SGD over that of signSGD"
    claims.append(at_most(text, gain[-1], 1.0))
    claims.append(shown("density of the noise's spectrum, the same at every turn", rows["SGD"][0]["density"]))
    edges = sum(row["at_edge"] for part in rows.values() for row in part)
    ends = max(rows["SGD"], key=lambda r: r["tail_loss"]), min(rows["SGD"], key=lambda r: r["tail_loss"])
    z = (ends[0]["tail_loss"] - ends[1]["tail_loss"]) / math.hypot(ends[0]["stderr"], ends[1]["stderr"])
    claims.append(at_most("SGD: largest difference between two turns in standard errors", z, 5.0))
    return [*claims, Claim("best rates at an edge of their grid", edges, 0, 0, 0)]


def draw(numbers: Rows, size: Size) -> "Picture":
    """Mean gradient norm against correlation; tuned loss against the turn."""
    caption = (
        f"d = {size.dim}, {size.num_steps} steps of batch 1, Gaussian noise. Left: equal marginals, bars: standard "
        f"deviation over {size.num_runs} runs. Right: noise and curvature of one direction, turned from an axis to the "
        "diagonal; best rate of each."
    )
    picture, (left, right) = panels(2, caption=caption)
    for index, label in enumerate(LABELS):
        for second, kind in enumerate(("separable", "not separable")):
            style = look(index + 2 * second)
            rows = [r for r in numbers if r["part"] == "marginals" and (r["method"], r["loss"]) == (label, kind)]
            x = [row["correlation"] + 0.008 * (index + 2 * second) for row in rows]
            y, bars = [row["grad_l1"] for row in rows], [row["spread"] for row in rows]
            left.errorbar(
                x, y, yerr=bars, color=style.color, marker=style.marker, ls=style.dash, label=f"{label}, {kind}"
            )
        rows = [row for row in numbers if row["part"] == "rotation" and row["method"] == label]
        style = look(index)
        x, y = [row["density"] for row in rows], [row["tail_loss"] for row in rows]
        right.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, mfc="white", label=label)
    left.set(xlabel="correlation of all pairs", ylabel="mean l1 norm of the gradient")
    low, high = left.get_ylim()
    left.set_ylim(low, high + 0.45 * (high - low))  # room for the legend
    left.set_title("Equal marginals, other correlations")
    right.set(xscale="log", yscale="log", xlabel="noise density in the coordinates", ylabel="mean loss, last half")
    right.set_title("The noisy direction turned")
    for ax in (left, right):
        legend(ax)
    return picture


run = Experiment(
    "tao2026-correlated-noise",
    SIZES,
    measure,
    "Chosen here: everything; the paper names correlated noise as future work. On a separable loss every coordinate "
    "moves by its own noise alone, so that means cannot depend on correlations.",
)
