"""`compare_schedules`: the best schedule of every usual shape next to the greedy and the optimal one."""

from collections.abc import Callable, Iterable

import numpy as np
import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.limits.greedy import greedy_design
from signscope.limits.optimal import ON_DATA, Design, final_risk, optimum, schedule_setting
from signscope.limits.optimal_flow import Array, Flow
from signscope.limits.optimal_search import Task, best_peaks
from signscope.problems import LeastSquares
from signscope.schedules import Constant, Cosine, Linear, Schedule, WarmupStableDecay

Family = Callable[[float, float], list[Schedule]]
"""(peak, horizon) -> the members of a family at that peak."""

DECAYS = tuple(i / 12 for i in range(1, 13))  # of the horizon, tried for warm-up, stable, decay
FAMILIES: dict[str, Family] = {
    "constant": lambda peak, horizon: [Constant(peak)],
    "linear": lambda peak, horizon: [Linear(peak, horizon)],
    "cosine": lambda peak, horizon: [Cosine(peak, horizon)],
    "wsd": lambda peak, horizon: [WarmupStableDecay(peak, horizon, decay=part * horizon) for part in DECAYS],
}
NAMES = (*FAMILIES, "greedy", "optimal")


def compare_schedules(
    problem: LeastSquares,
    optimizer: str,
    *,
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    shapes: Iterable[str] = NAMES,
) -> dict[str, Design]:
    """The best schedule of each shape for a horizon, by name.

    Args:
        problem: Least-squares problem; the rows of a data set are taken as Gaussian.
        optimizer: sgd, signsgd, adam or signum.
        horizon: Length of the run, in steps/dim.
        batch_size: Rows per update.
        betas: Adam's averages.
        shapes: Out of constant, linear (decay to 0), cosine (to 0), wsd (stable, then linear decay over a share of
            the run that is searched for; no warm-up), greedy and optimal.

    Returns:
        Designs in the order asked for. Peaks are those of the lowest risk, to 0.1%; SGD's stay below 0.98 of its
        stability limit.

    Raises:
        InvalidInput: An argument is out of range or a shape is unknown.
        Unsupported: The optimizer has no risk curve on this problem.
    """
    who = "compare_schedules"
    setting = schedule_setting(who, problem, optimizer, batch_size, betas)
    task = Task.of(problem, setting, checks.positive(who, "horizon", horizon, unit="(steps/dim)"))
    if isinstance(shapes, str):
        raise InvalidInput(f"{who}: `shapes` must be a list of names, got {shapes!r}.")
    wanted = [checks.one_of(who, "shapes", name, NAMES) for name in shapes]
    flow = task.settled()[0]
    found: dict[str, Design] = {}
    for name in wanted:
        if name in FAMILIES:
            found[name] = _best_member(problem, task, flow, name)
        else:
            found[name] = greedy_design(problem, task) if name == "greedy" else optimum(problem, task)
    return found


def _best_member(problem: LeastSquares, task: Task, flow: Flow, name: str) -> Design:
    """The member of a family, and its peak, with the lowest risk."""
    before = flow.evaluations
    members = FAMILIES[name](1.0, task.horizon)
    shapes = np.concatenate([_rates(member, flow) for member in members])
    peaks, risks = best_peaks(task, flow, shapes)
    best = int(risks.argmin())
    schedule = FAMILIES[name](float(peaks[best]), task.horizon)[best]
    risk = final_risk(task, schedule, flow)
    message = ON_DATA if problem.rows is not None else ""
    return Design(name, schedule, risk, 0, flow.evaluations - before + 1, message)


def _rates(schedule: Schedule, flow: Flow) -> Array:
    """Rates at the middles of the steps, (1, N)."""
    return schedule(torch.from_numpy(flow.middles)).numpy()[None]
