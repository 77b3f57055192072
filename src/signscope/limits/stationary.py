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
from signscope._core.status import OPTIMIZERS, Status
from signscope.limits.adam_constants import reliable
from signscope.limits.coefficients import Setting, adam_moments, slope_of
from signscope.limits.gaussian import risk_scale
from signscope.limits.modes import Modes, modes_of
from signscope.limits.rates import rightmost_of_low_rank, rightmost_root
from signscope.limits.rows_stability import max_stable_lr
from signscope.problems import LeastSquares, as_problem


@dataclass(frozen=True)
class Limit:
    """The stationary state of an optimizer at a constant rate.

    Attributes:
        excess_risk: Limit of R = 1/2 v'Kv as time grows; ``inf`` if there is none.
        rate: Asymptotic rate of convergence per unit of time (steps/dim): R - limit ~ exp(-rate t).
            Negative when unstable.
        stable: Whether the limit exists.
        max_lr: Supremum of the stable rates; ``inf`` for signSGD and Adam.
        status: ok, unstable, undefined or inaccurate.
        message: Why it is not ok, or what was assumed about a data set.
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
        optimizer: sgd, signsgd or adam.
        lr: The theory's rate, above 0.
        batch_size: B.
        betas: Adam's averages.

    Returns:
        A `Limit`.

    Raises:
        InvalidInput: An argument is out of range.
    """
    problem = as_problem("limit", problem)
    checks.one_of("limit", "optimizer", optimizer, OPTIMIZERS)
    lr = checks.positive("limit", "lr", lr)
    batch_size = checks.integer("limit", "batch_size", batch_size, minimum=1)
    setting = Setting(optimizer, batch_size, checks.betas("limit", betas))
    top, _ = max_lr(problem, optimizer, batch_size=batch_size)
    if reason := undefined_reason(problem, setting):
        return Limit(math.inf, math.nan, False, top, "undefined", reason)
    found = _sgd_limit(problem, lr, batch_size) if optimizer == "sgd" else _signed_limit(problem, setting, lr)
    if optimizer == "adam":
        ok, why = reliable(setting.betas, problem.dim)
        found = found if ok else replace(found, status="inaccurate", message=why)
    if problem.rows is not None and not found.message:
        found = replace(found, message="limit risk and rate are those of Gaussian rows with the data's covariance")
    return found


def max_lr(problem: LeastSquares, optimizer: str, *, batch_size: int = 1) -> tuple[float, str]:
    """Supremum of the stable constant rates and the reason for it."""
    if optimizer != "sgd":
        return math.inf, "steps of bounded size never diverge"
    trace = float(problem.cov.diagonal().sum())
    gaussian = 2 * problem.dim * batch_size / trace
    if problem.rows is None or batch_size > 1:
        return gaussian, f"2 dim batch_size / tr K = {gaussian:.4g} for Gaussian rows"
    rows = max_stable_lr(problem.rows)
    if rows < gaussian:
        return rows, f"mean-square stability on the data's rows ends at {rows:.4g} (Gaussian rows: {gaussian:.4g})"
    return gaussian, f"2 dim batch_size / tr K = {gaussian:.4g}"


@equation("signscope", "mean-square stability of SGD on Gaussian rows, at any dimension")
def finite_max_lr(problem: LeastSquares, *, batch_size: int = 1) -> float:
    r"""Supremum of the constant rates at which SGD's mean risk on Gaussian rows decays, no limit taken.

    The smallest root in $g = \eta/d$ of

    $$ \frac{g}{B}\sum_j \frac{\lambda_j}{2 - (1 + 1/B)\, g\lambda_j} = 1, $$

    below 2 d B / tr K, which it approaches while $g\lambda_1$ is small: not with large batches, nor where one
    eigenvalue is most of the trace.

    Args:
        problem: The problem; of data rows the covariance is used.
        batch_size: B.

    Returns:
        The rate, in the units of ``lr``.
    """
    modes = modes_of(problem, "sgd")
    moving = modes.eigvals > 0
    eigvals = modes.eigvals[moving].numpy()
    weights = modes.sources[0][moving].numpy() / eigvals  # lambda_j times its multiplicity
    share = 1 + 1 / batch_size
    top = min(2 / (share * eigvals.max()), 2 * batch_size / weights.sum())

    def excess(part: float) -> float:
        steps = part * top
        room = 2 - share * steps * eigvals
        return steps / batch_size * float((weights / room).sum()) - 1 if room.min() > 0 else math.inf

    return problem.dim * float(top) * _root(excess)


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
    return Limit(lr * trace * second / (2 * room), rate, True, top)


@equation("xiao2024", "stationary risk of signSGD (5.1), Adam (5.3)")
def _signed_limit(problem: LeastSquares, setting: Setting, lr: float) -> Limit:
    r"""Root of $R\,s(R) = \eta\,c_3 \mathrm{tr}D/(4d)$, s the slope and c3 = 1 for signSGD."""
    scale = risk_scale(problem)
    moments = _moments(problem, setting, scale)
    root_sum = float(problem.cov.diagonal().sqrt().sum())
    floor = lr * root_sum / (4 * problem.dim)

    def excess(log_risk: float) -> float:
        slope, _, c3 = moments(math.exp(log_risk))
        return log_risk + math.log(max(slope, 1e-300)) - math.log(floor * c3)

    low = high = math.log(scale)
    while excess(low) > 0:
        low -= 2
    while excess(high) < 0:
        high += 2
    risk = math.exp(brentq(excess, low, high, xtol=1e-14, rtol=8.9e-16))  # pyright: ignore[reportArgumentType]
    return Limit(risk, _signed_rate(problem, setting, lr, risk, moments), True, math.inf)


Moments = Callable[[float], tuple[float, float, float]]


def _moments(problem: LeastSquares, setting: Setting, scale: float) -> Moments:
    """(slope, c2, c3) at one risk, as floats."""
    if setting.kernel == "signsgd":
        law, batch = problem.noise, setting.batch_size
        exact = slope_of(law, batch, scale) if law.is_costly else lambda r: law.phi(r, batch_size=batch)
        return lambda risk: (float(exact(torch.tensor(risk, dtype=torch.float64))), 2 / math.pi, 1.0)
    table = adam_moments(problem, setting)

    def at(risk: float) -> tuple[float, float, float]:
        slope, c2, c3 = table(torch.tensor(risk, dtype=torch.float64))
        return float(slope), float(c2), float(c3)

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
        slope, c2, c3 = moments(r)
        if setting.kernel == "signsgd":
            return lr * slope, lr**2 / (math.pi * dim) * sources[0]
        mix = sources[0] * c2 + sources[1] * (c3 - c2)
        return lr * slope, lr**2 / (2 * dim) * mix

    a, force = scalars(risk)
    step = 1e-4 * risk
    (a_low, f_low), (a_high, f_high) = scalars(risk - step), scalars(risk + step)
    da, df = (a_high - a_low) / (2 * step), (f_high - f_low) / (2 * step)
    modes_at = force / (2 * a * eigvals)
    poles = -2 * a * eigvals
    now = -2 * da * eigvals * modes_at + df  # response to R where w follows at once
    if setting.kernel == "signsgd" or math.isinf(problem.noise.second_moment):
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
