"""What the theory assumes of a problem, measured: each with its value and a word for practitioners."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signscope.comparison.agreement import Gap
from signscope.comparison.entries import Entry
from signscope.comparison.gaussianity import row_shape
from signscope.limits.spectrum import spectrum
from signscope.limits.stationary import max_lr
from signscope.problems import LeastSquares

SMALL_DIM = 50
ILL_CONDITIONED = 1e8
DOMINANT = 0.25  # share of tr K in one direction
DENSE_REACH = 1500  # the resolvent is not formed beyond this dimension
ROWS_PER_COLUMN = 10
AGREES = {"gaussian": 0.02, "data": 0.08}  # mean relative gap


@dataclass(frozen=True)
class Assumption:
    """One condition under which the predictions are accurate.

    Attributes:
        name: A few words.
        value: What was measured; None where it is infinite or undefined.
        ok: Whether the condition holds.
        text: What the number means for the reader.
    """

    name: str
    value: float | None
    ok: bool
    text: str


def assess(
    problem: LeastSquares, entries: Sequence[Entry], *, batch_size: int, betas: tuple[float, float]
) -> list[Assumption]:
    """Every condition that can be checked in a second or so, for the optimizers of ``entries``."""
    names = list(dict.fromkeys(e.optimizer for e in entries))
    found = [_dimension(problem), *_spectrum(problem), *_noise(problem, names)]
    if any(name != "sgd" for name in names):
        found += _delocalised(problem)
    found += _stability(problem, entries, batch_size)
    if "adam" in names:
        found.append(_adam_memory(problem, betas))
    if problem.rows is not None:
        found += [_row_count(problem), *(Assumption(*row) for row in row_shape(problem.rows.features))]
    return found + _agreement(entries)


def as_dicts(assumptions: Sequence[Assumption]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{"name": a.name, "value": a.value, "ok": a.ok, "text": a.text} for a in assumptions]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _dimension(problem: LeastSquares) -> Assumption:
    d = problem.dim
    text = f"predictions are limits of many coordinates; at {d} expect relative errors of about {100 / d:.2g}%"
    return Assumption("dimension", float(d), d >= SMALL_DIM, text)


def _spectrum(problem: LeastSquares) -> list[Assumption]:
    eigvals = problem.eigvals
    smallest, largest = float(eigvals[0]), float(eigvals[-1])
    cond = problem.cov.condition_number
    share = largest / problem.cov.trace
    spread = (
        f"eigenvalues of the covariance from {smallest:.3g} to {largest:.3g}; "
        "directions with small eigenvalues are learnt last"
    )
    if not math.isfinite(cond):
        spread = (
            f"the covariance is singular (rank {problem.cov.rank} of {problem.dim}); some directions are never learnt"
        )
    top = (
        f"the largest direction holds {100 * share:.2g}% of the variance; the theory wants many directions to share it"
    )
    return [
        Assumption("condition number", _number(cond), cond < ILL_CONDITIONED, spread),
        Assumption("largest eigenvalue", share, share <= DOMINANT, top),
    ]


def _noise(problem: LeastSquares, names: Sequence[str]) -> list[Assumption]:
    law = problem.noise
    second = law.second_moment
    finite = math.isfinite(second)
    if finite:
        text = "the label noise has a finite variance, so every optimizer has a risk curve"
    else:
        text = f"{law.spec} noise has infinite variance: SGD has no risk curve, sign methods do"
    found = [Assumption("noise variance", _number(second), finite or "sgd" not in names, text)]
    if law.atom_at_zero > 0:
        text = (
            f"a share {law.atom_at_zero:.3g} of the labels has no noise; sign methods keep their pace near the optimum"
        )
        return [*found, Assumption("noise near zero", law.atom_at_zero, True, text)]
    gap = law.gap
    scale = math.sqrt(second) if finite else math.inf
    harmless = gap <= 0.05 * scale and not (math.isinf(scale) and gap > 0)
    text = "label noise takes values near 0, so signs carry information down to small risks"
    if not harmless:
        text = (
            f"label noise stays {gap:.3g} away from 0: below a risk of about {gap**2 / 4:.2g} single-row signs carry "
            "almost no information (a risk floor); larger batches soften it"
        )
    return [*found, Assumption("noise near zero", gap, harmless, text)]


def _delocalised(problem: LeastSquares) -> list[Assumption]:
    """Largest off-diagonal entry of z (Kbar - z)^-1 on the circle |z| = 2 ||Kbar||."""
    d = problem.dim
    if problem.cov.is_diagonal or d > DENSE_REACH or d < 2:
        return []
    modes = spectrum(problem, "signsgd")
    assert modes.eigvecs is not None
    radius = 2 * float(modes.eigvals[-1])
    vectors, eigvals = modes.eigvecs.numpy(), modes.eigvals.numpy()
    scale = modes.scale.numpy()
    worst = 0.0
    for angle in np.linspace(0, math.pi, 5):
        z = radius * complex(math.cos(angle), math.sin(angle))
        weights = z / (eigvals - z)
        resolvent = np.hypot((vectors * weights.real) @ vectors.T, (vectors * weights.imag) @ vectors.T)
        resolvent *= scale[None, :] / scale[:, None]
        np.fill_diagonal(resolvent, 0.0)
        worst = max(worst, float(resolvent.max()))
    bound = d**-0.4
    text = (
        f"strongest coupling of two coordinates {worst:.2g}, against {bound:.2g} = d^-0.4; "
        "sign methods are predicted well where no pair of coordinates is tied closely"
    )
    return [Assumption("delocalisation", worst, worst <= bound, text)]


def _stability(problem: LeastSquares, entries: Sequence[Entry], batch_size: int) -> list[Assumption]:
    used = [e.lr for e in entries if e.optimizer == "sgd" and math.isfinite(e.lr)]
    if not used:
        return []
    top, reason = max_lr(problem, "sgd", batch_size=batch_size)
    share = used[0] / top
    text = f"SGD's lr {used[0]:.3g} is {100 * share:.3g}% of its stability limit ({reason})"
    return [Assumption("sgd stability", share, share < 1, text)]


def _adam_memory(problem: LeastSquares, betas: tuple[float, float]) -> Assumption:
    window = 1 / (1 - betas[0])
    share = window / problem.dim
    text = f"Adam's momentum averages {window:.3g} steps, {100 * share:.2g}% of one unit of time; it should be short"
    return Assumption("adam momentum", share, share <= 0.25, text)


def _row_count(problem: LeastSquares) -> Assumption:
    assert problem.rows is not None
    ratio = problem.rows.num_rows / problem.dim
    text = (
        f"{problem.rows.num_rows} rows for {problem.dim} columns; with fewer than {ROWS_PER_COLUMN} per column the "
        "covariance is a rough estimate"
    )
    return Assumption("rows per column", ratio, ratio >= ROWS_PER_COLUMN, text)


def _agreement(entries: Sequence[Entry]) -> list[Assumption]:
    found: list[Assumption] = []
    for e in entries:
        where = "the data's own rows" if e.rows == "data" else "Gaussian rows"
        if math.isfinite(e.gap.mean):
            found.append(_agrees(f"{e.optimizer} prediction, {e.rows} rows", "prediction", where, e.gap, e.rows))
        if e.rows == "data" and e.method == "rows" and math.isfinite(e.gaussian_gap.mean):
            name = f"{e.optimizer} Gaussian theory, data rows"
            found.append(_agrees(name, "Gaussian theory", where, e.gaussian_gap, e.rows))
    return found


def _agrees(name: str, what: str, where: str, gap: Gap, rows: str) -> Assumption:
    ok = gap.mean <= AGREES[rows] or gap.first_disagreement is None
    text = f"mean relative gap of the {what} to the simulation on {where}: {100 * gap.mean:.2g}%"
    return Assumption(name, gap.mean, ok, text)
