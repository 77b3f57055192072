"""`greedy_schedule`: the rate that makes the risk fall fastest at every instant."""

import math

import numpy as np

from signscope._core import checks
from signscope._core.equations import equation
from signscope.limits.optimal import ON_DATA, Design, final_risk, schedule_setting
from signscope.limits.optimal_flow import Array, Flow, power
from signscope.limits.optimal_scalars import Scalars
from signscope.limits.optimal_search import Task
from signscope.problems import LeastSquares
from signscope.schedules import PiecewiseLinear, Schedule

_STEPS = 128
_PASSES = 3  # each spreads the steps anew, where the risk moved in the last
_CLOSE = 1e-3  # of the rate, between two knots


def greedy_schedule(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Schedule:
    r"""The locally optimal rate, solved along the risk equation.

    Args:
        problem: Least-squares problem; the rows of a data set are taken as Gaussian.
        optimizer: sgd, signsgd, adam or signum.
        horizon: Length of the schedule, in steps/dim. It has no influence on the rates.
        batch_size: Rows per update.
        betas: Adam's averages.

    Returns:
        A `PiecewiseLinear` schedule within 0.1% of the greedy rate. SGD's rate stays below 0.98 of its stability
        limit.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem.

    Notes:
        For K = I the rate is 2 R phi(R) (signSGD) and R/P (SGD). It is far from optimal for a given horizon where
        the eigenvalues differ: it wastes no risk now, and leaves the small eigenvalues for later.
    """
    who = "greedy_schedule"
    setting = schedule_setting(who, problem, optimizer, batch_size, betas)
    task = Task.of(problem, setting, checks.positive(who, "horizon", horizon, unit="(steps/dim)"))
    return greedy_design(problem, task).schedule


def greedy_design(problem: LeastSquares, task: Task) -> Design:
    """The greedy schedule of a checked task, with its risk."""
    edges = np.linspace(0, task.horizon, _STEPS + 1)
    path, rates = _followed(task, edges)
    for _ in range(_PASSES - 1):
        edges = _spread(edges, path, task.horizon)
        path, rates = _followed(task, edges)
    knots = _needed(edges, rates)
    schedule = PiecewiseLinear(tuple(edges[knots].tolist()), tuple(rates[knots].tolist()))
    message = ON_DATA if problem.rows is not None else ""
    return Design("greedy", schedule, final_risk(task, schedule, task.flow(_STEPS)), 0, _PASSES + 1, message)


def _followed(task: Task, edges: Array) -> tuple[Array, Array]:
    """Risk and greedy rate at all edges."""
    flow = Flow(task.modes, task.scalars, edges)
    return flow.follow(lambda _, own, modes, risk, memory: _greedy_rate(task, own, modes, risk, memory))


@equation("xiao2024", "greedy learning rate (section 7)")
def _greedy_rate(task: Task, own: Scalars, modes: Array, risk: Array, memory: Array | None) -> Array:
    r"""$\eta = a_1\sum_j\lambda_j r_j \,/\, (b_1\sum_j g_j)$, where dR/dt is lowest."""
    slope, per_square = own(risk)
    ahead = 1.0 if memory is None else power(own, risk) / memory
    gain = slope * (modes @ task.modes.eigvals)
    cost = 2 * np.sqrt(ahead) * (per_square @ task.modes.sources.sum(1))
    return np.clip(gain / cost, task.lowest, task.highest)


def _spread(edges: Array, path: Array, horizon: float) -> Array:
    """As many edges, so that time and log R both move by similar amounts in every step."""
    moved = np.abs(np.diff(np.log(np.maximum(path, 1e-290))))
    share = np.diff(edges) / horizon + moved / max(moved.sum(), 1e-12)
    share = share + 0.05 * np.convolve(share, np.ones(5), mode="same")  # next to a bend as well
    place = np.concatenate([[0.0], np.cumsum(share)])
    found = np.interp(np.linspace(0, place[-1], len(edges)), place, edges)
    found[0], found[-1] = 0.0, horizon
    return found


def _needed(times: Array, rates: Array) -> list[int]:
    """Indices of knots such that straight lines between them stay within 0.1% of ``rates``."""
    logs = np.log(rates)

    def inner(first: int, last: int) -> list[int]:
        middle = np.arange(first + 1, last)
        line = rates[first] + (rates[last] - rates[first]) * (times[middle] - times[first]) / (
            times[last] - times[first]
        )
        if not len(middle):
            return []
        miss = np.abs(np.log(np.maximum(line, math.exp(-700))) - logs[middle])
        if miss.max() <= _CLOSE:
            return []
        worst = int(middle[miss.argmax()])
        return [*inner(first, worst), worst, *inner(worst, last)]

    return [0, *inner(0, len(times) - 1), len(times) - 1]
