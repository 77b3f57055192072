"""The search for rates: a task on a grid of steps, the best multiple of a shape, the best knots of a free shape."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from signscope.limits.coefficients import Setting
from signscope.limits.gaussian import risk_scale
from signscope.limits.optimal_flow import Array, Flow
from signscope.limits.optimal_modes import Modes, few_modes
from signscope.limits.optimal_scalars import Scalars, scalars
from signscope.limits.stationary import finite_max_lr, max_lr
from signscope.problems import LeastSquares

MARGIN = 0.98  # of SGD's stability limit: no schedule passes it at any time
FEWEST_STEPS, MOST_STEPS = 64, 512
LEVELS = (5, 9, 17, 33)  # knots of the free shape; each search starts from the one before
MAX_ITERATIONS = 200  # of L-BFGS, over all levels
_STEP_ERROR = 1e-3  # of the risk at the best constant rate, allowed to the grid of steps
_RANGE = 0.02, 12.0  # of the first peaks tried, in natural rates
_COARSE, _FINE, _ZOOMS, _WIDENINGS = 13, 9, 3, 6
_SMALLEST = 1e-7  # of the natural rate: the lowest rate of a schedule
_FLAT = 1e-8  # change of log R per iteration at which a level ends


@dataclass(frozen=True, eq=False)
class Task:
    """What is minimised: the risk at a horizon, with the compressed equations and bounds on the rate."""

    modes: Modes
    scalars: Scalars
    horizon: float
    highest: float  # rate
    scale: float  # of the risk

    @classmethod
    def of(cls, problem: LeastSquares, setting: Setting, horizon: float) -> "Task":
        """The task of a problem and a setting; the rate stays below 0.98 of SGD's stability limit."""
        top, _ = max_lr(problem, setting.optimizer, batch_size=setting.batch_size)
        if setting.optimizer == "sgd":
            top = min(top, finite_max_lr(problem, batch_size=setting.batch_size))
        return cls(few_modes(problem, setting), scalars(problem, setting), horizon, MARGIN * top, risk_scale(problem))

    def flow(self, num_steps: int) -> Flow:
        """The equations on ``num_steps`` steps, short at both ends, where the best schedules bend."""
        return Flow(self.modes, self.scalars, graded(self.horizon, num_steps))

    @property
    def natural(self) -> float:
        """A rate at which the risk falls by a factor of about e within the horizon."""
        start = self.modes.start
        risk = max(float(start.sum()), 1e-12 * self.scale)
        weights = start if start.sum() > 0 else np.ones_like(start)
        slope = max(float(self.scalars(np.array([risk]))[0][0]), 1e-3 / math.sqrt(self.scale))
        speed = slope * float(weights @ self.modes.eigvals) / float(weights.sum())
        return min(1 / (self.horizon * speed), self.highest)

    @property
    def lowest(self) -> float:
        """The smallest rate a schedule may have."""
        return _SMALLEST * self.natural

    def settled(self) -> tuple[Flow, float]:
        """A grid of steps fine enough, and the best constant rate on it."""
        num_steps = FEWEST_STEPS
        flow = self.flow(num_steps)
        evaluations = 0
        while True:
            (rate,), (risk,) = best_peaks(self, flow, np.ones((1, num_steps)))
            finer = self.flow(2 * num_steps)
            checked = float(finer.final(np.full((1, 2 * num_steps), rate))[0])
            evaluations += flow.evaluations + finer.evaluations
            if abs(risk - checked) <= 3 * _STEP_ERROR * checked or num_steps >= MOST_STEPS:
                flow.evaluations = evaluations
                return flow, float(rate)
            flow, num_steps = finer, 2 * num_steps


def graded(horizon: float, num_steps: int) -> Array:
    """Edges from 0 to ``horizon`` with the spacing of a cosine, shape (num_steps + 1,)."""
    return 0.5 * horizon * (1 - np.cos(np.pi * np.arange(num_steps + 1) / num_steps))


def best_peaks(task: Task, flow: Flow, shapes: Array) -> tuple[Array, Array]:
    """The multiples of some shapes with the lowest risk, all shapes searched side by side.

    Args:
        task: For the range of rates.
        flow: The equations.
        shapes: Rates of the steps up to a factor, largest 1, shape (shapes, N).

    Returns:
        Peaks and risks, shape (shapes,) both; peaks to about 0.1%.
    """
    top, bottom = math.log(task.highest) if math.isfinite(task.highest) else math.inf, math.log(task.lowest)

    def risks(logs: Array) -> Array:
        lanes = np.exp(logs)[..., None] * shapes[:, None, :]
        found = flow.final(lanes.reshape(-1, shapes.shape[1])).reshape(logs.shape)
        return np.where(np.isfinite(found), found, np.inf)

    low, high = (math.log(task.natural * factor) for factor in _RANGE)
    gap = (high - low) / (_COARSE - 1)
    rows = np.arange(len(shapes))
    centre = np.full(len(shapes), 0.5 * (low + high))
    offsets = gap * (np.arange(_COARSE) - _COARSE // 2)
    for _ in range(_WIDENINGS):
        logs = np.clip(centre[:, None] + offsets, bottom, top, dtype=np.float64)
        best = logs[rows, risks(logs).argmin(1)]
        done = (abs(best - centre) < abs(offsets[0]) - 0.5 * gap) | (best >= top) | (best <= bottom)
        centre = best
        if done.all():
            break
    values, place = np.full((len(shapes), _FINE), np.inf), rows
    for _ in range(_ZOOMS):
        gap *= 2 / (_FINE - 1)
        logs = np.clip(centre[:, None] + gap * (np.arange(_FINE) - _FINE // 2), bottom, top, dtype=np.float64)
        values = risks(logs)
        place = values.argmin(1)
        centre = logs[rows, place]
    return np.exp(centre), values[rows, place]


@dataclass(frozen=True, eq=False)
class Knots:
    """A continuous schedule: straight lines through ``rates`` at ``times``."""

    times: Array
    rates: Array
    iterations: int


def best_knots(task: Task, flow: Flow, start: float) -> Knots:
    """The continuous piecewise linear schedule with the lowest risk, from the constant rate ``start``.

    L-BFGS on log rates with exact gradients, on 5, 9, 17 and 33 knots in turn. Each unknown is scaled by the square
    root of the time it governs, without which finer knots would need more iterations.
    """
    times, logs = graded(task.horizon, LEVELS[0] - 1), np.full(LEVELS[0], math.log(start))
    iterations = 0
    for level in LEVELS:
        finer = graded(task.horizon, level - 1)
        logs, times = np.interp(finer, times, logs), finer
        weights = hats(times, flow.middles)
        logs, used = descend(task, flow, weights, logs, MAX_ITERATIONS - iterations)
        iterations += used
    return Knots(times, np.exp(logs), iterations)


def descend(task: Task, flow: Flow, weights: Array, logs: Array, max_iterations: int) -> tuple[Array, int]:
    """L-BFGS from ``logs`` for the schedules ``weights @ exp(logs)``: the best logs and the iterations."""
    scale = np.sqrt(weights.T @ np.diff(flow.edges) / task.horizon)
    floor = 1e-30 * task.scale

    def objective(scaled: Array) -> tuple[float, Array]:
        rates = np.exp(scaled / scale)
        risk, gradient = flow.gradient(weights @ rates)
        return math.log(risk + floor), (weights.T @ gradient) * rates / (risk + floor) / scale

    high = math.log(task.highest) if math.isfinite(task.highest) else math.inf
    bounds = [(math.log(task.lowest) * each, high * each) for each in scale]
    begin = np.clip(logs, math.log(task.lowest), high) * scale
    options = {"maxiter": max_iterations, "maxcor": 20, "ftol": _FLAT, "gtol": 1e-6}
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x / scale, int(found.nit)


def hats(knots: Array, at: Array) -> Array:
    """Weights of linear interpolation from ``knots`` to ``at``, shape (len(at), len(knots))."""
    left = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    share = (at - knots[left]) / (knots[left + 1] - knots[left])
    weights, rows = np.zeros((len(at), len(knots))), np.arange(len(at))
    weights[rows, left], weights[rows, left + 1] = 1 - share, share
    return weights
