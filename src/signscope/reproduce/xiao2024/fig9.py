"""``xiao2024-fig9``: how the asymptotic rates of SGD and signSGD scale with the condition number."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import brentq

from signscope._core.equations import equation
from signscope._core.progress import Meter
from signscope.limits import limit, predict
from signscope.noise import Gaussian
from signscope.problems import LeastSquares, gaussian_problem, rotated, two_level
from signscope.reproduce.claims import Claim, Rows, at_most, near
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.rivals import preconditioned_eigvals

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

STD = 0.5
FLOOR = 0.02  # limit risk at which the optimizers are compared
CASES = {
    "SGD, independent coordinates": ("sgd", False),
    "signSGD, independent coordinates": ("signsgd", False),
    "SGD, random basis": ("sgd", True),
    "signSGD, random basis": ("signsgd", True),
}


@dataclass(frozen=True)
class Size:
    """Dimension and condition numbers."""

    dim: int = 300
    conditions: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4, 1e5, 1e6)


SIZES = {"full": Size(), "small": Size(dim=40, conditions=(1e2, 1e3, 1e4))}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Exact rates at a common limit risk, their lower bound, and one rate read off a risk curve."""
    numbers: Rows = []
    for index, condition in enumerate(size.conditions):
        meter.update(index / len(size.conditions), f"condition number {condition:g}")
        for label, (optimizer, is_rotated) in CASES.items():
            problem = make(size.dim, condition, is_rotated, seed)
            numbers.append({"line": label, "condition": condition, **rates(problem, optimizer)})
    return Findings(_claims(numbers, size, seed), numbers, lambda: draw(numbers, size))


def make(dim: int, condition: float, is_rotated: bool, seed: int) -> LeastSquares:
    """Half of the variances 1/condition, half 1: their means do not drift with the condition number."""
    eigvals = two_level(dim, low=1 / condition, high=1.0, share=0.5)
    if is_rotated:
        return LeastSquares(rotated(eigvals, seed), noise=STD)
    return gaussian_problem(dim, spectrum=eigvals, noise=STD, seed=seed)


def rates(problem: LeastSquares, optimizer: str) -> dict[str, float]:
    """The rate lr that ends at the limit risk `FLOOR`, the exact asymptotic rate there and its bound."""
    lr = rate_for(problem, optimizer, FLOOR)
    found = limit(problem, optimizer, lr=lr)
    bound = signsgd_bound(problem, lr, found.excess_risk) if optimizer == "signsgd" else math.nan
    return {"lr": lr, "rate": found.rate, "bound": bound, "limit": found.excess_risk}


def rate_for(problem: LeastSquares, optimizer: str, floor: float) -> float:
    """The learning rate whose limit risk is ``floor``."""

    def off(log_lr: float) -> float:
        found = limit(problem, optimizer, lr=math.exp(log_lr))
        return math.log(found.excess_risk / floor) if found.stable else 50.0

    return math.exp(brentq(off, math.log(1e-6), math.log(20.0), xtol=1e-10))  # pyright: ignore[reportArgumentType]


@equation("signscope", "lower bound of the signSGD rate, centred Gaussian noise")
def signsgd_bound(problem: LeastSquares, lr: float, risk: float) -> float:
    r"""Bound on the asymptotic rate of signSGD under centred Gaussian noise.

    $$ \rho \ge \eta\,\varphi(R_\infty)\,\lambda_{\min}(\bar K)\,\bigl(2 - R_\infty/P_\infty\bigr) $$

    In the secular equation of (5.4) $u_j = a\lambda_j r_j/P$, and $a\lambda_j/(2a\lambda_j - \rho)$ is largest at the
    smallest eigenvalue, so that $(R/P)\,a\lambda_{\min}/(2a\lambda_{\min} - \rho) \ge 1$.

    Args:
        problem: With centred Gaussian noise.
        lr: Constant rate.
        risk: Limit risk at that rate.
    """
    assert isinstance(problem.noise, Gaussian)
    smallest = float(preconditioned_eigvals(problem)[0])
    slope = float(problem.noise.phi(torch.tensor(risk, dtype=torch.float64)))
    return lr * slope * smallest * (2 - risk / (risk + 0.5 * STD**2))


def exponent(numbers: Rows, label: str) -> float:
    """Slope of log(rate) against log(condition number) over the larger half of the condition numbers."""
    rows = [row for row in numbers if row["line"] == label]
    rows = rows[len(rows) // 2 - 1 :]
    return float(np.polyfit(np.log([r["condition"] for r in rows]), np.log([r["rate"] for r in rows]), 1)[0])


def _claims(numbers: Rows, size: Size, seed: int) -> list[Claim]:
    expected = {"SGD, independent coordinates": -1.0, "signSGD, independent coordinates": -0.5}
    expected |= {"SGD, random basis": -1.0, "signSGD, random basis": -1.0}
    claims = [
        near(f"{label}: exponent of the rate in the condition number", exponent(numbers, label), value, atol=0.05)
        for label, value in expected.items()
    ]
    worst = max(row["bound"] / row["rate"] for row in numbers if not math.isnan(row["bound"]))
    claims.append(at_most("signSGD: largest lower bound / exact rate", worst, 1 + 1e-9))
    problem = make(size.dim, size.conditions[0], False, seed)
    for optimizer in ("sgd", "signsgd"):
        lr = rate_for(problem, optimizer, FLOOR)
        exact = limit(problem, optimizer, lr=lr).rate
        text = f"{optimizer}, condition number {size.conditions[0]:g}: rate read off the risk curve"
        claims.append(near(text, rate_of_curve(problem, optimizer, lr), exact, rtol=0.01))
    return claims


def rate_of_curve(problem: LeastSquares, optimizer: str, lr: float) -> float:
    """Decay rate of |R(t) - limit| at late times of the solved curve."""
    found = limit(problem, optimizer, lr=lr)
    times = torch.tensor([12.0, 16.0], dtype=torch.float64) / found.rate
    horizon = float(times[-1])
    curve = predict(problem, optimizer, lr=lr, horizon=horizon, times=times, method="gaussian", rtol=1e-10)
    left = (curve.value - found.excess_risk).abs()
    return float(torch.log(left[0] / left[1]) / (times[1] - times[0]))


def draw(numbers: Rows, size: Size) -> "Picture":
    """Rates against the condition number: independent coordinates left, a random basis right."""
    caption = (
        f"At the constant lr that ends at R = {FLOOR:g}; half of the eigenvalues 1, half smaller, d = {size.dim}, "
        f"Gaussian noise (std {STD:g}). Thin: lower bound for signSGD. Dotted: slopes -1 and -1/2."
    )
    picture, axes = panels(2, caption=caption)
    for ax, place in zip(axes, ("independent coordinates", "random basis"), strict=True):
        for index, name in enumerate(("SGD", "signSGD")):
            rows = [row for row in numbers if row["line"] == f"{name}, {place}"]
            style = look(index)
            x, y, bound = (np.array([row[key] for row in rows]) for key in ("condition", "rate", "bound"))
            label = f"{name}: exponent {exponent(numbers, f'{name}, {place}'):+.2f}"
            ax.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, mfc="white", lw=1.9, label=label)
            slope = -0.5 if name == "signSGD" and place.startswith("independent") else -1.0
            ax.plot(x, 1.6 * y[-1] * (x / x[-1]) ** slope, color=style.color, lw=1, ls=":")
            if name == "signSGD":
                ax.plot(x, bound, color=style.color, lw=1, label="signSGD, lower bound")
        ax.set(xscale="log", yscale="log", xlabel="condition number of K", ylabel="asymptotic rate (per d steps)")
        ax.set_title(place[0].upper() + place[1:], fontsize=10.5)
        legend(ax, loc="lower left")
    return picture


run = Experiment(
    "xiao2024-fig9",
    SIZES,
    measure,
    "Chosen here: half of the variances 1, half smaller, Gaussian noise of standard deviation 0.5, rates compared "
    "at the limit risk 0.02. The lower bound is derived here from the secular equation and has the form of the paper's "
    "Theorem 4; the constants of the published theorem were not at hand.",
)
