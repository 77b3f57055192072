"""``xiao2024-fig8``: SGD and signSGD, each at its best rate, on diagonal problems."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from signscope._core.equations import equation
from signscope._core.progress import Meter
from signscope.limits.coefficients import Setting, coefficients
from signscope.limits.spectrum import Spectrum, spectrum
from signscope.noise import NoiseLaw
from signscope.problems import LeastSquares, constant
from signscope.reproduce.claims import Claim, near, shown
from signscope.reproduce.drawing import RISK, curve_rows, legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.laws import UNIT, exact_slope
from signscope.reproduce.xiao2024.pairs import Pair, far_problem
from signscope.reproduce.xiao2024.rivals import best_pairs, draw_rivals
from signscope.schedules import Constant

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

CONDITIONS = (1.0, 100.0, 10_000.0)
NOISE = "gaussian:0.5"


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dim: Coordinates d.
        horizon: Length in steps/dim; the rates are best for it.
        num_runs: Simulated runs per curve.
        tolerance: Largest accepted mean relative gap.
    """

    dim: int = 300
    horizon: float = 20.0
    num_runs: int = 64
    tolerance: float = 0.03


SIZES = {"full": Size(), "small": Size(dim=60, horizon=5.0, num_runs=12, tolerance=0.15)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Best constant rates per condition number, predicted and simulated; best momentary rates on isotropic data."""
    pairs: dict[float, dict[str, Pair]] = {}
    for index, condition in enumerate(CONDITIONS):
        meter.update(index / len(CONDITIONS), f"condition number {condition:g}")
        problem = far_problem(size.dim, spectrum=f"log:{1 / condition!r},1", noise=NOISE, seed=seed)
        label = f"condition number {condition:g}, best"
        setting = {"horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
        pairs[condition] = best_pairs(problem, label, **setting)
    every = [pair for both in pairs.values() for pair in both.values()]
    claims = [claim for pair in every for claim in pair.claims(at=size.tolerance)]
    for condition, both in pairs.items():
        sgd, sign = both["sgd"], both["signsgd"]
        ratio = sgd.prediction.final / sign.prediction.final
        seen = sgd.simulation.final / sign.simulation.final
        text = f"condition number {condition:g}: simulated SGD / signSGD final risk against predicted"
        claims.append(near(text, seen, ratio, rtol=3 * size.tolerance))
    numbers = curve_rows([c for pair in every for c in pair.curves])
    return Findings([*claims, *_momentary()], numbers, lambda: draw(pairs, size))


@equation("xiao2024", "best momentary descent on isotropic data (K = I)")
def best_descents(law: NoiseLaw, risks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Fastest possible $-\dot R$ of signSGD and SGD at each risk: $2\varphi^2R^2$ and $R^2/P$.

    signSGD descends by $2\eta\varphi R - \eta^2/2$, best at $\eta = 2\varphi R$; SGD by $2\eta R - \eta^2 P$, best at
    $\eta = R/P$. Their ratio is $(2\psi/\pi)^2$.

    Args:
        law: Noise with a finite second moment.
        risks: R, shape (n,).
    """
    phi = exact_slope(law, risks)
    return 2 * phi**2 * risks**2, risks**2 / (risks + 0.5 * law.second_moment)


def searched_descents(law: NoiseLaw, risk: float) -> tuple[float, float]:
    """The same two numbers by a search over the rate in the risk equation itself, at d = 3."""
    problem = LeastSquares(constant(3), target=torch.full((3,), (2 * risk / 3) ** 0.5, dtype=torch.float64), noise=law)
    zero, here, lanes = torch.zeros(1, 1).double(), torch.tensor([[risk]]).double(), torch.zeros(1, dtype=torch.long)
    best = []
    for optimizer in ("signsgd", "sgd"):
        modes = spectrum(problem, optimizer)

        def ascent(lr: float, setting: Setting, modes: Spectrum) -> float:
            decay, force = coefficients(problem, setting, Constant(lr), scale=risk)(zero, here, None, lanes)
            return float((force * modes.sources.sum() - decay * (modes.eigvals * modes.start).sum()).sum())

        top = 20 * (1 + risk) ** 0.5
        found: Any = minimize_scalar(
            ascent, args=(Setting(optimizer), modes), bounds=(0, top), method="bounded", options={"xatol": 1e-9}
        )
        best.append(-float(found.fun))
    return best[0], best[1]


def _momentary() -> list[Claim]:
    """Momentary rates: signSGD beats SGD, each at its best, exactly where psi > pi/2."""
    claims = []
    risks = np.geomspace(1e-3, 1e2, 400)
    for name, law in UNIT.items():
        sign, sgd = best_descents(law, risks)
        wins = sign > sgd
        compression = law.psi(torch.from_numpy(risks)).numpy() > math.pi / 2
        claims.append(
            near(f"{name}: share of risks where descents and psi > pi/2 agree", float((wins == compression).mean()), 1)
        )
        if wins.any():
            claims.append(
                shown(f"{name}: signSGD ahead of SGD (best momentary rates) below R", float(risks[wins].max()))
            )
    searched = searched_descents(UNIT["Laplace"], 0.3)
    closed = best_descents(UNIT["Laplace"], np.array([0.3]))
    for which, found, expected in zip(("signSGD", "SGD"), searched, closed, strict=True):
        claims.append(
            near(f"Laplace, R = 0.3: fastest descent of {which} by search", found, float(expected[0]), rtol=1e-6)
        )
    return claims


def draw(pairs: dict[float, dict[str, Pair]], size: Size) -> "Picture":
    """One panel per condition number, then the momentary comparison."""
    caption = (
        f"Lines: prediction. Markers, bands: mean and central 80% of {size.num_runs} runs, d = {size.dim}, Gaussian "
        "noise (std 0.5), best constant rates. Right: fastest momentary descent on isotropic data, noise of variance 1."
    )
    picture, axes = panels(len(CONDITIONS) + 1, caption=caption, width=4.4)
    for ax, condition in zip(axes, CONDITIONS, strict=False):
        draw_rivals(ax, pairs[condition], title=f"condition number {condition:g}")
    risks = np.geomspace(1e-3, 1e2, 200)
    for index, (name, law) in enumerate(UNIT.items()):
        sign, sgd = best_descents(law, risks)
        style = look(index)
        axes[-1].plot(risks, sign / sgd, color=style.color, ls=style.dash, lw=1.9, label=name)
    axes[-1].axhline(1, color="#777777", lw=1, ls=":")
    axes[-1].set(xscale="log", xlabel=RISK, ylabel="best descent of signSGD / of SGD", ylim=(0, 1.6))
    axes[-1].set_title("Isotropic data, best momentary rates", fontsize=10.5)
    legend(axes[-1])
    return picture


run = Experiment(
    "xiao2024-fig8",
    SIZES,
    measure,
    "Chosen here: variances log-spaced from 1/condition number to 1, Gaussian noise of standard deviation 0.5, "
    "start at distance about 5, constant rates that are best for the horizon shown.",
)
