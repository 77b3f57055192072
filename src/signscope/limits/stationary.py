"""Where an optimizer with a constant rate ends up: limit risk, stability and asymptotic rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import brentq

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope._core.status import PREDICTED, Status
from signscope.limits.coefficients import Setting, adam_moments, memory_too_long, signum_moments, slope_of
from signscope.limits.gaussian import risk_scale
from signscope.limits.modes import Modes, modes_of
from signscope.limits.rates import rightmost_of_low_rank, rightmost_root
from signscope.limits.rows_stability import max_stable_lr
from signscope.problems import LeastSquares, as_problem

_CLOSE, _FAR = 0.05, 0.65  # relative: what is said, and what is called inaccurate


@dataclass(frozen=True)
class Limit:
    """The stationary state of an optimizer at a constant rate.

    Attributes:
        excess_risk: Limit of R = 1/2 v'Kv as time grows; ``inf`` if there is none.
        rate: Asymptotic rate of convergence per unit of time (steps/dim): R - limit ~ exp(-rate t).
            Negative when unstable.
        stable: Whether the limit exists.
        max_lr: Supremum of the stable rates, for Gaussian rows in the limit of many coordinates; ``inf`` for signSGD
            and Adam. Where the largest stable rate of this dimension is another, `signscope.limits.max_lr` says so.
        status: ok, unstable, undefined or inaccurate.
        message: Why it is not ok, what was assumed about a data set, or how far the limit of many coordinates is from
            this dimension.
    """

    excess_risk: float
    rate: float
    stable: bool
    max_lr: float
    status: Status = "ok"
    message: str = ""


def limit(
    problem: LeastSquares,
    optimizer: str,
    *,
    lr: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Limit:
    """Limit risk, rate and stability of ``optimizer`` at the constant rate ``lr``.

    Args:
        problem: Least-squares problem. Rows are taken as Gaussian with its covariance; only the stability limit
            of SGD on a data set uses the rows themselves, equation (13.5).
        optimizer: sgd, signsgd, adam or signum.
        lr: The theory's rate, above 0.
        batch_size: B.
        betas: Adam's averages; the first is Signum's momentum.

    Returns:
        A `Limit`.

    Raises:
        InvalidInput: An argument is out of range.
    """
    problem = as_problem("limit", problem)
    checks.one_of("limit", "optimizer", optimizer, PREDICTED)
    lr = checks.positive("limit", "lr", lr)
    batch_size = checks.integer("limit", "batch_size", batch_size, minimum=1)
    setting = Setting(optimizer, batch_size, checks.betas("limit", betas))
    top, _ = max_lr(problem, optimizer, batch_size=batch_size)
    if reason := undefined_reason(problem, setting):
        return Limit(math.inf, math.nan, False, top, "undefined", reason)
    found = _sgd_limit(problem, lr, batch_size) if optimizer == "sgd" else _signed_limit(problem, setting, lr)
    if why := memory_too_long(setting, problem.dim):
        found = replace(found, status="inaccurate", message=why)
    if problem.rows is not None and not found.message:
        found = replace(found, message="limit risk and rate are those of Gaussian rows with the data's covariance")
    return found


def max_lr(problem: LeastSquares, optimizer: str, *, batch_size: int = 1) -> tuple[float, str]:
    """Supremum of the stable constant rates and the reason for it.

    For SGD on Gaussian rows it is that of many coordinates, 2 dim batch_size / tr K; the reason names the supremum at
    this dimension, `finite_max_lr`, where that is lower by more than 5%.
    """
    if optimizer != "sgd":
        return math.inf, "steps of bounded size never diverge"
    trace = float(problem.cov.diagonal().sum())
    gaussian = 2 * problem.dim * batch_size / trace
    if problem.rows is None or batch_size > 1:
        text = f"2 dim batch_size / tr K = {gaussian:.4g} for Gaussian rows"
        return gaussian, text + _at_this_dim(problem, batch_size, gaussian)
    rows = max_stable_lr(problem.rows)
    if rows < gaussian:
        return rows, f"mean-square stability on the data's rows ends at {rows:.4g} (Gaussian rows: {gaussian:.4g})"
    return gaussian, f"2 dim batch_size / tr K = {gaussian:.4g}"


def _at_this_dim(problem: LeastSquares, batch_size: int, gaussian: float) -> str:
    """How far the stability limit of this dimension is below that of many coordinates; empty where it is close."""
    squares = problem.cov.squared_norm()
    largest = problem.cov.extremes[1] if squares is None else math.sqrt(squares)  # or more
    share = (batch_size + 1) * largest / problem.cov.trace  # the limit sought is above gaussian / (1 + share)
    top = finite_max_lr(problem, batch_size=batch_size) if share > _CLOSE else gaussian
    if not top < (1 - _CLOSE) * gaussian:
        return ""
    return f" of many coordinates; at dim = {problem.dim} the mean risk grows from lr {top:.4g} on"


@equation("signscope", "gain of the noise of SGD on Gaussian rows")
def sgd_gain(problem: LeastSquares, rates: np.ndarray, *, batch_size: int = 1, exact: bool = True) -> np.ndarray:
    r"""Share Q of 2R + s^2 that the noise of SGD's steps feeds back into 2R at constant rates, shape of ``rates``.

    $$ Q = \frac{g}{B}\sum_j \frac{\lambda_j}{2 - (1 + 1/B)\,g\lambda_j}, \qquad g = \eta/d $$

    at this dimension, $g\,\mathrm{tr}K/(2B)$ in the limit of many coordinates (``exact=False``). Stable where Q < 1;
    the limit risk is s^2 Q / (2 (1 - Q)). ``inf`` where a direction is unstable by itself.
    """
    modes = modes_of(problem, "sgd")
    moving = modes.eigvals > 0
    eigvals = modes.eigvals[moving].numpy()
    weights = modes.sources[0][moving].numpy() / eigvals  # lambda_j times its multiplicity
    steps = np.asarray(rates, dtype=float)[..., None] / problem.dim
    room = np.full_like(steps * eigvals, 2.0) - (1 + 1 / batch_size if exact else 0.0) * steps * eigvals
    with np.errstate(divide="ignore"):
        shares = np.where(room > 0, weights / room, math.inf)
    return np.where(steps[..., 0] > 0, steps[..., 0] / batch_size * shares.sum(-1), 0.0)


@equation("signscope", "mean-square stability of SGD on Gaussian rows, at any dimension")
def finite_max_lr(problem: LeastSquares, *, batch_size: int = 1) -> float:
    r"""Supremum of the constant rates at which SGD's mean risk on Gaussian rows decays, no limit taken.

    Where the gain of `sgd_gain` reaches 1. That is below 2 d B / tr K, which it approaches while $g\lambda_1$ is small:
    not with large batches, nor where one eigenvalue is most of the trace.

    Args:
        problem: The problem; of data rows the covariance is used.
        batch_size: B.

    Returns:
        The rate, in the units of ``lr``.
    """
    top = 2 * problem.dim * batch_size / float(problem.cov.diagonal().sum())

    def excess(part: float) -> float:
        return float(sgd_gain(problem, np.array(part * top), batch_size=batch_size)) - 1

    return top * _root(excess)


def _root(excess: Callable[[float], float]) -> float:
    """Where an increasing function passes zero in (0, 1], by bisection: it has a pole at or behind the root."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return low


@equation("xiao2024", "stationary risk of SGD (5.2)")
def _sgd_limit(problem: LeastSquares, lr: float, batch_size: int) -> Limit:
    top, reason = max_lr(problem, "sgd", batch_size=batch_size)
    second, dim = problem.noise.second_moment, problem.dim
    trace = float(problem.cov.diagonal().sum())
    room = 2 * dim * batch_size - lr * trace
    eigvals, sources = _moving(modes_of(problem, "sgd"))
    rate = -rightmost_root(-2 * lr * eigvals, lr**2 / (dim * batch_size) * sources[0])
    if lr >= top:
        return Limit(math.inf, min(rate, 0.0), False, top, "unstable", f"lr {lr:g} is too large: {reason}.")
    return Limit(lr * trace * second / (2 * room), rate, True, top, *_at_this_rate(problem, lr, batch_size))


def _at_this_rate(problem: LeastSquares, lr: float, batch_size: int) -> tuple[Status, str]:
    """How far the limit risk of this dimension is from (5.2), for Gaussian rows."""
    gain, plain = (float(sgd_gain(problem, np.array(lr), batch_size=batch_size, exact=e)) for e in (True, False))
    ratio = gain * (1 - plain) / (plain * (1 - gain)) if gain < 1 else math.inf
    if ratio < 1 + _CLOSE or (problem.rows is not None and batch_size == 1):
        return "ok", ""
    where = f"at dim = {problem.dim} SGD on Gaussian rows "
    if gain >= 1:
        return "inaccurate", where + "is unstable at this rate; the limit of many coordinates does not see it"
    says = f"settles {100 * (ratio - 1):.2g}% higher than the limit of many coordinates, which is given here"
    return ("inaccurate" if ratio > 1 + _FAR else "ok"), where + says


@equation("xiao2024", "stationary risk of signSGD (5.1), Adam (5.3)")
def _signed_limit(problem: LeastSquares, setting: Setting, lr: float) -> Limit:
    r"""Root of $R\,s(R) = \eta\,c \mathrm{tr}D/(4d)$, s the slope and c a coordinate's variance: 1 for signSGD."""
    scale = risk_scale(problem)
    moments = _moments(problem, setting, scale)
    root_sum = float(problem.cov.diagonal().sqrt().sum())
    floor = lr * root_sum / (4 * problem.dim)

    def excess(log_risk: float) -> float:
        slope, variance, _ = moments(math.exp(log_risk))
        return log_risk + math.log(max(slope, 1e-300)) - math.log(floor * variance)

    low = high = math.log(scale)
    while excess(low) > 0:
        low -= 2
    while excess(high) < 0:
        high += 2
    risk = math.exp(brentq(excess, low, high, xtol=1e-14, rtol=8.9e-16))  # pyright: ignore[reportArgumentType]
    return Limit(risk, _signed_rate(problem, setting, lr, risk, moments), True, math.inf)


Moments = Callable[[float], tuple[float, float, tuple[float, ...]]]


def _moments(problem: LeastSquares, setting: Setting, scale: float) -> Moments:
    """Slope, long-run variance of a coordinate and weights of the sources of noise, at one risk."""
    if setting.kernel == "signsgd":
        law, batch = problem.noise, setting.batch_size
        exact = slope_of(law, batch, scale) if law.is_costly else lambda r: law.phi(r, batch_size=batch)
        return lambda risk: (float(exact(torch.tensor(risk, dtype=torch.float64))), 1.0, (2 / math.pi,))
    table = (signum_moments if setting.kernel == "signum" else adam_moments)(problem, setting)

    def at(risk: float) -> tuple[float, float, tuple[float, ...]]:
        slope, *noise = (float(part) for part in table(torch.tensor(risk, dtype=torch.float64)))
        if setting.kernel == "signum":
            arcsine, linear = noise
            return slope, arcsine + 2 / math.pi * linear, (2 / math.pi * arcsine, 2 / math.pi * linear)
        shared, variance = noise
        return slope, variance, (shared, variance - shared)

    return at


@equation("signscope", "(5.4) with the lag of Adam's second moment")
def _signed_rate(problem: LeastSquares, setting: Setting, lr: float, risk: float, moments: Moments) -> float:
    """Asymptotic rate at the stationary ``risk``.

    The Jacobian of (4.1) is diag(-2 a lambda) plus u 1', u_j = -2 a' lambda_j r_j + (b g_j)'. Adam's lagging
    second moment w adds a state with dw/dt = rho (2P - w), on which a goes as w^-1/2 and b as 1/w.
    """
    eigvals, sources = _moving(modes_of(problem, setting.kernel))
    dim = problem.dim

    def scalars(r: float) -> tuple[float, np.ndarray]:
        slope, _, weights = moments(r)
        return lr * slope, lr**2 / (2 * dim) * (np.array(weights) @ sources)

    a, force = scalars(risk)
    step = 1e-4 * risk
    (a_low, f_low), (a_high, f_high) = scalars(risk - step), scalars(risk + step)
    da, df = (a_high - a_low) / (2 * step), (f_high - f_low) / (2 * step)
    modes_at = force / (2 * a * eigvals)
    poles = -2 * a * eigvals
    now = -2 * da * eigvals * modes_at + df  # response to R where w follows at once
    if setting.kernel != "adam" or math.isinf(problem.noise.second_moment):
        return -rightmost_root(poles, now)
    power = 2 * risk + problem.noise.second_moment
    rho = -dim * math.log(setting.betas[1])
    by_memory = (a * eigvals * modes_at - force) / power  # d(dr_j/dt)/dw at w = 2P
    by_risk = now - 2 * by_memory  # at fixed w
    left, right = np.zeros((2, len(eigvals) + 1, 3))
    left[:-1, 0], right[:-1, 0] = by_risk, 1.0
    left[:-1, 1], right[-1, 1] = by_memory, 1.0
    left[-1, 2], right[:-1, 2] = 2 * rho, 1.0
    return -rightmost_of_low_rank(np.append(poles, -rho), left, right)


def _moving(modes: Modes) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and sources of the modes that enter R: those of a singular K's null space do not."""
    eigvals = modes.eigvals.numpy()
    keep = eigvals > len(eigvals) * np.finfo(float).eps * eigvals.max()
    return eigvals[keep], modes.sources.numpy()[:, keep]


def undefined_reason(problem: LeastSquares, setting: Setting) -> str:
    """Why the optimizer has no risk curve on this problem; empty if it has one."""
    if setting.optimizer == "sgd" and math.isinf(problem.noise.second_moment):
        return (
            f"sgd has no risk curve under {problem.noise.spec} noise: E eps^2 is infinite, so the mean squared "
            "gradient is too. signSGD is defined for this noise, and so is Adam at a fixed beta2 below 1."
        )
    if setting.optimizer == "adam":
        try:
            adam_moments(problem, setting)
        except Unsupported as error:
            return str(error)
    return ""
