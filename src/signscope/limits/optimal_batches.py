"""Batch sizes for a budget of samples: the best constant one, and the best one for every part of the run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.limits.coefficients import Setting
from signscope.limits.optimal import Design, final_risk, optimum, schedule_setting
from signscope.limits.optimal_flow import Array, Flow
from signscope.limits.optimal_scalars import Scalars, scalars
from signscope.limits.optimal_search import MAX_ITERATIONS, Task, descend, graded
from signscope.problems import LeastSquares
from signscope.schedules import BatchPlan, Constant

FEWEST_UPDATES = 100  # of a run: fewer are too long a step each for a limit of many small ones
_OF_DIM = 0.1  # largest batch tried by itself: beyond, signs saturate
_PIECES, _STEPS = 32, 128
_ROUNDS = 4
_TIE = 1e-3  # risks this close are called equal


@dataclass(frozen=True, eq=False)
class BestBatchSize:
    """The best constant batch size for a budget of samples.

    Attributes:
        batch_size: The one with the lowest risk; among equals (to 0.1%) the largest, as it makes the fewest updates.
        design: Its schedule, in steps/dim, and the risk at the end of the budget.
        horizon: Length of the run in steps/dim: samples / (batch_size dim).
        risks: Risk of every batch size tried.
        at_bound: Whether it is the smallest or largest one tried.
    """

    batch_size: int
    design: Design
    horizon: float
    risks: dict[int, float]
    at_bound: bool


def best_batch_size(
    problem: LeastSquares,
    optimizer: str,
    *,
    samples: int,
    batch_sizes: Iterable[int] | None = None,
    schedule: str = "constant",
    betas: tuple[float, float] = (0.9, 0.999),
) -> BestBatchSize:
    """The batch size with the lowest predicted risk after a number of samples, each at its own best rate.

    Args:
        problem: Least-squares problem; the rows of a data set are taken as Gaussian.
        optimizer: sgd, signsgd, adam or signum.
        samples: Rows that may be used.
        batch_sizes: Those to try; by default 1, 2, 3, 4, 6, 8, 12, ... up to dim / 10 that leave 100 updates.
        schedule: ``"constant"``: each batch size with its best constant rate; ``"optimal"``: with its best schedule.
        betas: Adam's averages, per update.

    Returns:
        A `BestBatchSize`.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem.

    Notes:
        In the limit of high dimension SGD's risk depends on the samples alone: all batch sizes are equal, with lr
        in proportion. For signSGD only phi_B / sqrt(B) counts. It grows by 25% from B = 1 to large B under Gaussian
        noise, and falls under noise that is peaked at 0 or heavy-tailed.
    """
    who = "best_batch_size"
    checks.one_of(who, "schedule", schedule, ("constant", "optimal"))
    budget = checks.integer(who, "samples", samples, minimum=1)
    settings = _settings(who, problem, optimizer, batch_sizes, betas, budget)
    found: dict[int, tuple[Design, float]] = {}
    for setting in settings:
        horizon = budget / (setting.batch_size * problem.dim)
        task = Task.of(problem, setting, horizon)
        found[setting.batch_size] = (optimum(problem, task) if schedule == "optimal" else _constant(task)), horizon
    risks = {size: design.risk for size, (design, _) in found.items()}
    lowest = min(risks.values())
    size = max(size for size, risk in risks.items() if risk <= lowest * (1 + _TIE))
    return BestBatchSize(size, *found[size], risks, size in (min(risks), max(risks)))


def _constant(task: Task) -> Design:
    flow, rate = task.settled()
    return Design("constant", Constant(rate), final_risk(task, Constant(rate), flow), 0, flow.evaluations)


@dataclass(frozen=True, eq=False)
class BatchDesign:
    """A plan that was searched for.

    Attributes:
        plan: Rates and batch sizes.
        risk: Predicted excess risk at its end.
        constant_risk: The same for the best constant batch size with its own optimal piecewise constant rates.
        constant_batch_size: That batch size.
        iterations: Iterations of L-BFGS over all rounds.
    """

    plan: BatchPlan
    risk: float
    constant_risk: float
    constant_batch_size: int
    iterations: int


@equation("signscope", "optimal batch size and rate for a sample budget")
def optimal_batch_plan(
    problem: LeastSquares,
    optimizer: str,
    *,
    samples: int,
    batch_sizes: Iterable[int] | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
) -> BatchDesign:
    r"""Learning rate and batch size as functions of time with the lowest predicted risk after some samples.

    Per sample the decay is $\alpha/B$ and the forcing $b/B$. Whatever decay is wanted, the batch size that pays
    least forcing for it is best, hence pointwise along the run
    $$ B(R) = \arg\min_B \; \frac{b/B}{(\alpha/B)^2} = \arg\max_B \frac{\varphi_B(R)}{\sqrt B} \quad\text{(signSGD)}, $$
    and the rate is optimised for it, in turns until no batch size changes.

    Args:
        problem: Least-squares problem; the rows of a data set are taken as Gaussian.
        optimizer: sgd, signsgd, adam or signum.
        samples: Rows that may be used.
        batch_sizes: Choices; by default those of `best_batch_size`.
        betas: Adam's averages, per update.

    Returns:
        A `BatchDesign` on 32 pieces; its risk is never above that of the best constant batch size.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem.
    """
    who = "optimal_batch_plan"
    budget = checks.integer(who, "samples", samples, minimum=1) / problem.dim
    settings = _settings(who, problem, optimizer, batch_sizes, betas, samples)
    search = _PlanSearch(problem, settings, budget)
    sizes = [setting.batch_size for setting in settings]
    first = min(sizes, key=search.constant_risk)
    chosen = [first] * _PIECES
    best = constant = search.optimised(chosen, None)
    iterations = best.iterations
    for _ in range(_ROUNDS):
        better = search.batch_sizes(best)
        if better == chosen:
            break
        chosen = better
        found = search.optimised(chosen, best.logs)
        iterations += found.iterations
        if not found.risk < best.risk:
            break
        best = found
    return BatchDesign(search.plan(best), best.risk, constant.risk, first, iterations)


@dataclass(frozen=True, eq=False)
class _Candidate:
    """Batch sizes of the pieces with their best rates."""

    sizes: list[int]
    logs: Array  # of the rates in units of B^power
    path: Array  # risk at the edges of the steps
    risk: float
    iterations: int


class _PlanSearch:
    """The pieces in samples/dim, and the equations per sample for every batch size."""

    def __init__(self, problem: LeastSquares, settings: list[Setting], budget: float) -> None:
        self.power = 1.0 if settings[0].optimizer == "sgd" else 0.5  # of B, that the best rates follow
        self.scalars = {s.batch_size: scalars(problem, s).per_sample(s.batch_size, self.power) for s in settings}
        task = Task.of(problem, replace(settings[0], batch_size=1), budget)
        self.task = replace(task, scalars=next(iter(self.scalars.values())))
        self.edges = graded(budget, _STEPS)
        self.pieces = np.repeat(np.eye(_PIECES), _STEPS // _PIECES, axis=0)  # (steps, pieces)

    def flow(self, sizes: list[int]) -> Flow:
        """The equations for batch sizes given by piece."""
        of_steps: list[Scalars] = [self.scalars[sizes[piece]] for piece in self.pieces.argmax(1)]
        return Flow(self.task.modes, of_steps[0], self.edges, of_steps)

    def constant_risk(self, size: int) -> float:
        """Risk of one batch size at its best constant rate."""
        task = replace(self.task, scalars=self.scalars[size])
        return _constant(task).risk

    def optimised(self, sizes: list[int], logs: Array | None) -> _Candidate:
        """The best rates for the given batch sizes, from rates at hand or from the best constant one."""
        flow = self.flow(sizes)
        if logs is None:
            _, rate = replace(self.task, scalars=self.scalars[sizes[0]]).settled()
            logs = np.full(_PIECES, math.log(rate))
        logs, iterations = descend(self.task, flow, self.pieces, logs, MAX_ITERATIONS)
        path = flow.path(np.exp(self.pieces @ logs)[None])[0]
        return _Candidate(sizes, logs, path, float(path[-1]), iterations)

    def batch_sizes(self, found: _Candidate) -> list[int]:
        """The batch size with the least forcing per squared decay at the risk in the middle of every piece."""
        width = _STEPS // _PIECES
        risk = found.path[width // 2 :: width]
        totals = self.task.modes.sources.sum(1)
        price = []
        for own in self.scalars.values():
            slope, per_square = own(risk)
            price.append((per_square @ totals) / slope**2)
        prices = np.stack(price)
        return self._least(prices)

    def _least(self, prices: Array) -> list[int]:
        """Of the choices that are equal to rounding, the largest."""
        sizes = np.array(list(self.scalars))
        equal = prices <= prices.min(0) * (1 + 1e-9)
        return [int(sizes[equal[:, piece]].max()) for piece in range(prices.shape[1])]

    def plan(self, found: _Candidate) -> BatchPlan:
        """In steps/dim, as an optimizer runs it."""
        width = _STEPS // _PIECES
        spans = np.diff(self.edges[::width]) / np.array(found.sizes)
        times = np.concatenate([[0.0], np.cumsum(spans)])
        rates = np.exp(found.logs) * np.array(found.sizes) ** self.power
        return BatchPlan(tuple(times[:-1].tolist()), tuple(rates.tolist()), tuple(found.sizes), float(times[-1]))


def _settings(
    who: str, problem: LeastSquares, optimizer: str, batch_sizes: Any, betas: tuple[float, float], samples: int
) -> list[Setting]:
    """One checked setting per batch size, ascending."""
    if batch_sizes is None:
        most = min(_OF_DIM * problem.dim, samples / FEWEST_UPDATES)
        powers = range(max(1, math.floor(math.log2(max(most, 1))) + 1))
        sizes = sorted({size for k in powers for size in (2**k, 3 * 2**k) if size <= max(most, 1)})
    else:
        try:
            sizes = sorted({checks.integer(who, "batch_sizes", size, minimum=1) for size in batch_sizes})
        except TypeError:
            raise InvalidInput(f"{who}: `batch_sizes` must be a list of whole numbers, got {batch_sizes!r}.") from None
    if not sizes:
        raise InvalidInput(f"{who}: `batch_sizes` is empty.")
    if sizes[-1] > samples:
        raise InvalidInput(f"{who}: a batch of {sizes[-1]} rows does not fit into {samples} samples.")
    return [schedule_setting(who, problem, optimizer, size, betas) for size in sizes]
