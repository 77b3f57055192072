"""Risk curves on the rows of a data set: mean and covariance of an optimizer over runs, averaged over the data.

Nothing is assumed about the rows. The parameters of a run are a sum of many small steps, hence close to
Gaussian over runs, v = theta - target ~ N(mu, Sigma), and the data itself supplies every expectation.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope._core.status import OPTIMIZERS, Status
from signscope._core.types import Matrix
from signscope.limits.rate_range import check_kinks, final_rate
from signscope.limits.rows_adam import fluctuation
from signscope.limits.rows_driver import MAX_TRIES, Driver, Track
from signscope.limits.rows_flow import State, System, View, relative_gap
from signscope.limits.rows_moments import HasRows, RowMoments, prepare
from signscope.limits.rows_stability import bias_at_optimum, max_stable_lr, stationary_covariance
from signscope.schedules import Constant, Schedule, as_schedule

__all__ = ["RowsFlow", "RowsLimit", "flow", "max_stable_lr", "prepare", "settle"]

Quantity = Literal["excess_risk", "distance", "grad_norm"]
Stream = Literal["replace", "once"]
STEP_ERROR = 1.0  # accepted error estimate of a step per unit of rtol; the curve's error comes out below rtol
FINEST = 1e-4  # smallest rtol acted on: the Gaussian closure itself is off by more
COARSE = 1e-3  # rtol from which propagators run in float32, whose rounding stays below 1e-5
BLOW_UP = 1e9  # growth over the start that ends a run
MOMENTUM_UP_TO = 150  # dimension up to which Adam's momentum is part of the state (8 times the d^3 work)
SETTLE_ERROR, SETTLED = 0.05, 1e-5  # step error on the way to the stationary state; relative change at it
SETTLE_TRIES = 150
INSTANT = 1e9  # rate of a memory that follows at once
UNSETTLED = (
    "No stationary state was reached: on rows whose noise depends on x the mean direction may vanish nowhere near "
    "the target, and long runs drift away. Use a decaying rate and a finite horizon."
)
FLUCTUATION = 0.05  # relative variance of Adam's second moment beyond which it is called inaccurate


@dataclass(frozen=True, eq=False)
class RowsFlow:
    """A curve predicted on data rows.

    Attributes:
        time: Times in steps/dim, shape (num_times,).
        value: The quantity, mean_part + cov_part, shape (num_times,).
        mean_part: What the mean over runs alone would give: averaging runs does not remove it.
        cov_part: What the scatter of the runs adds.
        bias_floor: 1/2 mu'K mu at the stationary state of the last rate (see `settle`); NaN if not asked
            for or not reached.
        num_evaluations: Averages over the data that the curve took.
        status: ok, unstable, diverged or inaccurate.
        message: Why it is not ok, and what to do.
    """

    time: Tensor
    value: Tensor
    mean_part: Tensor
    cov_part: Tensor
    bias_floor: float
    num_evaluations: int
    status: Status
    message: str


@dataclass(frozen=True)
class RowsLimit:
    """Where the flow settles at a fixed rate.

    Attributes:
        excess_risk: 1/2 mu'K mu + 1/2 tr(K Sigma) there; inf where SGD is unstable.
        bias_floor: 1/2 mu'K mu there: the mean drift m(mu, Sigma) vanishes away from the target.
        status: ok, unstable or inaccurate (not settled).
        message: Why it is not ok.
    """

    excess_risk: float
    bias_floor: float
    status: Status
    message: str


@equation("signscope", "risk_curves (13.1)-(13.4)")
def flow(
    rows: "HasRows | RowMoments",
    *,
    optimizer: str,
    schedule: "Schedule | float",
    horizon: float,
    displacement: Tensor,
    times: Tensor | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    quantity: Quantity = "excess_risk",
    rtol: float = 4e-3,
    max_rows: int | None = None,
    seed: int = 0,
    bias_floor: bool = True,
    stream: Stream = "replace",
) -> RowsFlow:
    r"""Predicted risk of an optimizer that draws one row a step.

    $$ d\mu/dt = -lr\, m, \quad d\Sigma/dt = -lr (H\Sigma + \Sigma H') + (lr^2/d)(E[u u'] - m m'),
       \quad R = \tfrac12 \mu'K\mu + \tfrac12 tr(K\Sigma) $$

    with u the direction (sign(g), g, or g_i/sqrt(s_i) for Adam, s the bias-corrected running mean of E g_i^2),
    m = E u and H = dm/dmu; the averages are in `RowMoments`. SGD's moments close: there the flow differs from
    the exact second moments of the algorithm by the size of one step alone, relative order lr ||K||/d.

    Args:
        rows: Data set with ``features`` and ``residuals``, or the result of `prepare` (faster when repeated).
        optimizer: "sgd", "signsgd" or "adam"; batch size 1.
        schedule: Rate (one update moves by lr/dim) or schedule; steps end at its breakpoints.
        horizon: Last time in steps/dim.
        displacement: v0 = start - target, shape (d,).
        times: Times to report, within [0, horizon]; default 201 equally spaced ones.
        betas: Adam's. Momentum is a second block of the state up to dimension 150 and acts at once beyond.
        quantity: "excess_risk" 1/2 v'Kv, "distance" v'v or "grad_norm" v'K^2 v.
        rtol: Relative error aimed at, kept to a factor of about 1.5; values below 1e-4 are taken as 1e-4.
        max_rows: Rows the averages run over; where there are more, a random subset.
        seed: Seed of that subset.
        bias_floor: Whether to find the bias floor too (for signSGD 20-40 more averages).
        stream: "replace" for rows drawn with replacement, "once" for each row drawn at most once: the noise of all
            rows together is zero, which lowers the curve (see `rows_flow.System.linear`).

    Raises:
        InvalidInput: A bad optimizer name, rate, horizon, time, displacement or stream, or more steps than rows.
        Unsupported: A schedule of 3,000 pieces or more.

    Notes:
        Some 40-80 averages over the data, each 4 n d^2 operations and about 30 products of d x d matrices. Above
        the size of subset that `prepare` takes, an average over all rows every fourth step. Memory beyond the data:
        a copy and a half of the subset in float64, 25 matrices d x d.
    """
    who = "limits.rows.flow"
    data = prepare(rows, max_rows=max_rows, seed=seed)
    horizon = checks.positive(who, "horizon", horizon, unit="steps/dim")
    plan = as_schedule(schedule, who=who, horizon=horizon)
    check_kinks("predict", plan, horizon, most=MAX_TRIES)
    v0, wanted = _displacement(data, displacement), _times(times, horizon)
    grid = torch.linspace(0, horizon, 201, dtype=torch.float64)
    system = _system(who, data, optimizer, plan, peak=float(plan(grid).max()), quantity=quantity, betas=betas)
    rtol = max(checks.positive(who, "rtol", rtol), FINEST)
    single = _is_single(data) or rtol >= COARSE
    system = replace(system, once=_is_once(who, data, stream, horizon), single=single)
    begin = system.start(v0 if system.data.turn is None else system.data.turn.T @ v0)
    track = Track(begin)
    driver = Driver(system, STEP_ERROR * rtol, 0.5 / data.dim)
    last, status, message = _run(driver, begin, horizon, track)
    found = torch.from_numpy(track.at(wanted.numpy()))
    if status != "ok":
        found = found.nan_to_num(nan=math.inf)
    judged = _verdict(data, system, last, horizon)
    floor = _bias_floor(system, last, horizon) if bias_floor and status == "ok" else math.nan
    status, message = judged if judged[0] == "unstable" or status == "ok" else (status, message)
    mean_part, cov_part = found[:, 0].contiguous(), found[:, 1].contiguous()
    count = driver.evaluations + 1
    return RowsFlow(wanted, mean_part + cov_part, mean_part, cov_part, floor, count, status, message)


def settle(
    rows: "HasRows | RowMoments",
    *,
    optimizer: str,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    max_rows: int | None = None,
    seed: int = 0,
) -> RowsLimit:
    """Risk at which the flow settles at the constant rate ``lr``, with the part of it that is bias.

    The stationary state solves m(mu, Sigma) = 0 together with lr (H Sigma + Sigma H') = (lr^2/d) E[u u']; it is
    reached by following the flow from the target with ever longer steps, except SGD's, which is linear and solved
    exactly. For signSGD mu is not the target where the noise depends on x, and its averages run over all rows, block
    by block; for SGD and Adam m = 0 only at the least-squares solution.

    Args:
        rows: Data set, or the result of `prepare`.
        optimizer: "sgd", "signsgd" or "adam".
        lr: Constant rate.
        betas: Adam's.
        max_rows: Rows the averages of SGD and Adam run over; where there are more, a random subset.
        seed: Seed of that subset.
    """
    who = "limits.rows.settle"
    data = prepare(rows, max_rows=max_rows, seed=seed)
    plan = Constant(checks.positive(who, "lr", lr))
    system = _system(who, data, optimizer, plan, peak=plan.initial, quantity="excess_risk", betas=betas)
    if optimizer == "adam":  # the place where it settles does not depend on how fast it comes there
        system = replace(system, forget=(math.inf, INSTANT))
    status, message = _verdict(data, system, None, 0.0)
    if status == "unstable":
        return RowsLimit(math.inf, math.inf, status, message)
    if optimizer == "sgd":
        bias = _bias_floor(system, None, 0.0)
        return RowsLimit(bias + 0.5 * float((data.cov * stationary_covariance(data, lr)).sum()), bias, "ok", "")
    settled = _settle(system, system.start(torch.zeros(data.dim, dtype=torch.float64)))
    if settled is None:
        return RowsLimit(math.nan, math.nan, "inaccurate", UNSETTLED)
    return RowsLimit(sum(settled.parts), settled.parts[0], status, message)


def _displacement(data: RowMoments, displacement: Tensor) -> Tensor:
    """``displacement`` in float64, checked."""
    given = torch.as_tensor(displacement, dtype=torch.float64)
    if given.shape != (data.dim,) or not bool(given.isfinite().all()):
        raise InvalidInput(
            f"limits.rows.flow: `displacement` must be {data.dim} finite numbers (start - target), got shape "
            f"{tuple(given.shape)}."
        )
    return given


def _is_once(who: str, data: RowMoments, stream: str, horizon: float) -> bool:
    """Whether rows are drawn once, and there are enough of them."""
    if checks.one_of(who, "stream", stream, ("replace", "once")) == "replace":
        return False
    if horizon * data.dim > data.num_total + 0.5:
        raise InvalidInput(
            f"{who}: horizon {horizon:g} takes {horizon * data.dim:.0f} steps, but stream 'once' has "
            f"{data.num_total} rows, one a step. Shorten the horizon, or use 'replace'."
        )
    return True


def _times(times: Tensor | None, horizon: float) -> Tensor:
    """The times to report, checked."""
    if times is None:
        return torch.linspace(0, horizon, 201, dtype=torch.float64)
    given = torch.as_tensor(times, dtype=torch.float64)
    if given.ndim != 1 or not bool(((given >= 0) & (given <= horizon * (1 + 1e-12))).all()):
        raise InvalidInput(f"limits.rows.flow: `times` must be a vector within [0, {horizon:g}] steps/dim.")
    return given


def _system(
    who: str,
    data: RowMoments,
    optimizer: str,
    plan: Schedule,
    *,
    peak: float,
    quantity: str,
    betas: tuple[float, float],
) -> System:
    """The flow, with checked options."""
    checks.one_of(who, "optimizer", optimizer, OPTIMIZERS)
    checks.one_of(who, "quantity", quantity, ("excess_risk", "distance", "grad_norm"))
    first, second = checks.betas(who, betas)
    lags = first > 0 and data.dim <= MOMENTUM_UP_TO
    forget = -data.dim * math.log(first) if lags else math.inf, -data.dim * math.log(max(second, 1e-300))
    if optimizer == "adam" and first == second == 0:  # g/|g|
        optimizer = "signsgd"
    data = data.turned if optimizer == "sgd" else data
    uneven = fluctuation(data, (first, second)) if optimizer == "adam" else None
    return System(data, optimizer, plan, _form(data, quantity), peak, forget, uneven, beta1=first)


def _form(data: RowMoments, quantity: str) -> Matrix:
    """Q of the quantity v'Qv."""
    if quantity == "distance":
        return torch.eye(data.dim, dtype=torch.float64)
    return 0.5 * data.cov if quantity == "excess_risk" else data.cov @ data.cov


def _run(driver: Driver, begin: View, horizon: float, track: Track) -> tuple[View, Status, str]:
    """Step to ``horizon`` by way of the breakpoints; the last view reached, with the status of the run."""
    view, bound = begin, BLOW_UP * max(sum(begin.parts), 1.0)
    for edge in sorted({t for t in driver.system.schedule.breakpoints if 0 < t < horizon} | {horizon}):
        while view.state.time < edge:
            following = driver.advance(view, edge, track)
            if following is None and driver.tries >= MAX_TRIES:
                text = f"Stopped at t = {view.state.time:.3g} after {MAX_TRIES} steps. Raise `rtol`."
                return view, "inaccurate", text
            if following is None or not sum(following.parts) < bound:
                return view, "diverged", f"The risk left the range of numbers at t = {view.state.time:.3g}."
            view = following
    return view, "ok", ""


def _verdict(data: RowMoments, system: System, last: View | None, horizon: float) -> tuple[Status, str]:
    """Conditions under which the flow, or the optimizer, is not to be trusted."""
    if system.optimizer == "sgd":
        limit, rate = max_stable_lr(data), final_rate(system.schedule, horizon)
        if rate >= limit:
            where = "" if rate == system.schedule.initial else ", the least over the last tenth of the run,"
            text = f"lr = {rate:.4g}{where} is beyond the mean-square stability limit {limit:.4g} of SGD on these rows."
            return "unstable", text + " Lower `lr`."
    if system.optimizer == "adam" and last is not None:
        spread = _second_moment_spread(system, last.state)
        if spread > FLUCTUATION:
            text = "Adam's second moment fluctuates: beta2 averages too few rows for features this uneven "
            return "inaccurate", text + f"(relative variance {spread:.2g}). Raise beta2 or scale globally."
    return "ok", ""


def _second_moment_spread(system: System, state: State) -> float:
    """Relative variance of Adam's running mean of g_i^2 over runs, averaged over coordinates.

    Var(s_i)/s_i^2 = (E g_i^4/(E g_i^2)^2 - 1) sum w^2, w the weights of the running mean at that time; the
    average gives coordinate i the weight K_ii, its share in the risk.
    """
    data, d = system.data, system.data.dim
    beta2 = math.exp(-system.forget[1] / d)
    steps = max(state.time * d, 1.0)
    weights = (1 - beta2) / (1 + beta2) * (1 + beta2**steps) / (1 - beta2**steps)
    r2 = (data.features @ state.mean[:d] - data.residuals).square()
    q2 = data.spread(state.cov[:d, :d]).clamp(min=0)
    fourth = data.features.pow(4).T @ (r2**2 + 6 * r2 * q2 + 3 * q2**2) / data.num_rows
    second = data.features.square().T @ (r2 + q2) / data.num_rows
    share = data.cov.diagonal() / data.cov.trace()
    return weights * float(share @ (fourth / second.square().clamp(min=1e-300) - 1))


def _bias_floor(system: System, last: View | None, horizon: float) -> float:
    """Excess risk of the mean at the stationary state of the rate at ``horizon`` (at least 1% of the peak)."""
    data = system.data
    if system.optimizer != "signsgd" or last is None:  # m = 0 where K mu = E x eps, whatever the rate
        mean = bias_at_optimum(data)
        return 0.5 * float(mean @ data.cov @ mean)
    rate = max(system.lr(horizon), 0.01 * system.peak)
    constant = System(data, "signsgd", Constant(rate), _form(data, "excess_risk"), rate)
    settled = _settle(constant, constant.view(last.state))
    return math.nan if settled is None else settled.parts[0]


def _is_single(data: RowMoments) -> bool:
    """Whether the products over the rows run in float32, so that the rest may."""
    return data.wide.dtype == torch.float32


def _settle(system: System, view: View) -> View | None:
    """The stationary view, reached with ever longer steps; None where it is not reached."""
    # all rows: a correction now and then will not do where slow directions decide
    system = replace(system, all_rows=True, single=_is_single(system.data))
    driver = Driver(system, SETTLE_ERROR, max(0.1 * view.state.time, 0.5 / system.data.dim))
    while driver.evaluations < SETTLE_TRIES:
        before = view
        following = driver.advance(view, math.inf)
        if following is None:
            return None
        view = following
        long = view.state.time > 2 * before.state.time
        if long and relative_gap(before.parts, view.parts) < SETTLED:
            return view
    return None
