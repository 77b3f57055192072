"""`predict`: the risk curve of an optimizer before it is run."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import Unsupported
from signscope._core.status import OPTIMIZERS, PREDICTED, Status
from signscope._version import __version__
from signscope.curves import Curve
from signscope.limits.coefficients import Setting, memory_rate, memory_too_long
from signscope.limits.error_bar import with_spectrum
from signscope.limits.exact import exact_sgd_risk
from signscope.limits.finite_dimension import finite_dimension_risk
from signscope.limits.gaussian import solve_risk
from signscope.limits.modes import modes_of
from signscope.limits.rate_range import final_rate
from signscope.limits.rows import Stream, flow, prepare
from signscope.limits.rows_moments import RowMoments
from signscope.limits.stationary import finite_max_lr, undefined_reason
from signscope.limits.statistics import Form, as_form, quadratic_statistic
from signscope.limits.statistics_large import node_statistic
from signscope.limits.step_length import doubts
from signscope.problems import LeastSquares, as_problem
from signscope.problems.arrays import as_float64
from signscope.schedules import Schedule, as_schedule

METHODS = ("auto", "gaussian", "dense", "quadrature", "rows", "exact")
_POINTS = 201
_LARGE_BATCH = 0.1  # of dim
_SLACK = 0.9  # of the limit of many coordinates: a stability limit of the dimension above it is taken for the same
_ROWS_RTOL = 4e-3  # the flow's own modelling error is larger; a smaller tolerance would only cost time
_EQUATIONS = {
    "rows": "(13.1)-(13.4)",
    "exact": "(4.2)",
    "finite_dim": "(4.1) and terms of order 1/dim",
}  # the others: (4.1)


def predict(
    problem: LeastSquares,
    optimizer: str,
    *,
    lr: "float | Schedule | Callable[[Tensor], Tensor]",
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    times: Tensor | None = None,
    method: str = "auto",
    rtol: float = 1e-6,
    quantity: Form = "excess_risk",
    stream: Stream = "replace",
    finite_dim: bool = False,
) -> Curve:
    """Predicted risk curve of ``optimizer`` on ``problem``.

    Args:
        problem: Least-squares problem.
        optimizer: sgd, signsgd, adam or signum.
        lr: The theory's rate: a number, a `Schedule`, or a function of time. One update moves by lr / dim.
        horizon: End of the curve, in steps/dim.
        batch_size: Rows per update, B.
        betas: Adam's (beta1, beta2); any beta2 in [0, 1). Signum's momentum is beta1.
        times: Times to report, in steps/dim, increasing; 201 equally spaced ones by default.
        method: ``"gaussian"``: limit of high dimension for Gaussian rows, equation (4.1), by eigenvalues up to dim
            = 4,000 or for a diagonal covariance, by Lanczos quadrature beyond; ``"dense"`` and ``"quadrature"`` force
            one of the two. ``"rows"``: the flow
            driven by the data set's own rows, section 13. ``"exact"``: SGD's mean at this dimension, (4.2).
            ``"auto"``: rows for a problem made from data at batch size 1, gaussian otherwise.
        rtol: Relative tolerance of the solver; the flow on data rows is solved to 4e-3 at best.
        quantity: ``"excess_risk"``, ``"distance"`` (squared), ``"grad_norm"`` (squared), or a symmetric matrix Q
            of shape (d, d) for E v'Qv, equation (4.3).
        stream: For method ``"rows"``: ``"replace"`` for rows drawn with replacement, ``"once"`` for one pass.
        finite_dim: Gaussian rows at this dimension in place of the limit: SGD exactly, signSGD (batch size 1, up to
            1,000 coordinates) with every term of order 1/dim; see `signscope.limits.finite_dimension`.

    Returns:
        A `Curve`. A run that the theory rules out is a curve with status undefined or unstable and a message; its
        values are NaN (undefined) or go to ``inf`` (unstable). Unstable is SGD whose rate stays beyond the stability
        limit over the last tenth of the run; a rate that is so high earlier only does what the curve shows.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The combination is not covered (for example rows with a batch above 1).
    """
    checks.one_of("predict", "optimizer", optimizer, PREDICTED)
    checks.one_of("predict", "method", method, METHODS)
    problem = as_problem("predict", problem)
    form = as_form("predict", quantity, problem.dim)
    grid = report_times("predict", horizon, times)
    schedule = as_schedule(lr, who="predict", horizon=float(grid[-1]))
    setting = Setting(
        optimizer,
        checks.integer("predict", "batch_size", batch_size, minimum=1),
        checks.betas("predict", betas),
    )
    rtol = checks.positive("predict", "rtol", rtol)
    checks.one_of("predict", "stream", stream, get_args(Stream))
    chosen = _method(problem, setting, _at_this_dim(method, setting) if finite_dim else method, form)
    if stream == "once" and chosen != "rows":
        raise Unsupported("predict: stream 'once' is for method 'rows'; Gaussian rows are always new ones.")
    reason = "" if chosen == "rows" else undefined_reason(problem, setting)
    if reason:
        answer = _nothing(grid), "undefined", reason
    else:
        solver = partial(_rows, stream=stream) if chosen == "rows" else _SOLVERS[chosen]
        answer = solver(problem, setting, schedule, grid, rtol, form)
    tolerance = max(rtol, _ROWS_RTOL) if chosen == "rows" else rtol
    source = provenance(chosen, setting, schedule, tolerance)
    if chosen == "rows":
        source["options"]["stream"] = stream
    curve = as_curve(problem, setting, schedule, grid, answer, source, form)
    if reason or chosen in _EQUATIONS:
        return curve
    return with_spectrum(curve, problem, setting, schedule, rtol=rtol, method=chosen)


def as_curve(
    problem: LeastSquares,
    setting: Setting,
    schedule: Schedule,
    grid: Tensor,
    answer: "Answer",
    source: dict[str, Any],
    form: Form = "excess_risk",
) -> Curve:
    """The `Curve` of a solver's answer."""
    value, status, message = answer
    return Curve(
        time=grid,
        value=value,
        quantity=form if isinstance(form, str) else "quadratic",
        status=status,
        message=message,
        optimizer=setting.optimizer,
        lr=schedule.initial,
        step_size=schedule.initial / problem.dim,
        provenance=source,
    )


def report_times(who: str, horizon: Any, times: Any) -> Tensor:
    """The times to report, checked: increasing, from at least 0, up to ``horizon``."""
    end = checks.positive(who, "horizon", horizon, unit="(steps/dim)")
    if times is None:
        return torch.linspace(0, end, _POINTS, dtype=torch.float64)
    grid = as_float64(who, "times", times)
    ok = grid.ndim == 1 and len(grid) and bool((grid >= 0).all()) and bool((grid[1:] > grid[:-1]).all())
    if not ok or float(grid[-1]) > end * (1 + 1e-12):
        raise checks.InvalidInput(f"{who}: `times` must increase from 0 or more to at most horizon = {end:g}.")
    return grid


def _method(problem: LeastSquares, setting: Setting, method: str, form: Form) -> str:
    named = isinstance(form, str)
    on_rows = problem.rows is not None and setting.batch_size == 1 and named and setting.optimizer in OPTIMIZERS
    if method == "auto":
        return "rows" if on_rows else "gaussian"
    if method == "exact" and setting.optimizer != "sgd":
        raise Unsupported("predict: method 'exact' exists for sgd only; use 'gaussian'.")
    if method == "exact" and not (named and form == "excess_risk"):
        raise Unsupported("predict: method 'exact' gives excess_risk only; use 'gaussian' for other quantities.")
    if method == "rows" and problem.rows is None:
        raise Unsupported("predict: method 'rows' needs a problem made by LeastSquares.from_data.")
    if method == "rows" and not on_rows:
        raise Unsupported(
            "predict: method 'rows' covers batch_size 1, named quantities and not signum; use 'gaussian'."
        )
    return method


def _at_this_dim(method: str, setting: Setting) -> str:
    """The method that ``finite_dim`` stands for."""
    if method not in ("auto", "gaussian") and not (method == "exact" and setting.optimizer == "sgd"):
        raise Unsupported(f"predict: finite_dim is for Gaussian rows (method 'gaussian'), not for method {method!r}.")
    return "exact" if setting.optimizer == "sgd" else "finite_dim"


Answer = tuple[Tensor, Status, str]


def _gaussian(
    problem: LeastSquares,
    setting: Setting,
    schedule: Schedule,
    grid: Tensor,
    rtol: float,
    quantity: Form,
    *,
    method: str = "gaussian",
) -> Answer:
    keep = not (isinstance(quantity, str) and quantity == "excess_risk")
    modes = modes_of(problem, setting.kernel, method=method)
    solution = solve_risk(problem, setting, schedule, grid, rtol=rtol, keep_steps=keep, modes=[modes])
    value = solution.risk[0]
    if keep and modes.quadrature is not None:
        value = node_statistic(problem, setting, quantity, modes, solution, grid)
    elif keep:
        value = quadratic_statistic(problem, setting, quantity, solution, grid)
    doubt, end = doubts(problem, setting, schedule, grid, solution.risk[0]), float(grid[-1])
    return (value, *verdict(problem, setting, schedule, end, value, bool(solution.finished[0]), doubt=doubt))


def _exact(
    problem: LeastSquares, setting: Setting, schedule: Schedule, grid: Tensor, rtol: float, quantity: Form
) -> Answer:
    value = exact_sgd_risk(problem, schedule, grid, batch_size=setting.batch_size)
    finished = bool(torch.isfinite(value).all())
    return (value, *verdict(problem, setting, schedule, float(grid[-1]), value, finished, exactly=True))


def _finite_dim(
    problem: LeastSquares, setting: Setting, schedule: Schedule, grid: Tensor, rtol: float, quantity: Form
) -> Answer:
    found = finite_dimension_risk(problem, setting, schedule, grid, quantity=quantity)
    value = found.value.nan_to_num(nan=math.inf, posinf=math.inf)
    finished = bool(torch.isfinite(value).all())
    status, message = verdict(problem, setting, schedule, float(grid[-1]), value, finished)
    if status == "ok" and found.message:
        return value, "inaccurate", found.message
    return value, status, message


def _rows(
    problem: LeastSquares,
    setting: Setting,
    schedule: Schedule,
    grid: Tensor,
    rtol: float,
    quantity: Form,
    *,
    stream: Stream,
) -> Answer:
    found = flow(
        row_moments(problem),
        optimizer=setting.optimizer,
        schedule=schedule,
        horizon=float(grid[-1]) or 1 / problem.dim,  # the start alone is asked for: any length will do
        displacement=problem.displacement,
        times=grid,
        betas=setting.betas,
        quantity=quantity,  # pyright: ignore[reportArgumentType]
        rtol=max(rtol, _ROWS_RTOL),
        bias_floor=False,
        stream=stream,
    )
    return found.value, found.status, found.message


_ROW_MOMENTS: "WeakKeyDictionary[LeastSquares, RowMoments]" = WeakKeyDictionary()


def row_moments(problem: LeastSquares) -> RowMoments:
    """The averages over the rows of ``problem``, prepared once."""
    if problem not in _ROW_MOMENTS:
        assert problem.rows is not None
        _ROW_MOMENTS[problem] = prepare(problem.rows)
    return _ROW_MOMENTS[problem]


_SOLVERS = {
    "gaussian": _gaussian,
    "dense": partial(_gaussian, method="dense"),
    "quadrature": partial(_gaussian, method="quadrature"),
    "exact": _exact,
    "finite_dim": _finite_dim,
}


def verdict(
    problem: LeastSquares,
    setting: Setting,
    schedule: Schedule,
    end: float,
    value: Tensor,
    finished: bool,
    *,
    doubt: str = "",
    final: Sequence[tuple[float, int]] = (),
    exactly: bool = False,
) -> tuple[Status, str]:
    """Status and message of a curve for Gaussian rows, computed up to time ``end``.

    ``doubt`` is what `doubts` says of it; ``final`` has the rates and batch sizes of its last tenth, where
    those are not the schedule's and the setting's; ``exactly`` is for a curve without a limit, whose stability is
    that of its dimension.
    """
    if setting.optimizer == "sgd":
        final = final or [(final_rate(schedule, end), setting.batch_size)]
        if reason := _beyond(problem, schedule, final, slack=1.0 if exactly else _SLACK):
            return "unstable", reason
    if not finished and bool(value.isnan().any()):
        return "inaccurate", (
            "the solver ran out of steps before the horizon (NaN from there on): the schedule changes too often. "
            "Raise rtol, or smooth the schedule."
        )
    if not finished or not bool(torch.isfinite(value).all()):
        return "diverged", "the predicted risk leaves the finite range. Use a smaller lr or a shorter horizon."
    if setting.optimizer != "sgd" and setting.batch_size > max(1, _LARGE_BATCH * problem.dim):
        return "inaccurate", (
            f"batch_size {setting.batch_size} is more than {_LARGE_BATCH:g} of dim = {problem.dim}: the signs of so "
            "large a batch saturate, which the limit of high dimension does not see (batch = dim / 2: 4% off, batch = "
            "2 dim: 17%). Trust the simulation."
        )
    if doubt:
        return "inaccurate", doubt
    if why := memory_too_long(setting, problem.dim):
        return "inaccurate", why
    if setting.optimizer == "adam" and math.isinf(problem.noise.second_moment) and not memory_rate(setting, problem):
        return _lag_without_variance(setting, problem.dim)
    return "ok", ""


def _beyond(problem: LeastSquares, schedule: Schedule, final: Sequence[tuple[float, int]], *, slack: float) -> str:
    """That every rate of the final stretch is beyond the stability limit of its batch size; empty if one is not."""
    limits = {size: _gaussian_limit(problem, size, slack) for _, size in final}
    rate, size = min(final, key=lambda pair: pair[0] / limits[pair[1]][0])
    top, reason = limits[size]
    if not rate >= top:
        return ""
    where = "" if rate == schedule.initial else ", the least over the last tenth of the run,"
    return f"lr {rate:g}{where} is beyond the stability limit: {reason}. Use a smaller lr."


def _gaussian_limit(problem: LeastSquares, batch_size: int, slack: float) -> tuple[float, str]:
    limit = 2 * problem.dim * batch_size / float(problem.cov.diagonal().sum())
    if not modes_of(problem, "sgd").eigvals.max() > 0:
        return limit, ""
    top = finite_max_lr(problem, batch_size=batch_size)
    if top > slack * limit:
        return limit, f"2 dim batch_size / tr K = {limit:.4g}"
    return (
        top,
        f"{top:.4g} at dim = {problem.dim} (2 dim batch_size / tr K = {limit:.4g} is the limit of many coordinates)",
    )


def _lag_without_variance(setting: Setting, dim: int) -> tuple[Status, str]:
    """Adam's average must be short against dim where the noise has no variance to write its lag with."""
    window = 1 / (1 - setting.betas[1]) if setting.betas[1] else 0.0
    if window <= 0.1 * dim:
        return "ok", ""
    return "inaccurate", (
        f"beta2 = {setting.betas[1]:g} averages over {window:.0f} steps, not short against dim = {dim}, and under "
        "noise of infinite variance this lag is not modelled. Use a smaller beta2 or trust the simulation."
    )


def _nothing(grid: Tensor) -> Tensor:
    return torch.full_like(grid, torch.nan)


def provenance(method: str, setting: Setting, schedule: Schedule, rtol: float) -> dict[str, Any]:
    """Where a predicted curve comes from, ready for JSON."""
    return {
        "kind": "prediction",
        "method": method,
        "equation": _EQUATIONS.get(method, "(4.1)"),
        "options": {
            "optimizer": setting.optimizer,
            "batch_size": setting.batch_size,
            "betas": list(setting.betas),
            "rtol": rtol,
            **schedule.describe(),
        },
        "seed": None,
        "version": __version__,
    }
