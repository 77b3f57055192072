"""``compagnoni2024-e1``: mean and covariance of the signs of a noisy gradient, Monte Carlo against formulas."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.problems.oracle_noise import as_gradient_noise
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.sdes.moments import sign_covariance, sign_covariance_matrix, sign_moments
from signscope.sdes.moments.signs import student_sign_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LIMIT = 4.5  # standard errors
GRADIENTS = (-2.0, -0.7, -0.1, 0.3, 1.0, 2.5)
PAIRS = {  # R1: (a, b, rho) -> covariance of the signs
    (0, 0, 0.5): 0.3333333333, (0.5, -1, 0.6): 0.1669419143, (1, 1, 0.9): 0.3612753913, (2, 0.1, -0.7): -0.0410694529,
    (0, 1, 0.3): 0.1157875758, (-0.8, 0.4, -0.5): -0.2357810652,
}  # fmt: skip
COV = ((1.0, 1.2, 0.3, -0.2), (1.2, 4.0, 0.5, 0.4), (0.3, 0.5, 0.25, 0.0), (-0.2, 0.4, 0.0, 2.0))
GRAD = (0.8, -0.5, 0.4, 1.2)


@dataclass(frozen=True)
class Size:
    """How much is run: Monte Carlo ``draws`` per law."""

    draws: int = 1_000_000


SIZES = {"full": Size(), "small": Size(draws=40_000)}


def laws() -> dict[str, Any]:
    """Laws by name; the skewed ones with mean 0."""
    from scipy import stats

    student = {f"Student-t, nu = {dof:g}": stats.t(dof) for dof in (0.5, 1, 2)}
    other = {"Laplace": stats.laplace(), "logistic": stats.logistic(), "uniform": stats.uniform(-1, 2)}
    skewed = {"centred Gumbel": stats.gumbel_r(-np.euler_gamma), "centred exponential": stats.expon(-1)}
    return {"Gaussian": stats.norm(), **student, **other, **skewed, "Rademacher": "rademacher:1"}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Every law, then correlated Gaussian noise."""
    numbers: Rows = []
    claims: list[Claim] = []
    grad = torch.tensor(GRADIENTS, dtype=torch.float64)[:, None]
    for index, (label, law) in enumerate(laws().items()):
        meter.update(index / 11, label)
        noise = as_gradient_noise("e1", law, 1)
        mean, variance = (m[:, 0] for m in sign_moments(noise, grad, grad, 0.0))
        drawn = noise.draw(stream(seed, "signs", index), (size.draws,))
        sample = stream(seed, "signs", index).standard_normal(size.draws) if drawn is None else drawn.ravel()
        signs = np.sign(np.asarray(GRADIENTS)[:, None] + sample)
        found, spread = signs.mean(1), signs.var(1)
        stderr = np.sqrt(variance.numpy() / size.draws) + 1 / size.draws
        worst = float((np.abs(found - mean.numpy()) / stderr).max())
        claims.append(at_most(f"{label}: largest |mean sign - formula| in standard errors", worst, LIMIT))
        gap = float(np.abs(spread - variance.numpy()).max())
        claims.append(at_most(f"{label}: largest |variance - formula|", gap, 10 / math.sqrt(size.draws)))
        rows = zip(GRADIENTS, found.tolist(), mean.tolist(), strict=True)
        numbers += [{"part": "law", "law": label, "gradient": y, "sampled": s, "formula": t} for y, s, t in rows]
    more, rows = _correlated(size, seed)
    return Findings([*claims, *more, *_closed(seed, size)], [*numbers, *rows], lambda: draw(numbers, rows, size))


def _correlated(size: Size, seed: int) -> tuple[list[Claim], Rows]:
    """Noise that is not diagonal, d = 4: std of each coordinate against the matrix root; covariances of signs."""
    cov, grad = torch.tensor(COV, dtype=torch.float64), torch.tensor(GRAD, dtype=torch.float64)
    sample = stream(seed, "correlated").standard_normal((size.draws, 4)) @ np.linalg.cholesky(cov.numpy()).T
    signs = np.sign(sample + grad.numpy())
    std = cov.diagonal().sqrt()
    ratio = grad / std
    mean = torch.erf(ratio / math.sqrt(2)).numpy()
    values, basis = np.linalg.eigh(cov.numpy())
    rooted = torch.erf(torch.from_numpy(basis * values**-0.5 @ basis.T @ grad.numpy()) / math.sqrt(2)).numpy()
    found = np.cov(signs.T)
    theory = sign_covariance_matrix(ratio, cov / torch.outer(std, std)).numpy()
    off = ~np.eye(4, dtype=bool)
    error, limit = np.abs(signs.mean(0) - mean).max(), LIMIT / math.sqrt(size.draws)
    claims = [
        at_most("correlated noise: mean sign, largest error with sigma_i", float(error), limit),
        at_least(
            "correlated noise: mean sign, largest error with the matrix root",
            float(np.abs(signs.mean(0) - rooted).max()),
            0.1,
        ),
        at_most("correlated noise: covariance of signs, largest error", float(np.abs(found - theory).max()), 2 * limit),
        at_least(
            "correlated noise: covariance of signs, largest error without pairs", float(np.abs(found[off]).max()), 0.1
        ),
    ]
    rows = [
        {"part": "correlated", "coordinate": i, "sampled": s, "formula": m, "root": r}
        for i, (s, m, r) in enumerate(zip(signs.mean(0).tolist(), mean.tolist(), rooted.tolist(), strict=True))
    ]
    return claims, rows


def _closed(seed: int, size: Size) -> list[Claim]:
    """Reference values, closed forms of Xi_nu, and elliptical noise at gradient 0."""
    found = {key: float(sign_covariance(*(torch.tensor(float(v), dtype=torch.float64) for v in key))) for key in PAIRS}
    worst = max(PAIRS, key=lambda key: abs(found[key] - PAIRS[key]))
    x = torch.linspace(-6, 6, 241, dtype=torch.float64)
    forms = {
        1: torch.atan(x) / math.pi,
        2: x / (2 * (2 + x * x).sqrt()),
        3: (torch.atan(x / math.sqrt(3)) + math.sqrt(3) * x / (3 + x * x)) / math.pi,
    }
    gap = max(float((student_sign_mean(x, dof) - form).abs().max()) for dof, form in forms.items())
    rng = stream(seed, "elliptical")
    normal = rng.standard_normal((size.draws, 2)) @ np.linalg.cholesky(np.array([[1, 0.6], [0.6, 1]])).T
    cauchy = normal / np.abs(rng.standard_normal((size.draws, 1)))
    spread = rng.standard_normal((size.draws, 2)) / np.abs(rng.standard_normal((size.draws, 1)))
    at_zero, away = (float((np.prod(np.sign(s), 1)).mean() - np.sign(s).mean(0).prod()) for s in (cauchy, spread + 1))
    room = LIMIT / math.sqrt(size.draws)
    return [
        near("two signs: covariance farthest from its reference value", found[worst], PAIRS[worst], atol=1e-9),
        at_most("Student-t, nu = 1, 2, 3: largest |Xi_nu - closed form|", gap, 1e-13),
        near(
            "multivariate Cauchy, gradient 0, correlation 0.6: covariance",
            at_zero,
            2 / math.pi * math.asin(0.6),
            atol=room,
        ),
        near("multivariate Cauchy, uncorrelated, gradient (1, 1): covariance", away, 0.0855, atol=1.5 * room),
    ]


def draw(numbers: Rows, rows: Rows, size: Size) -> "Picture":
    """Mean signs left, the drift under correlated noise right."""
    caption = f"Monte Carlo with {size.draws:,} draws. Right: Gaussian noise, d = 4, covariance not diagonal."
    picture, (left, right) = panels(2, caption=caption)
    grid = torch.linspace(-3, 3, 241, dtype=torch.float64)[:, None]
    shown = {
        k: v
        for k, v in laws().items()
        if k in ("Gaussian", "Student-t, nu = 0.5", "Student-t, nu = 1", "uniform", "centred exponential", "Rademacher")
    }
    for index, (label, law) in enumerate(shown.items()):
        style = look(index)
        line = sign_moments(as_gradient_noise("e1", law, 1), grad=grid, points=grid, time=0.0)[0]
        left.plot(grid[:, 0], line[:, 0], color=style.color, ls=style.dash, label=label)
        own = [r for r in numbers if r["law"] == label]
        left.plot(
            [r["gradient"] for r in own],
            [r["sampled"] for r in own],
            style.marker,
            color=style.color,
            mfc="white",
            ms=5,
        )
    left.set(xlabel="gradient / scale of the noise", ylabel="mean sign E sign(g)", title="Drift of SignSGD per law")
    legend(left, loc="lower right")
    for index, (key, name) in enumerate(
        {"formula": "std of each coordinate", "root": "matrix root of the covariance"}.items()
    ):
        style = look(index)
        right.plot(
            [r["sampled"] for r in rows],
            [r[key] for r in rows],
            style.marker,
            color=style.color,
            ms=7,
            mfc="white",
            mew=1.5,
            label=name,
        )
    right.plot([-1, 1], [-1, 1], color="#999999", lw=0.9, ls=":")
    right.set(xlabel="mean sign, Monte Carlo", ylabel="mean sign, formula", title="Correlated noise: no matrix root")
    legend(right, loc="upper left")
    return picture


run = Experiment(
    "compagnoni2024-e1", SIZES, measure, "Chosen here: six gradients from -2 to 2.5; one covariance with d = 4."
)
