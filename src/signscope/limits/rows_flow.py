"""The state (mu, Sigma) of the flow on rows, with one exponential midpoint step of it.

A step freezes the linear part twice: at its start, which gives the middle (and a first-order end), and at the
middle, which gives the end to second order. The difference of the two ends is the error estimate.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from signscope._core.types import Matrix, Vector
from signscope.limits.rows_adam import Fluctuation
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
        response: For rows drawn once: J, how far a constant push of every update has moved the runs, the shape of
            cov. None for rows drawn with replacement.
    """

    time: float
    mean: Tensor
    cov: Tensor
    square: Vector
    response: Tensor | None = None

    @property
    def lanes(self) -> Tensor:
        """What moves along the drift: the mean, shape (d,), or mean and response side by side, (d, 1 + d)."""
        return self.mean if self.response is None else torch.cat([self.mean[:, None], self.response], dim=1)

    def moved(self, time: float, lanes: Tensor, cov: Matrix, square: Vector) -> "State":
        """The state elsewhere, from its ``lanes`` there."""
        if lanes.ndim == 1:
            return State(time, lanes, cov, square)
        return State(time, lanes[:, 0].contiguous(), cov, square, lanes[:, 1:].contiguous())


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
        uneven: What fluctuations of Adam's second moment do, where its memory is short.
        beta1: Adam's first memory, also where momentum is taken to act at once. Unused by the others.
        once: Whether each row is drawn once, not with replacement.
        all_rows: Whether every average of the sign runs over all rows, block by block.
        offset: What all rows add to drift and jacobian of the sign, which the averages take from a subset.
        single: Whether the propagators may run in float32.
    """

    data: RowMoments
    optimizer: str
    schedule: Schedule
    form: Matrix
    peak: float
    forget: tuple[float, float] = (math.inf, math.inf)
    uneven: Fluctuation | None = None
    beta1: float = 0.0
    once: bool = False
    all_rows: bool = False
    offset: tuple[Tensor, Tensor] | None = None
    single: bool = False

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
        if self.once:
            state = replace(state, response=torch.zeros_like(state.cov))
        return self.view(state, raw)

    def anchored(self, view: View) -> "System":
        """The same flow, drift and jacobian of the sign corrected by an average over all rows at ``view``.

        On a subset of n rows the inverse of H is too large by a share of order d/n, and the zero of m lies at a
        random distance of order sqrt(d/n) from that of all rows; neither averages out. The difference to all rows
        hardly moves with the state, so one average over all rows serves for several steps.
        """
        if self.data.whole is None or self.optimizer != "signsgd" or self.all_rows:
            return self
        mean, cov, floor = view.state.mean, view.state.cov, self._floor(view.state.time)
        own = self.data.sign_local(mean, cov, floor)
        drift, jacobian = self.data.whole.sign_drift(mean, cov, floor)
        return replace(self, offset=(drift - own.drift, jacobian - own.jacobian))

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
            return self.data.gradient_local(mean, cov, between=self.once)
        floor, whole = self._floor(state.time), self.data.whole
        if self.all_rows and whole is not None:
            drift, jacobian = whole.sign_drift(mean, cov, floor)
            return Local(drift, jacobian, self.data.sign_second, torch.zeros_like(mean))
        local = self.data.sign_local(mean, cov, floor, between=self.once)
        if self.offset is None:
            return local
        return replace(local, drift=local.drift + self.offset[0], jacobian=local.jacobian + self.offset[1])

    def _floor(self, time: float) -> float:
        """Smallest q^2 of the sign's averages: what a single update makes of Sigma = 0."""
        rate = max(self.lr(time), 1e-3 * self.peak)  # a warm-up starts at 0
        return max((rate / self.data.dim) ** 2 * self.data.sign_floor, TINY)

    def view(self, state: State, raw: Local | None = None) -> View:
        """The moments at ``state`` and how fast the quantity changes there."""
        d = self.data.dim
        raw = self.raw(state) if raw is None else raw
        local = raw if self.optimizer != "adam" else self._divided(state, raw)
        if local.jacobian.ndim == 1:
            moved = local.jacobian[:, None] * state.cov
        else:
            moved = local.jacobian[:d] @ state.cov[:, :d]
        if local.between is not None and state.response is not None and not self.keeps_momentum:
            moved = moved + local.between @ state.response.T / self.data.num_total
        noise = 0.0 if self.keeps_momentum else float((self.form * local.noise).sum()) / d
        drift = local.drift[:d]
        pull = (2 * float(state.mean[:d] @ self.form @ drift), noise, 2 * float((self.form * moved).sum()))
        return View(state, raw, local, self.parts(state), pull)

    def linear(self, view: View, lr: float) -> tuple[Tensor, Tensor, Tensor]:
        r"""H, the drift of the lanes, and N of the linear flow at rate ``lr``, in units of 1/time.

        Rows drawn once: two updates see different rows, so that the noise of one owes a share 1/n of what rows
        bring again, C = ``between``, to each other one,

        $$ \Sigma_{once} = \Sigma - \tfrac1n J C J', \quad dJ/dt = S - H J, $$

        where S is how an update enters the state. C is taken to be the same in all updates.
        """
        d, local = self.data.dim, view.local
        rate = torch.full_like(local.drift, lr)  # of every coordinate of the state
        source, noise = rate, lr**2 / d * local.noise
        if self.keeps_momentum:
            rate[d:] = self.forget[0]
            source = torch.cat([torch.zeros_like(rate[:d]), rate[d:]])
            noise = source[:, None] * local.noise * source / d
        jacobian = (rate if local.jacobian.ndim == 1 else rate[:, None]) * local.jacobian
        drift, response = rate * local.drift, view.state.response
        if response is None or local.between is None:
            return jacobian, drift, noise
        owed = source[:, None] * (local.between @ response.T) / self.data.num_total
        pulled = _applied(jacobian, response)
        return jacobian, torch.cat([drift[:, None], pulled - torch.diag(source)], dim=1), noise - owed - owed.T

    def absorbed(self, state: State, first: Vector, later: Vector, span: float, at: float) -> Vector:
        """Adam's uncorrected running mean after ``span``, with E g_i^2 linear through times 0 and ``at``."""
        if self.optimizer != "adam":
            return state.square
        forget = self.forget[1]
        left = math.exp(-forget * span)
        ramp = span + math.expm1(-forget * span) / forget  # integral of forget exp(-forget (span - u)) u du
        return left * state.square + (1 - left) * first + (later - first) * (ramp / at)

    def _passed_on(self, raw: Local, cov: Matrix) -> Local:
        r"""Moments of the gradient as momentum passes them on.

        A row kicks a run once. What the run's own place adds to its gradient, $H(v - \mu)$, lasts: momentum sees
        it through the drift, and all but the share $(1-\beta_1)/(1+\beta_1)$ of $H\Sigma H'$ is no noise. That
        share gives the exact stationary covariance of the linear recursion

        $$ m' = \beta_1 m + (1-\beta_1)(Hv + \xi), \quad v' = v - \eta m'. $$
        """
        if self.beta1 == 0:
            return raw
        lasting = raw.jacobian @ cov @ raw.jacobian.T
        return replace(raw, second=raw.second - 2 * self.beta1 / (1 + self.beta1) * lasting)

    def _divided(self, state: State, raw: Local) -> Local:
        """Direction of Adam: m_i/sqrt(s_i), with the momentum as a second block of the state if it is kept."""
        weight = -math.expm1(-self.forget[1] * state.time)
        scale = (state.square / weight if weight > 0 else raw.square).clamp(min=TINY).rsqrt()
        d = self.data.dim
        mean, cov = state.mean[:d], state.cov[:d, :d]
        raw = self._passed_on(raw, cov)
        if self.uneven is not None:
            risk = 0.5 * float(mean @ self.data.cov @ mean + (self.data.cov * cov).sum())
            shrunk, raw = self.uneven.applied(raw, risk)
            scale = shrunk * scale
        if not self.keeps_momentum:
            return raw.divided(scale)
        scale = scale / -math.expm1(-self.forget[0] * (state.time + 1 / d))  # after k updates 1 - beta1^(k + 1)
        momentum = state.mean[d:]
        jacobian = torch.zeros(2 * d, 2 * d, dtype=mean.dtype)
        jacobian[:d, d:] = torch.diag(scale)
        jacobian[d:, :d] = -raw.jacobian
        jacobian[d:, d:] = torch.eye(d, dtype=mean.dtype)
        drift = torch.cat([scale * momentum, momentum - raw.drift])
        nothing = torch.zeros_like(raw.noise)
        second = torch.block_diag(nothing, raw.noise) + torch.outer(drift, drift)
        between = None if raw.between is None else torch.block_diag(nothing, raw.between)
        return Local(drift, jacobian, second, raw.square, between)


@dataclass(frozen=True)
class Step:
    """A step tried: the view from its middle, the state at its end, and the relative error of the end."""

    middle: View
    end: State
    error: float


def take(system: System, begin: View, span: float) -> Step:
    """One exponential midpoint step of length ``span`` (steps/dim) from ``begin``; two propagators, one view."""
    half, state, lanes = 0.5 * span, begin.state, begin.state.lanes
    early = propagator(*system.linear(begin, system.lr(state.time + 0.25 * span)), half, single=system.single)
    middle = state.moved(state.time + half, lanes - early.shift, early.variance(state.cov), state.square)
    raw = system.raw(middle)
    middle = replace(middle, square=system.absorbed(state, begin.raw.square, raw.square, half, half))
    centre = system.view(middle, raw)
    rough = early.doubled()
    first = state.moved(state.time + span, lanes - rough.shift, rough.variance(state.cov), state.square)
    jacobian, drift, noise = system.linear(centre, system.lr(middle.time))
    ahead = lanes - middle.lanes
    drift = drift + _applied(jacobian, ahead)  # exact at the middle
    late = propagator(jacobian, drift, noise, span, single=system.single)
    square = system.absorbed(state, begin.raw.square, raw.square, span, half)
    end = state.moved(first.time, lanes - late.shift, late.variance(state.cov), square)
    return Step(centre, end, relative_gap(system.parts(first), system.parts(end)))


def _applied(jacobian: Tensor, lanes: Tensor) -> Tensor:
    """H times a vector or a matrix, H given whole or by its diagonal."""
    if jacobian.ndim == 2:
        return jacobian @ lanes
    return jacobian * lanes if lanes.ndim == 1 else jacobian[:, None] * lanes


def relative_gap(rough: tuple[float, float], fine: tuple[float, float]) -> float:
    """Summed difference of both parts, relative to their sum in ``fine``; infinite if that is not finite."""
    size = abs(fine[0]) + abs(fine[1])
    gap = abs(rough[0] - fine[0]) + abs(rough[1] - fine[1])
    return gap / max(size, TINY) if math.isfinite(size) and math.isfinite(gap) else math.inf
