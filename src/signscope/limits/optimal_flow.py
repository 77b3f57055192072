r"""The risk at the horizon and its gradient in the rates: exponential midpoint steps and their adjoint.

One step of length h, with the scalars frozen at the risk of its middle, is

    r_j <- exp(-z_j) r_j + h f_j (1 - exp(-z_j)) / z_j,    z_j = alpha lambda_j h,    f_j = sum_s b_s g_sj,

and the middle is half a step with the scalars of the start. Second order, and stable at any stiffness. The adjoint
reverses exactly these operations, so that the gradient is that of the computed number, to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from signscope._core.equations import equation
from signscope.limits.optimal_modes import Modes
from signscope.limits.optimal_scalars import Scalars

_TINY = 1e-290
Array = np.ndarray[Any, np.dtype[np.float64]]
Policy = Callable[[int, Scalars, Array, Array, Array | None], Array]
"""(step, scalars, modes (lanes, n), risk (lanes,), memory (lanes,) or None) -> rate (lanes,)."""


@dataclass
class _Stage:
    """What one half or whole step computed, kept for the adjoint; arrays of shape (lanes, ...)."""

    risk: Array  # where the scalars were read
    memory: Array | None  # the lagging average there, divided by its bias
    rate: Array
    decay: Array  # exp(-z), (lanes, modes)
    mean: Array  # (1 - exp(-z)) / z
    alpha: Array
    force: Array  # b_s, (lanes, sources)
    push: Array  # f_j
    before: Array  # r_j
    span: float


class Flow:
    """Risk equation of one optimizer on a fixed grid of steps, for many schedules at once.

    Args:
        modes: The modes.
        scalars: alpha and b per unit of rate.
        edges: Times 0 = t_0 < ... < t_N = horizon, in steps/dim.
        scalars_of: Scalars of every step where they change on the way (batch sizes), shape (N,); default: ``scalars``.
    """

    def __init__(self, modes: Modes, scalars: Scalars, edges: Array, scalars_of: list[Scalars] | None = None) -> None:
        self.modes, self.edges = modes, edges
        self.scalars = [scalars] * (len(edges) - 1) if scalars_of is None else scalars_of
        self.lags = scalars.memory_rate is not None
        self.evaluations = 0  # schedules solved so far, gradients not counted apart

    @property
    def middles(self) -> Array:
        """Middle of every step: where a schedule is read."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def path(self, rates: Array) -> Array:
        """Risk at all edges for schedules given by their rates in the steps, (lanes, N) -> (lanes, N + 1)."""
        return self._forward(_given(rates), len(rates))[0]

    def final(self, rates: Array) -> Array:
        """Risk at the horizon, (lanes, N) -> (lanes,)."""
        return self.path(rates)[:, -1]

    def follow(self, policy: Policy) -> tuple[Array, Array]:
        """Risk at all edges, and the rate there, where the rate follows from the state: (N + 1,) both."""
        path, rates = self._forward(policy, 1)
        return path[0], rates[0]

    def gradient(self, rates: Array) -> tuple[float, Array]:
        """Risk at the horizon of one schedule and its derivatives in the rates, (N,) -> (), (N,)."""
        tape: list[tuple[_Stage, _Stage]] = []
        path, _ = self._forward(_given(rates[None]), 1, tape)
        return float(path[0, -1]), self._backward(tape)

    def _forward(
        self, policy: Policy, lanes: int, tape: list[tuple[_Stage, _Stage]] | None = None
    ) -> tuple[Array, Array]:
        """Risk and rate at all edges, (lanes, N + 1) both."""
        self.evaluations += lanes
        state = np.broadcast_to(self.modes.start, (lanes, len(self.modes.start)))
        risk = state.sum(1)
        raw = np.zeros(lanes)  # Adam's average before its bias is divided out
        path, rates = [risk], []
        for index, length in enumerate(np.diff(self.edges)):
            scalars, time = self.scalars[index], float(self.edges[index])
            memory = self._memory(scalars, raw, risk, time)
            rate = policy(index, scalars, state, risk, memory)
            rates.append(rate)
            half, middle = self._move(scalars, rate, risk, memory, state, 0.5 * length)
            middle_risk = middle.sum(1)
            raw_middle = self._average(scalars, raw, risk, middle_risk, 0.5 * length)
            memory = self._memory(scalars, raw_middle, middle_risk, time + 0.5 * length)
            rate = policy(index, scalars, middle, middle_risk, memory)
            whole, state = self._move(scalars, rate, middle_risk, memory, state, length)
            after = state.sum(1)
            raw = self._average(scalars, raw, risk, after, length)
            risk = after
            path.append(risk)
            if tape is not None:
                tape.append((half, whole))
        last = len(self.edges) - 2
        memory = self._memory(self.scalars[last], raw, risk, float(self.edges[-1]))
        rates.append(policy(last, self.scalars[last], state, risk, memory))
        return np.stack(path, axis=1), np.stack(rates, axis=1)

    @equation("signscope", "exponential midpoint step of (4.1)")
    def _move(
        self, scalars: Scalars, rate: Array, risk: Array, memory: Array | None, before: Array, span: float
    ) -> tuple[_Stage, Array]:
        slope, per_square = scalars(risk)
        ahead = 1.0 if memory is None else power(scalars, risk) / memory
        alpha = rate * slope * np.sqrt(ahead)
        force = (rate**2 * ahead)[:, None] * per_square
        z = np.multiply.outer(alpha * span, self.modes.eigvals) + _TINY
        lost = -np.expm1(-z)
        decay, mean = 1 - lost, lost / z
        push = force @ self.modes.sources
        stage = _Stage(risk, memory, rate, decay, mean, alpha, force, push, before, span)
        return stage, decay * before + span * push * mean

    @staticmethod
    def _memory(scalars: Scalars, raw: Array, risk: Array, time: float) -> Array | None:
        """Adam's average w at a time, its bias divided out; the target itself at time 0."""
        if scalars.memory_rate is None:
            return None
        if not time > 0:
            return power(scalars, risk)
        return np.maximum(raw / -np.expm1(-scalars.memory_rate * time), 2 * scalars.smallest)

    @staticmethod
    def _average(scalars: Scalars, raw: Array, risk: Array, after: Array, span: float) -> Array:
        """The raw average after ``span``, its target 2P linear in between."""
        if scalars.memory_rate is None:
            return raw
        keep, old, new = _weights(scalars.memory_rate * span)
        first, last = (2 * r + scalars.second_moment for r in (risk, after))
        return keep * raw + old * first + new * last

    def _backward(self, tape: list[tuple[_Stage, _Stage]]) -> Array:
        """Derivatives of the final risk in the rates of lane 0."""
        gradient = np.zeros(len(tape))
        half_by, whole_by = _Sensitivity.of(self, [h for h, _ in tape]), _Sensitivity.of(self, [w for _, w in tape])
        costate, by_raw = np.ones(len(self.modes.eigvals)), 0.0
        lengths = np.diff(self.edges)
        for index in range(len(tape) - 1, -1, -1):
            scalars, length, time = self.scalars[index], lengths[index], float(self.edges[index])
            rho = scalars.memory_rate
            keep, old, new = _weights(rho * length) if rho is not None else (0.0, 0.0, 0.0)
            costate = costate + 2 * new * by_raw
            by_alpha = float(costate @ whole_by.alpha[index])
            by_force = whole_by.force[index] @ costate
            gradient[index] += whole_by.rate(index, by_alpha, by_force)
            by_middle = whole_by.risk(index, by_alpha, by_force)
            by_risk, by_before = 2 * old * by_raw, keep * by_raw
            if rho is not None:
                bias = -np.expm1(-rho * (time + 0.5 * length))
                by_average = whole_by.memory(index, by_alpha, by_force) / bias
                half_keep, half_old, half_new = _weights(0.5 * rho * length)
                by_middle += 2 * half_new * by_average
                by_risk += 2 * half_old * by_average
                by_before += half_keep * by_average
            costate = costate * tape[index][1].decay[0] + by_middle * tape[index][0].decay[0]
            by_alpha = by_middle * half_by.alpha_total[index]
            by_force = by_middle * half_by.force_total[index]
            gradient[index] += half_by.rate(index, by_alpha, by_force)
            by_risk += half_by.risk(index, by_alpha, by_force)
            if rho is not None:
                by_average = half_by.memory(index, by_alpha, by_force)
                by_risk += 2 * by_average if time == 0 else 0.0
                by_before += by_average / -np.expm1(-rho * time) if time > 0 else 0.0
            costate, by_raw = costate + by_risk, by_before
        return gradient


@dataclass(frozen=True)
class _Sensitivity:
    """Derivatives of every stage of lane 0, computed for all steps together."""

    alpha: Array  # of the modes after the stage in alpha, (N, modes)
    force: Array  # in b_s, (N, sources, modes)
    alpha_total: Array  # summed over modes
    force_total: Array
    alpha_by: Array  # of alpha in (rate, R, w), (N, 3)
    force_by: Array  # of b_s in (rate, R, w), (N, 3, sources)

    @classmethod
    def of(cls, flow: Flow, stages: list[_Stage]) -> "_Sensitivity":
        eigvals, sources = flow.modes.eigvals, flow.modes.sources
        decay, mean, push, before = (
            np.stack([getattr(s, name)[0] for s in stages]) for name in ("decay", "mean", "push", "before")
        )
        span = np.array([s.span for s in stages])[:, None]
        z = np.array([s.alpha[0] for s in stages])[:, None] * span * eigvals + _TINY
        bend = np.where(z < 1e-3, -0.5 + z / 3 - z**2 / 8, (decay - mean) / np.maximum(z, 1e-3))  # of mean, in z
        alpha = span * eigvals * (-decay * before + span * push * bend)
        force = (span * mean)[:, None, :] * sources
        alpha_by, force_by = cls._of_scalars(flow.scalars, stages)
        return cls(alpha, force, alpha.sum(-1), force.sum(-1), alpha_by, force_by)

    @staticmethod
    def _of_scalars(scalars: list[Scalars], stages: list[_Stage]) -> tuple[Array, Array]:
        """How alpha and b_s of every stage answer to its rate, risk and memory; one call per set of scalars."""
        rate, risk, alpha, force = (
            np.stack([getattr(s, name)[0] for s in stages]) for name in ("rate", "risk", "alpha", "force")
        )
        slope, slope_by, per_square_by = np.empty_like(risk), np.empty_like(risk), np.empty_like(force)
        numbers = np.array([id(own) for own in scalars])
        for own in {id(own): own for own in scalars}.values():
            here = numbers == id(own)
            slope[here] = own(risk[here])[0]
            slope_by[here], per_square_by[here] = own.slopes(risk[here])
        by_risk, by_memory = np.zeros_like(risk), np.zeros_like(risk)  # of log q
        if stages[0].memory is not None:
            by_risk = 2 / power(scalars[0], risk)
            by_memory = -1 / np.stack([s.memory[0] for s in stages if s.memory is not None])
        ahead = (alpha / (rate * slope)) ** 2
        grown = (rate**2 * ahead)[:, None] * per_square_by
        alpha_by = [alpha / rate, alpha * (slope_by / slope + 0.5 * by_risk), 0.5 * alpha * by_memory]
        force_by = [2 * force / rate[:, None], grown + force * by_risk[:, None], force * by_memory[:, None]]
        return np.stack(alpha_by, axis=1), np.stack(force_by, axis=1)

    def rate(self, index: int, by_alpha: float, by_force: Array) -> float:
        """Derivative in the rate."""
        return self._chain(index, 0, by_alpha, by_force)

    def risk(self, index: int, by_alpha: float, by_force: Array) -> float:
        """Derivative in the risk where the scalars are read."""
        return self._chain(index, 1, by_alpha, by_force)

    def memory(self, index: int, by_alpha: float, by_force: Array) -> float:
        """Derivative in the lagging average."""
        return self._chain(index, 2, by_alpha, by_force)

    def _chain(self, index: int, which: int, by_alpha: float, by_force: Array) -> float:
        return by_alpha * float(self.alpha_by[index, which]) + float(by_force @ self.force_by[index, which])


def power(scalars: Scalars, risk: Array) -> Array:
    """2P = 2R + E eps^2; above 0 without noise too, risks below the table's end not being told apart."""
    return 2 * np.maximum(risk, scalars.smallest) + scalars.second_moment


def _given(rates: Array) -> Policy:
    """The policy that reads the rates of the steps from a table (lanes, N)."""
    return lambda index, scalars, state, risk, memory: rates[:, index]


def _weights(z: float) -> tuple[float, float, float]:
    """Of the old average, and of the first and last value of a linear target, over rho times the span ``z``."""
    keep = float(np.exp(-z))
    mean = float(-np.expm1(-z) / z) if z > 0 else 1.0
    last = 1 - mean  # int_0^1 z exp(-z (1 - u)) u du
    return keep, (1 - keep) - last, last
