"""`best_lr`: the constant rate with the lowest predicted risk at the horizon."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.status import OPTIMIZERS, PREDICTED
from signscope.comparison.search import cubic_minimum, minimize_scalar
from signscope.comparison.threads import fitting_threads
from signscope.curves import Curve
from signscope.limits import predict
from signscope.limits.coefficients import Setting
from signscope.limits.gaussian import final_risks
from signscope.limits.stationary import finite_max_lr, max_lr, undefined_reason
from signscope.problems import LeastSquares, as_problem

COARSE, FINE = 13, 9  # rates solved together, first over a wide range, then around the best one
RANGE = 0.02, 12.0  # of the first grid, in natural rates; widened where the best is at its edge
MARGIN = 0.98  # of the stability limit: the largest rate that is tried
WIDENINGS = 4
MOST_STEPS = 20_000  # of SGD's exact recursion while rates are compared: half a second each

_SEARCH_RTOL = 1e-2  # of the flow on data rows while rates are compared: the best one moves by less than 1%


@dataclass(frozen=True, eq=False)
class BestLr:
    """The best constant rate of one optimizer for one horizon.

    Attributes:
        lr: The theory's rate; NaN where the optimizer has no risk curve on this problem.
        step_size: ``lr / dim``, what torch.optim calls lr.
        curve: Prediction at this rate.
        at_bound: Whether the search ended at the edge of what it may try: just below SGD's stability limit, or
            at a rate so small that nothing moves (a start at the optimum).
    """

    lr: float
    step_size: float
    curve: Curve
    at_bound: bool


def best_lr(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
) -> BestLr:
    """The constant rate that minimises the predicted risk at ``horizon``, to about 1%.

    Args:
        problem: Least-squares problem.
        optimizer: sgd, signsgd, adam or signum.
        horizon: Length of the run in steps/dim.
        batch_size: Rows per update.
        betas: Adam's averages; the first is Signum's momentum.

    Returns:
        A `BestLr`. SGD under noise of infinite variance has none: its rate is NaN and the curve's status undefined.

    Raises:
        InvalidInput: An argument is out of range.

    Notes:
        The Gaussian theory is solved for 13 rates at once, then for 9 around the best, and a cubic ends the
        search. On a data set with batch size 1 this is the first guess, and the prediction on the rows
        themselves is then minimised with a handful of evaluations. SGD stays below 0.98 of its stability limit; where
        its best steps are too long for the theory (status *inaccurate*: large batches with little noise), the exact
        recursion is minimised, up to 20,000 steps.
    """
    problem = as_problem("best_lr", problem)
    checks.one_of("best_lr", "optimizer", optimizer, PREDICTED)
    horizon = checks.positive("best_lr", "horizon", horizon, unit="(steps/dim)")
    setting = Setting(
        optimizer,
        checks.integer("best_lr", "batch_size", batch_size, minimum=1),
        checks.betas("best_lr", betas),
    )
    if reason := undefined_reason(problem, setting):
        return undefined(optimizer, horizon, reason)
    with fitting_threads(problem):
        return _search(problem, setting, horizon)


def _search(problem: LeastSquares, setting: Setting, horizon: float) -> BestLr:
    bound = MARGIN * max_lr(problem, setting.optimizer, batch_size=setting.batch_size)[0]
    on_rows = problem.rows is not None and setting.batch_size == 1 and setting.optimizer in OPTIMIZERS
    if setting.optimizer == "sgd" and not on_rows:
        bound = min(bound, MARGIN * finite_max_lr(problem, batch_size=setting.batch_size))
    lr, at_bound = _gaussian_best(problem, setting, horizon, bound)
    if on_rows:
        return _refined(problem, setting, horizon, bound, lr, method="rows", rtol=_SEARCH_RTOL)
    curve = predict(
        problem, setting.optimizer, lr=lr, horizon=horizon, batch_size=setting.batch_size, betas=setting.betas
    )
    if setting.optimizer == "sgd" and curve.status == "inaccurate" and horizon * problem.dim <= MOST_STEPS:
        return _refined(problem, setting, horizon, bound, lr, method="exact")
    return BestLr(lr, lr / problem.dim, curve, at_bound)


def natural_lr(problem: LeastSquares, setting: Setting, horizon: float) -> float:
    """A rate at which an average direction decays by a factor e within the horizon."""
    if setting.optimizer == "sgd":
        return 1.0 / (horizon * float(problem.cov.diagonal().mean()))
    start = problem.excess_risk(problem.start).clamp(min=1e-12)
    slope = float(problem.noise.phi(start, batch_size=setting.batch_size))
    return 1.0 / (horizon * max(slope, 1e-12) * float(problem.cov.diagonal().sqrt().mean()))


def _gaussian_best(problem: LeastSquares, setting: Setting, horizon: float, bound: float) -> tuple[float, bool]:
    """Minimiser of the Gaussian theory's final risk, and whether it sits at an edge."""

    def risks(log_rates: Tensor, rtol: float) -> Tensor:
        found = final_risks(problem, setting, log_rates.exp(), horizon, rtol=rtol).detach()
        return torch.where(torch.isfinite(found) & (found > 0), found, torch.inf).log()

    top = math.log(bound) if math.isfinite(bound) else math.inf
    centre = math.log(natural_lr(problem, setting, horizon))
    low, high = (centre + math.log(factor) for factor in RANGE)
    shift = min(0.0, top - high)
    grid, values, best = _bracketed(lambda x: risks(x, 1e-3), low + shift, high + shift, top)
    if best in (0, len(grid) - 1):
        return float(grid[best].exp()), True
    fine = torch.linspace(float(grid[best - 1]), float(grid[best + 1]), FINE, dtype=torch.float64)
    values = risks(fine, 1e-6)
    first = min(max(int(values.argmin()) - 1, 0), FINE - 4)
    found = cubic_minimum(fine[first : first + 4].tolist(), values[first : first + 4].tolist())
    return math.exp(min(float(fine[values.argmin()]) if found is None else found, top)), False


def _bracketed(risks: Callable[[Tensor], Tensor], low: float, high: float, top: float) -> tuple[Tensor, Tensor, int]:
    """A grid of log rates whose best point is inside, widened on the side where it is not; values; best index."""
    grid = torch.linspace(low, high, COARSE, dtype=torch.float64)
    values = risks(grid)
    for _ in range(WIDENINGS):
        best = int(values.argmin())
        gap = float(grid[1] - grid[0])
        if best == 0:
            more = grid[0] - gap * torch.arange(COARSE // 2, 0, -1, dtype=torch.float64)
        elif best == len(grid) - 1 and float(grid[-1]) < top - 1e-12:
            more = (grid[-1] + gap * torch.arange(1, COARSE // 2 + 1, dtype=torch.float64)).clamp(max=top).unique()
        else:
            break
        order = torch.cat([grid, more]).argsort()
        grid, values = torch.cat([grid, more])[order], torch.cat([values, risks(more)])[order]
    return grid, values, int(values.argmin())


def _refined(
    problem: LeastSquares,
    setting: Setting,
    horizon: float,
    bound: float,
    guess: float,
    *,
    method: str,
    rtol: float = 1e-6,
) -> BestLr:
    """Minimiser of the final risk by a method that costs more, from the Gaussian theory's as first guess."""
    common = {"horizon": horizon, "batch_size": setting.batch_size, "betas": setting.betas, "method": method}

    def risk(log_lr: float) -> float:
        curve = predict(problem, setting.optimizer, lr=math.exp(log_lr), rtol=rtol, **common)
        final = math.inf if curve.failed else curve.final
        return math.log(final) if math.isfinite(final) and final > 0 else math.inf

    top = math.log(bound) if math.isfinite(bound) else math.inf
    found = minimize_scalar(risk, min(math.log(guess), top - math.log(2)), upper=top)
    curve = predict(problem, setting.optimizer, lr=math.exp(found.x), **common)
    return BestLr(curve.lr, curve.step_size, curve, found.at_edge)


def undefined(optimizer: str, horizon: float, message: str) -> BestLr:
    """No rate, and a curve of NaN that says why."""
    curve = Curve(
        time=torch.tensor([0.0, horizon], dtype=torch.float64),
        value=torch.full((2,), math.nan, dtype=torch.float64),
        status="undefined",
        message=message,
        optimizer=optimizer,
    )
    return BestLr(math.nan, math.nan, curve, False)
