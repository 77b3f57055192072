"""`optimal_schedule`: the learning rate as a function of time with the lowest risk at a horizon."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.status import PREDICTED
from signscope.limits.coefficients import Setting
from signscope.limits.optimal_flow import Flow
from signscope.limits.optimal_search import Task, best_knots
from signscope.limits.stationary import undefined_reason
from signscope.problems import LeastSquares, as_problem
from signscope.schedules import BatchPlan, Constant, PiecewiseLinear, Schedule

ON_DATA = "the schedule is that of Gaussian rows with the data's covariance, not of the rows themselves"


@dataclass(frozen=True, eq=False)
class Design:
    """A schedule that was searched for.

    Attributes:
        name: constant, linear, cosine, wsd, greedy or optimal.
        schedule: The schedule, in steps/dim.
        risk: Predicted excess risk at the horizon (Gaussian theory).
        iterations: Iterations of L-BFGS; 0 for a search over one or two numbers.
        evaluations: Schedules whose risk was computed on the way, each at the cost of one short solve.
        message: What a reader has to know; empty if nothing.
    """

    name: str
    schedule: Schedule
    risk: float
    iterations: int = 0
    evaluations: int = 0
    message: str = ""


@overload
def optimal_schedule(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = ...,
    betas: tuple[float, float] = ...,
    batch_sizes: None = ...,
) -> Schedule: ...
@overload
def optimal_schedule(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = ...,
    betas: tuple[float, float] = ...,
    batch_sizes: Iterable[int] | str,
) -> BatchPlan: ...
def optimal_schedule(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    batch_sizes: Iterable[int] | str | None = None,
) -> Schedule | BatchPlan:
    """The schedule with the lowest predicted risk at ``horizon``; `design_schedule` also tells how it was found.

    Args:
        problem: Least-squares problem. Rows are taken as Gaussian with its covariance, also those of a data set.
        optimizer: sgd, signsgd, adam or signum.
        horizon: Length of the run, in steps/dim; with ``batch_sizes`` the budget in samples/dim.
        batch_size: Rows per update.
        betas: Adam's averages, per update.
        batch_sizes: Choices for a batch size that changes on the way, together with the rate; ``"auto"`` for
            1, 2, 3, 4, 6, 8, ... up to dim / 10.

    Returns:
        A `PiecewiseLinear` schedule of 33 knots (or the best constant rate where nothing is lower) for `predict`,
        `simulate`, and any torch optimizer by its ``torch_scheduler``. With ``batch_sizes`` a `BatchPlan` for
        `signscope.limits.predict_plan`.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem, as SGD under noise of infinite variance.
    """
    if batch_sizes is None:
        return design_schedule(problem, optimizer, horizon=horizon, batch_size=batch_size, betas=betas).schedule
    from signscope.limits.optimal_batches import optimal_batch_plan

    who = "optimal_schedule"
    if batch_size != 1:
        raise InvalidInput(f"{who}: give `batch_size` or `batch_sizes`, not both.")
    if isinstance(batch_sizes, str):
        checks.one_of(who, "batch_sizes", batch_sizes, ("auto",))
        batch_sizes = None
    samples = checks.positive(who, "horizon", horizon, unit="(samples/dim)") * as_problem(who, problem).dim
    size = max(1, round(samples))
    return optimal_batch_plan(problem, optimizer, samples=size, batch_sizes=batch_sizes, betas=betas).plan


@equation("signscope", "optimal schedule for a budget (section 7)")
def design_schedule(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Design:
    r"""The schedule that minimises log R(T), with its risk and the effort it took.

    $$ \min_{\eta(\cdot)} \log R(T), \qquad \dot r_j = -2\eta\,a_1(R)\,\lambda_j r_j + \eta^2 b_1(R)\,g_j $$

    Args:
        problem: As in `optimal_schedule`.
        optimizer: sgd, signsgd, adam or signum.
        horizon: T, in steps/dim.
        batch_size: Rows per update.
        betas: Adam's averages.

    Returns:
        A `Design`. Its risk is never above that of the best constant rate. SGD's rate stays below 0.98 of the
        stability limit of constant rates at all times.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem.

    Notes:
        About 30 iterations and 60 gradients, of which each costs three short solves whatever the number of knots.
        Gradients are exact for the computed risk (an adjoint of every step). The cost does not depend on dim, once
        the spectrum is known.
    """
    setting = schedule_setting("optimal_schedule", problem, optimizer, batch_size, betas)
    horizon = checks.positive("optimal_schedule", "horizon", horizon, unit="(steps/dim)")
    return optimum(problem, Task.of(problem, setting, horizon))


def optimum(problem: LeastSquares, task: Task) -> Design:
    """The design of a checked task."""
    flow, constant = task.settled()
    constant_risk = final_risk(task, Constant(constant), flow)
    message = ON_DATA if problem.rows is not None else ""
    best = Design("optimal", Constant(constant), constant_risk, 0, flow.evaluations, message)
    if not task.modes.start.any():
        return replace(best, message="the run starts at the optimum: the smallest rate is the best. " + message)
    knots = best_knots(task, flow, constant)
    schedule = PiecewiseLinear(tuple(knots.times.tolist()), tuple(knots.rates.tolist()))
    risk = final_risk(task, schedule, flow)
    found = replace(best, iterations=knots.iterations, evaluations=flow.evaluations + 1)
    return replace(found, schedule=schedule, risk=risk) if risk < constant_risk else found


def final_risk(task: Task, schedule: Schedule, flow: Flow) -> float:
    """Risk of ``schedule`` at the horizon, on four times the steps of ``flow``."""
    finer = task.flow(4 * len(flow.middles))
    rates = schedule(torch.from_numpy(finer.middles)).numpy()
    return float(finer.final(np.atleast_2d(rates))[0])


def schedule_setting(
    who: str, problem: LeastSquares, optimizer: str, batch_size: int, betas: tuple[float, float]
) -> Setting:
    """The checked setting of a search for schedules.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem.
    """
    as_problem(who, problem)
    checks.one_of(who, "optimizer", optimizer, PREDICTED)
    size = checks.integer(who, "batch_size", batch_size, minimum=1)
    setting = Setting(optimizer, size, checks.betas(who, betas))
    if reason := undefined_reason(problem, setting):
        raise Unsupported(f"{who}: {reason}")
    return setting
