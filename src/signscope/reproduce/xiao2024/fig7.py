"""``xiao2024-fig7``: the limit risk against the learning rate, per noise law and for SGD."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from signscope._core.equations import equation
from signscope._core.progress import Meter
from signscope.limits import limit, max_lr
from signscope.problems import LeastSquares, gaussian_problem
from signscope.reproduce.claims import Claim, Rows, at_most, near, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.simulation import simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

SPECTRUM = "log:0.1,1"
NOISES = {
    "Gaussian, std 0.5": "gaussian:0.5",
    "Laplace, std 0.5": f"laplace:{0.5 / math.sqrt(2)!r}",
    "uniform, std 0.5": f"uniform:{0.5 * math.sqrt(3)!r}",
    "Rademacher 0.5": "rademacher:0.5",
    "Cauchy(0, 0.5)": "cauchy:0.5",
}
SHARE = 0.5  # of a run, at its end, that is averaged


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        num_runs: Simulated runs per point.
        rates: Learning rates of signSGD.
        fractions: Rates of SGD, as fractions of its stability limit.
        lifetimes: Length of a run in units of 1 / asymptotic rate, from a start at the predicted limit.
        longest: Largest horizon in steps/dim.
        tolerance: Accepted relative distance of simulated from predicted limits.
    """

    dim: int = 200
    num_runs: int = 16
    rates: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0)
    fractions: tuple[float, ...] = (0.1, 0.3, 0.6, 0.8)
    lifetimes: float = 12.0
    longest: float = 150.0
    tolerance: float = 0.05


SIZES = {
    "full": Size(),
    "small": Size(dim=60, num_runs=8, rates=(0.5, 2.0), fractions=(0.3,), lifetimes=6.0, longest=60.0, tolerance=0.15),
}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Predicted limits against averages over the end of long runs."""
    jobs: list[tuple[str, str, LeastSquares, float]] = []
    for label, noise in NOISES.items():
        problem = gaussian_problem(size.dim, spectrum=SPECTRUM, noise=noise, seed=seed)
        jobs += [(f"signSGD, {label}", "signsgd", problem, lr) for lr in size.rates]
    problem = gaussian_problem(size.dim, spectrum=SPECTRUM, noise=NOISES["Gaussian, std 0.5"], seed=seed)
    top = max_lr(problem, "sgd")[0]
    jobs += [("SGD, Gaussian, std 0.5", "sgd", problem, share * top) for share in size.fractions]
    numbers: Rows = []
    for index, (label, optimizer, case, lr) in enumerate(jobs):
        meter.update(index / len(jobs), f"{label}, lr {lr:g}")
        numbers.append({"line": label, "lr": lr, **settled(case, optimizer, lr, size, seed)})
    claims = _claims(numbers, size, top, problem, seed)
    return Findings(claims, numbers, lambda: draw(numbers, size, problem))


def settled(problem: LeastSquares, optimizer: Any, lr: float, size: Size, seed: int) -> dict[str, float]:
    """Predicted limit and the average over the end of runs that start at twice that risk."""
    found = limit(problem, optimizer, lr=lr)
    scale = math.sqrt(2 * found.excess_risk / float(problem.excess_risk(problem.start)))
    nearby = LeastSquares(problem.cov, target=scale * problem.target, noise=problem.noise)
    horizon = min(size.lifetimes / found.rate, size.longest)
    times = torch.linspace((1 - SHARE) * horizon, horizon, 101, dtype=torch.float64)
    runs = simulate(
        nearby, optimizer, lr=lr, horizon=horizon, times=times, num_runs=size.num_runs, seed=seed, dtype="float32"
    ).runs
    assert runs is not None
    means = runs.mean(1)
    left = math.exp(-(1 - SHARE) * horizon * found.rate)  # of the start's excess, at the first time averaged
    return {
        "predicted": found.excess_risk,
        "at_this_dim": sgd_limit_at(problem, lr) if optimizer == "sgd" else found.excess_risk,
        "simulated": float(means.mean()),
        "stderr": float(means.std() / math.sqrt(len(means))),
        "rate": found.rate,
        "transient": left,
    }


@equation("signscope", "stationary point of (4.2)")
def sgd_limit_at(problem: LeastSquares, lr: float) -> float:
    r"""Limit risk of SGD at finite d.

    $$ R = \frac{s^2}{2}\frac{T}{1-T}, \qquad T = \sum_j \frac{g l_j}{2(1 - g l_j)}, \quad g = \mathrm{lr}/d $$

    Equation (5.2) is its limit d -> inf; near the stability limit the difference of order 1/d is magnified.
    """
    share = lr / problem.dim * problem.cov.diagonal()
    total = float((share / (2 * (1 - share))).sum())
    return 0.5 * problem.noise.second_moment * total / (1 - total)


def _claims(numbers: Rows, size: Size, top: float, problem: LeastSquares, seed: int) -> list[Claim]:
    claims: list[Claim] = []
    for label in dict.fromkeys(row["line"] for row in numbers):
        part = [row for row in numbers if row["line"] == label]
        worst, limit_off = (
            max(abs(row["simulated"] / row[key] - 1) for row in part) for key in ("at_this_dim", "predicted")
        )
        text = f"{label}: largest relative distance of simulated from predicted limit"
        if label.startswith("SGD"):
            claims.append(shown(f"{text}, d -> inf", limit_off))
            text += f", d = {size.dim}"
        claims.append(at_most(text, worst, size.tolerance))
    trace = float(problem.cov.diagonal().sum())
    claims.append(near("SGD: largest stable rate", top, 2 * problem.dim / trace, rtol=1e-12))
    beyond = simulate(
        problem, "sgd", lr=2 * top, horizon=10, num_runs=4, seed=seed, times=torch.tensor([0.0, 10.0]).double()
    )
    growth = beyond.final / float(problem.excess_risk(problem.start))
    claims.append(Claim("SGD at twice that rate: growth of the risk by time 10", growth, low=10.0))
    return claims


def draw(numbers: Rows, size: Size, problem: LeastSquares) -> "Picture":
    """Per noise left, SGD against signSGD under Gaussian noise right."""
    caption = (
        f"Line: predicted limit. Markers: average over the last half of {size.num_runs} long runs, d = {size.dim} "
        "(error bars: 2 standard errors)."
    )
    picture, (left, right) = panels(2, caption=caption)
    for index, (label, noise) in enumerate(NOISES.items()):
        own = gaussian_problem(size.dim, spectrum=SPECTRUM, noise=noise)
        _draw_line(left, own, "signsgd", label, [r for r in numbers if r["line"] == f"signSGD, {label}"], index)
    for index, (name, optimizer) in enumerate((("SGD", "sgd"), ("signSGD", "signsgd"))):
        rows = [r for r in numbers if r["line"] == f"{name}, Gaussian, std 0.5"]
        _draw_line(right, problem, optimizer, name, rows, index)
    top = max_lr(problem, "sgd")[0]
    right.axvline(top, color="#777777", lw=1, ls="--", label="SGD diverges beyond")
    left.set_title("signSGD per label noise", fontsize=10.5)
    right.set_title("Gaussian noise, std 0.5", fontsize=10.5)
    for ax in (left, right):
        ax.set(
            xscale="log", yscale="log", xlabel="learning rate lr (step size x d)", ylabel="limit of the excess risk R"
        )
        legend(ax)
    return picture


def _draw_line(ax: Any, problem: LeastSquares, optimizer: str, label: str, rows: Rows, index: int) -> None:
    style = look(index)
    rates = np.geomspace(0.05, 4, 60)
    if optimizer == "sgd":
        rates = np.geomspace(0.05, 0.98 * max_lr(problem, "sgd")[0], 60)
    values = [limit(problem, optimizer, lr=float(lr)).excess_risk for lr in rates]
    ax.plot(rates, values, color=style.color, ls=style.dash, lw=1.9, label=label)
    lr, mean, stderr = (np.array([row[key] for row in rows]) for key in ("lr", "simulated", "stderr"))
    marks = {"ls": "none", "marker": style.marker, "ms": 5, "mfc": "white", "color": style.color}
    ax.errorbar(lr, mean, yerr=2 * stderr, **marks)


run = Experiment(
    "xiao2024-fig7",
    SIZES,
    measure,
    "Chosen here: independent coordinates with variances from 0.1 to 1, noise of standard deviation (scale, for "
    "Cauchy) 0.5; runs start at twice the predicted limit.",
)
