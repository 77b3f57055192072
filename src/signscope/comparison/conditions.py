"""What the theory assumes, looked at for the optimizers of a comparison: problem, rates, rows, agreement."""

import math
from collections.abc import Mapping, Sequence

from signscope.comparison.agreement import Gap
from signscope.comparison.assumption import Assumption, as_dicts
from signscope.comparison.conditions_noise import noise_conditions
from signscope.comparison.conditions_problem import problem_conditions
from signscope.comparison.entries import Entry
from signscope.comparison.gaussianity import row_shape
from signscope.limits.adam_constants import SHORT
from signscope.limits.assumptions import DENSE_REACH, SATURATED, saturation, spectrum_bounds
from signscope.limits.coefficients import Setting
from signscope.limits.signum_constants import SHARE, rows_in_average
from signscope.limits.stationary import finite_max_lr, max_lr
from signscope.problems import LeastSquares

ROWS_PER_COLUMN = 10
MANY = 0.01  # relative: what the stability limit of many coordinates may be off beyond DENSE_REACH
AGREES = {"gaussian": 0.02, "data": 0.08}  # mean relative gap

__all__ = ["Assumption", "as_dicts", "assess", "examine"]


def assess(
    problem: LeastSquares, entries: Sequence[Entry], *, batch_size: int, betas: tuple[float, float]
) -> list[Assumption]:
    """Every condition that can be checked in a second or so, for the optimizers of ``entries``, and the gaps seen."""
    rates: dict[str, float] = {}
    for entry in entries:
        rates.setdefault(entry.optimizer, entry.lr)
    return examine(problem, rates, batch_size=batch_size, betas=betas) + _agreement(entries)


def examine(
    problem: LeastSquares, rates: Mapping[str, float | None], *, batch_size: int, betas: tuple[float, float]
) -> list[Assumption]:
    """The conditions that need no run.

    Args:
        problem: The problem.
        rates: The optimizers with their rates; None where no rate was chosen, NaN where there is none.
        batch_size: Rows per update.
        betas: Adam's averages.
    """
    names = list(rates)
    found = problem_conditions(problem, names, batch_size=batch_size)
    found += noise_conditions(problem.noise, names, dim=problem.dim, betas=betas)
    if "sgd" in rates:
        found += _stability(problem, rates["sgd"], batch_size)
    if "adam" in rates:
        found.append(_adam_memory(problem, betas))
    if "signum" in rates and betas[0] > 0:  # without momentum it is signSGD
        found += _signum(problem, Setting("signum", batch_size, betas))
    if problem.rows is not None:
        signed = any(name != "sgd" for name in names)
        found.append(_row_count(problem))
        found += row_shape(problem.rows.features, problem.rows.residuals if signed else None)
    return found


def _stability(problem: LeastSquares, lr: float | None, batch_size: int) -> list[Assumption]:
    if math.isinf(problem.noise.second_moment) or (lr is not None and not math.isfinite(lr)):
        return []
    top, reason = _sgd_limit(problem, batch_size)
    if lr is None:
        text = f"SGD is stable below lr {top:.3g}, step size {top / problem.dim:.3g} ({reason})"
        return [Assumption("sgd largest rate", top, True, text)]
    share = lr / top
    text = f"SGD's lr {lr:.3g} is {100 * share:.3g}% of its stability limit ({reason})"
    return [Assumption("sgd stability", share, share < 1, text, 1.0, f"Use a rate below {top:.3g} for SGD.")]


def _sgd_limit(problem: LeastSquares, batch_size: int) -> tuple[float, str]:
    """The stability limit of the rows that SGD is given (Gaussian ones: at this dimension), and the reason for it."""
    top, reason = max_lr(problem, "sgd", batch_size=batch_size)
    if problem.rows is not None and batch_size == 1:
        return top, reason
    if problem.dim > DENSE_REACH and not problem.cov.is_diagonal:  # no eigenvalues unless they matter
        share = (batch_size + 1) * spectrum_bounds(problem.cov).high / problem.cov.trace
        if share <= MANY:  # the limit is above top / (1 + share)
            return top, reason
    many = f"2 dim batch_size / tr K = {top:.4g} is that of many coordinates"
    return finite_max_lr(problem, batch_size=batch_size), f"Gaussian rows at dim = {problem.dim}; {many}"


def _adam_memory(problem: LeastSquares, betas: tuple[float, float]) -> Assumption:
    window = 1 / (1 - betas[0])
    share = window / problem.dim
    text = f"Adam's momentum averages {window:.3g} steps, {100 * share:.2g}% of one unit of time; it should be short"
    advice = "Use a smaller beta1, or trust the simulation of Adam rather than its prediction."
    return Assumption("adam momentum", share, share <= SHORT * (1 + 1e-9), text, SHORT, advice)


def _signum(problem: LeastSquares, setting: Setting) -> list[Assumption]:
    rows = rows_in_average(setting.betas[0], setting.batch_size)
    share = rows / problem.dim
    text = f"Signum's average holds about {rows:.3g} rows, {100 * share:.2g}% of dim; signs of many rows saturate"
    advice = "Use a smaller momentum or batch, or trust the simulation of Signum rather than its prediction."
    error = -saturation(problem, setting)
    start = f"at the start Signum's mean step is {100 * error:.2g}% shorter than linear in the displacement"
    return [
        Assumption("signum average", share, share <= SHARE, text, SHARE, advice),
        Assumption("signum saturation", error, error <= SATURATED, start, SATURATED, advice),
    ]


def _row_count(problem: LeastSquares) -> Assumption:
    assert problem.rows is not None
    ratio = problem.rows.num_rows / problem.dim
    text = (
        f"{problem.rows.num_rows} rows for {problem.dim} columns; with fewer than {ROWS_PER_COLUMN} per column the "
        "covariance is a rough estimate"
    )
    advice = "Predictions are for these rows; for new rows of the same kind get more of them, or drop columns."
    return Assumption("rows per column", ratio, ratio >= ROWS_PER_COLUMN, text, float(ROWS_PER_COLUMN), advice)


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
    return Assumption(name, gap.mean, ok, text, AGREES[rows], "Trust the simulation.")
