"""The state (mu, Sigma) of the flow on rows, with one exponential midpoint step of it.

A step freezes the linear part twice: at its start, which gives the middle (and a first-order end), and at the
middle, which gives the end to second order. The difference of the two ends is the error estimate.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from signscope._core.types import Matrix, Vector
from signscope.limits.rows_moments import Local, RowMoments
from signscope.limits.rows_propagator import propagator
from signscope.schedules import Schedule

TINY = 1e-300


@dataclass(frozen=True)
class State:
    """Where the runs are at one time.

    Attributes:
        time: In steps/dim.
        mean: Mean of v = theta - target, followed by that of Adam's momentum if it is kept; shape (d,) or (2d,).
        cov: Covariance of the same vector over runs.
        square: Adam's running mean of E g_i^2 before bias correction, shape (d,).
    """

    time: float
    mean: Tensor
    cov: Tensor
    square: Vector


@dataclass(frozen=True)
class View:
    """A state with the moments of the update there.

    Attributes:
        state: The state.
        raw: Moments of the gradient, or of its sign.
        local: The same for the direction of the update, over the whole state vector: drift and jacobian in
            units of ``lr`` for v.
        parts: mu'Q mu and tr(Q Sigma).
        pull: (a, b, c) of d(mu'Q mu)/dt = -lr a and d tr(Q Sigma)/dt = lr^2 b - lr c.
    """

    state: State
    raw: Local
    local: Local
    parts: tuple[float, float]
    pull: tuple[float, float, float]

    def rates(self, lr: float) -> tuple[float, float]:
        """Time derivatives of ``parts`` at learning rate ``lr``."""
        a, b, c = self.pull
        return -lr * a, lr**2 * b - lr * c


@dataclass(frozen=True, eq=False)
class System:
    """The flow of one optimizer on one data set.

    Attributes:
        data: The rows.
        optimizer: sgd, signsgd or adam.
        schedule: Rate as a function of time.
        form: Matrix Q of the quantity v'Qv, shape (d, d).
        peak: Largest rate of the schedule.
        forget: Adam's relaxation rates -dim log(beta) per unit of time; the first is inf where momentum is
            taken to act at once. Unused by the others.
    """

    data: RowMoments
    optimizer: str
    schedule: Schedule
    form: Matrix
    peak: float
    forget: tuple[float, float] = (math.inf, math.inf)

    @property
    def keeps_momentum(self) -> bool:
        """Whether the state holds Adam's first moment."""
        return self.optimizer == "adam" and math.isfinite(self.forget[0])

    def lr(self, time: float) -> float:
        """The rate at ``time``."""
        return float(self.schedule(torch.tensor(time, dtype=torch.float64)))

    def start(self, displacement: Vector) -> View:
        """All runs at ``displacement``; the momentum holds the first gradient."""
        nothing = torch.zeros_like(displacement)
        state = State(0.0, displacement, torch.diag(nothing), nothing)
        raw = self.raw(state)
        if self.keeps_momentum:
            share = -math.expm1(-self.forget[0] / self.data.dim)  # 1 - beta1
            mean = torch.cat([displacement, share * raw.drift])
            cov = torch.block_diag(state.cov, share**2 * raw.noise)
            state = replace(state, mean=mean, cov=cov)
        return self.view(state, raw)

    def parts(self, state: State) -> tuple[float, float]:
        """The two parts of the quantity: mu'Q mu and tr(Q Sigma)."""
        d = self.data.dim
        mean = state.mean[:d]
        return float(mean @ self.form @ mean), float((self.form * state.cov[:d, :d]).sum())

    def raw(self, state: State) -> Local:
        """Moments of the gradient, or of its sign."""
        d = self.data.dim
        mean, cov = state.mean[:d], state.cov[:d, :d]
        if self.optimizer != "signsgd":
            return self.data.gradient_local(mean, cov)
        rate = max(self.lr(state.time), 1e-3 * self.peak)  # a warm-up starts at 0
        one_step = (rate / d) ** 2  # scale of Sigma after a single update
        return self.data.sign_local(mean, cov, max(one_step * self.data.sign_floor, TINY))

    def view(self, state: State, raw: Local | None = None) -> View:
        """The moments at ``state`` and how fast the quantity changes there."""
        d = self.data.dim
        raw = self.raw(state) if raw is None else raw
        local = raw if self.optimizer != "adam" else self._divided(state, raw)
        if local.jacobian.ndim == 1:
            moved = local.jacobian[:, None] * state.cov
        else:
            moved = local.jacobian[:d] @ state.cov[:, :d]
        noise = 0.0 if self.keeps_momentum else float((self.form * local.noise).sum()) / d
        drift = local.drift[:d]
        pull = (2 * float(state.mean[:d] @ self.form @ drift), noise, 2 * float((self.form * moved).sum()))
        return View(state, raw, local, self.parts(state), pull)

    def linear(self, local: Local, lr: float) -> tuple[Tensor, Tensor, Tensor]:
        """H, m and N of the linear flow at rate ``lr``, in units of 1/time."""
        d = self.data.dim
        if not self.keeps_momentum:
            return lr * local.jacobian, lr * local.drift, lr**2 / d * local.noise
        rate = torch.full((2 * d,), self.forget[0], dtype=torch.float64)
        rate[:d] = lr
        noise = torch.zeros_like(local.jacobian)
        noise[d:, d:] = self.forget[0] ** 2 / d * local.noise[d:, d:]
        return rate[:, None] * local.jacobian, rate * local.drift, noise

    def absorbed(self, state: State, first: Vector, later: Vector, span: float, at: float) -> Vector:
        """Adam's uncorrected running mean after ``span``, with E g_i^2 linear through times 0 and ``at``."""
        if self.optimizer != "adam":
            return state.square
        forget = self.forget[1]
        left = math.exp(-forget * span)
        ramp = span + math.expm1(-forget * span) / forget  # integral of forget exp(-forget (span - u)) u du
        return left * state.square + (1 - left) * first + (later - first) * (ramp / at)

    def _divided(self, state: State, raw: Local) -> Local:
        """Direction of Adam: m_i/sqrt(s_i), with the momentum as a second block of the state if it is kept."""
        weight = -math.expm1(-self.forget[1] * state.time)
        scale = (state.square / weight if weight > 0 else raw.square).clamp(min=TINY).rsqrt()
        if not self.keeps_momentum:
            return raw.divided(scale)
        d = self.data.dim
        scale = scale / -math.expm1(-self.forget[0] * (state.time + 1 / d))  # after k updates 1 - beta1^(k + 1)
        mean, momentum = state.mean[:d], state.mean[d:]
        jacobian = torch.zeros(2 * d, 2 * d, dtype=mean.dtype)
        jacobian[:d, d:] = torch.diag(scale)
        jacobian[d:, :d] = -raw.jacobian
        jacobian[d:, d:] = torch.eye(d, dtype=mean.dtype)
        drift = torch.cat([scale * momentum, momentum - raw.drift])
        spread = torch.block_diag(torch.zeros_like(raw.noise), raw.noise)
        return Local(drift, jacobian, spread + torch.outer(drift, drift), raw.square)


@dataclass(frozen=True)
class Step:
    """A step tried: the view from its middle, the state at its end, and the relative error of the end."""

    middle: View
    end: State
    error: float


def take(system: System, begin: View, span: float) -> Step:
    """One exponential midpoint step of length ``span`` (steps/dim) from ``begin``; two propagators, one view."""
    half, state = 0.5 * span, begin.state
    early = propagator(*system.linear(begin.local, system.lr(state.time + 0.25 * span)), half)
    middle = State(state.time + half, state.mean - early.shift, early.variance(state.cov), state.square)
    raw = system.raw(middle)
    middle = replace(middle, square=system.absorbed(state, begin.raw.square, raw.square, half, half))
    centre = system.view(middle, raw)
    rough = early.doubled()
    first = State(state.time + span, state.mean - rough.shift, rough.variance(state.cov), state.square)
    jacobian, drift, noise = system.linear(centre.local, system.lr(middle.time))
    ahead = state.mean - middle.mean
    drift = drift + (jacobian * ahead if jacobian.ndim == 1 else jacobian @ ahead)  # linear, exact at the middle
    late = propagator(jacobian, drift, noise, span)
    square = system.absorbed(state, begin.raw.square, raw.square, span, half)
    end = State(first.time, state.mean - late.shift, late.variance(state.cov), square)
    return Step(centre, end, relative_gap(system.parts(first), system.parts(end)))


def relative_gap(rough: tuple[float, float], fine: tuple[float, float]) -> float:
    """Summed difference of both parts, relative to their sum in ``fine``; infinite if that is not finite."""
    size = abs(fine[0]) + abs(fine[1])
    gap = abs(rough[0] - fine[0]) + abs(rough[1] - fine[1])
    return gap / max(size, TINY) if math.isfinite(size) and math.isfinite(gap) else math.inf
