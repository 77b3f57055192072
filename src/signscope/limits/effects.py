"""The risk equations between SGD and signSGD: each switches on one more effect of taking signs."""

import math
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope._core.status import Status
from signscope._version import __version__
from signscope.curves import Curve
from signscope.integrate import ModeSystem, solve
from signscope.integrate.collocation import Coefficients
from signscope.limits.coefficients import Rate, Setting, Slope, lane_rate, slope_of
from signscope.limits.gaussian import risk_scale
from signscope.limits.modes import modes_of
from signscope.limits.prediction import report_times, verdict
from signscope.limits.rate_range import check_kinks, peak_rate
from signscope.limits.spectrum import spectrum
from signscope.noise import NoiseLaw
from signscope.problems import LeastSquares, as_problem
from signscope.rules.effects import EFFECTS, PRECONDITIONED, effective_scale
from signscope.schedules import Function, Schedule, as_schedule

WHO = "effect_curve"
_LARGEST = 4000  # coordinates of a covariance that is not diagonal, where all eigenvectors are needed
_UNBOUNDED = 1e12


def effect_curve(
    problem: LeastSquares,
    effect: str,
    *,
    lr: "float | Schedule | Callable[[Tensor], Tensor]",
    horizon: float,
    batch_size: int = 1,
    times: Tensor | None = None,
    rtol: float = 1e-6,
) -> Curve:
    """Predicted excess risk of one algorithm between SGD and signSGD.

    Args:
        problem: Least-squares problem; rows are taken as Gaussian.
        effect: ``"frozen_rate"``, ``"effective_rate"``, ``"compression"``, ``"preconditioner"``, ``"reshaping"``
            (signSGD), or ``"preconditioned_sgd"``; see `signscope.rules.effects.effect_direction`.
        lr: SignSGD's rate, the same for all of them: a number, `Schedule`, or function of time.
        horizon: End of the curve, in steps/dim.
        batch_size: Rows per update, B.
        times: Times to report, in steps/dim, increasing; 201 equally spaced ones by default.
        rtol: Relative tolerance of the solver.

    Returns:
        A `Curve` with the effect's name as ``optimizer``. Status undefined under noise of infinite variance, except
        for ``"reshaping"``.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: ``"preconditioner"`` beyond 4,000 coordinates with a covariance that is not diagonal.
    """
    checks.one_of(WHO, "effect", effect, (*EFFECTS, PRECONDITIONED))
    problem = as_problem(WHO, problem)
    grid = report_times(WHO, horizon, times)
    schedule = as_schedule(lr, who=WHO, horizon=float(grid[-1]))
    batch_size = checks.integer(WHO, "batch_size", batch_size, minimum=1)
    rtol = checks.positive(WHO, "rtol", rtol)
    reason = _undefined(problem, effect)
    if reason:
        value, status, message = torch.full_like(grid, torch.nan), "undefined", reason
    else:
        value, finished = _solve(problem, effect, schedule, batch_size, grid, rtol)
        status, message = _judged(problem, effect, schedule, batch_size, float(grid[-1]), value, finished)
    return Curve(
        time=grid,
        value=value,
        status=status,
        message=message,
        optimizer=effect,
        lr=schedule.initial,
        step_size=schedule.initial / problem.dim,
        provenance={
            "kind": "prediction",
            "method": "effects",
            "equation": "section 6",
            "options": {"batch_size": batch_size, "rtol": rtol, **schedule.describe()},
            "seed": None,
            "version": __version__,
        },
    )


def _solve(
    problem: LeastSquares, effect: str, schedule: Schedule, batch_size: int, grid: Tensor, rtol: float
) -> tuple[Tensor, bool]:
    check_kinks(WHO, schedule, float(grid[-1]))
    scale = risk_scale(problem, peak_rate(schedule, float(grid[-1])))
    eigvals, start, sources = _modes(problem, effect)
    law = problem.noise
    slope = _slope(problem, batch_size, scale)
    first = float(problem.excess_risk(problem.start)) + 0.5 * law.second_moment
    system = ModeSystem(
        eigvals=eigvals,
        start=start,
        sources=sources[None],
        coefficients=_scalars(effect, lane_rate(schedule), slope, law, problem.dim, batch_size, first),
        breakpoints=schedule.breakpoints,
        risk_scale=scale,
    )
    solution = solve(system, grid, rtol=rtol, max_risk=_UNBOUNDED * scale)
    return solution.risk[0], bool(solution.finished[0])


_SLOPES: "WeakKeyDictionary[LeastSquares, dict[tuple[int, float], Slope]]" = WeakKeyDictionary()


def _slope(problem: LeastSquares, batch_size: int, scale: float) -> Slope:
    """phi_B for risks of order ``scale``, tabulated once for all curves of a problem."""
    kept = _SLOPES.setdefault(problem, {})
    if (batch_size, scale) not in kept:
        kept[batch_size, scale] = slope_of(problem.noise, batch_size, scale)
    return kept[batch_size, scale]


@equation("xiao2024", "four effects: rates and compression")
def _scalars(
    effect: str, rate: Rate, slope: Slope, law: NoiseLaw, dim: int, batch_size: int, first: float
) -> Coefficients:
    r"""Alpha and b of the drift $-s\eta A v$ with noise $d\,\mathrm{Cov} = (4/\pi^2)\eta^2 M/d\,dt$.

    $s = (2/\pi)\sqrt{B/2P}$, and $s\psi_B = \varphi_B(R)$ where the drift is compressed; ``first`` is P(0).
    """
    half = 0.5 * law.second_moment
    frozen = effective_scale(torch.tensor(first, dtype=torch.float64), batch_size=batch_size)

    def scalars(time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        lr = rate(time, lanes)
        force = 2 / (math.pi**2 * dim) * lr**2
        if effect == "frozen_rate":
            return 2 * lr * frozen, (force * (risk + half) / first)[..., None]
        if effect in ("effective_rate", PRECONDITIONED):
            return 2 * lr * effective_scale(risk + half, batch_size=batch_size), force[..., None]
        return 2 * lr * slope(risk), force[..., None]

    return scalars


@equation("xiao2024", "four effects: drift and noise matrices")
def _modes(problem: LeastSquares, effect: str) -> tuple[Tensor, Tensor, Tensor]:
    r"""Eigenvalues of the drift, starting modes, and g_j = lambda_j q_j' L M L q_j for the effect's noise M.

    M = K for SGD's own noise, (pi/2) Ksig for the reshaped one, D^-1 K D^-1 for preconditioned SGD.
    """
    if effect in ("frozen_rate", "effective_rate", "compression"):
        modes = modes_of(problem, "sgd")
        return modes.eigvals, modes.start, modes.sources[0]
    if effect == "reshaping":
        modes = modes_of(problem, "signsgd")
        return modes.eigvals, modes.start, math.pi / 2 * modes.sources[0]
    if effect == PRECONDITIONED:
        modes = modes_of(problem, "adam")
        return modes.eigvals, modes.start, modes.sources[0]
    if problem.dim > _LARGEST and not problem.cov.is_diagonal:
        raise Unsupported(
            f"{WHO}: 'preconditioner' mixes two bases and needs all eigenvectors; dim = {problem.dim} is beyond "
            f"{_LARGEST}. Use a smaller problem or a diagonal covariance."
        )
    base = spectrum(problem, "signsgd")
    if base.eigvecs is None:
        return base.eigvals, base.start, base.eigvals**4  # lambda D K with K = D^2 and lambda = D
    seen = base.scale[:, None] * base.eigvecs
    return base.eigvals, base.start, base.eigvals * (problem.cov.matvec(seen.T).T * seen).sum(0)


def _undefined(problem: LeastSquares, effect: str) -> str:
    if effect != "reshaping" and math.isinf(problem.noise.second_moment):
        return (
            f"no curve but signSGD's exists under {problem.noise.spec} noise: E eps^2 is infinite, so the effective "
            "rate of SGD is 0 and psi infinite."
        )
    if effect == "frozen_rate" and not problem.noise.second_moment + float(problem.excess_risk(problem.start)) > 0:
        return "frozen_rate divides by the first population risk, which is 0: no noise, and a start at the optimum."
    return ""


def _judged(
    problem: LeastSquares, effect: str, schedule: Schedule, batch_size: int, end: float, value: Tensor, finished: bool
) -> tuple[Status, str]:
    """Status and message as for SGD where the rate is frozen, as for signSGD where its slope enters."""
    if effect == "frozen_rate":
        first = problem.excess_risk(problem.start) + 0.5 * problem.noise.second_moment
        factor = float(effective_scale(first, batch_size=batch_size))
        own = Function(lambda time: factor * schedule(time), schedule.breakpoints)
        return verdict(problem, Setting("sgd", batch_size), own, end, value, finished)
    seen = 1 if effect in ("effective_rate", PRECONDITIONED) else batch_size
    return verdict(problem, Setting("signsgd", seen), schedule, end, value, finished)


def compression_along(curve: Curve, problem: LeastSquares, *, batch_size: int = 1) -> Curve:
    """The noise-compression factor psi_B(R(t)) along a risk curve, with ``quantity="compression"``."""
    risk, law = curve.value.detach().clamp(min=1e-290), problem.noise
    scale = effective_scale(risk + 0.5 * law.second_moment, batch_size=batch_size)
    phi = _slope(problem, batch_size, risk_scale(problem, curve.lr))(risk)
    return Curve(
        time=curve.time,
        value=phi / scale,
        quantity="compression",
        optimizer=curve.optimizer,
        lr=curve.lr,
        step_size=curve.step_size,
        status=curve.status,
        message=curve.message,
        provenance={**curve.provenance, "equation": "(2.3)"},
    )


def crossings(curve: Curve, level: float, *, slack: float = 1e-9) -> tuple[float, ...]:
    """Times at which a curve passes ``level``, by linear interpolation between its times.

    Values within ``slack`` of the level, relative to it, lie on neither side: a curve that only touches it, or
    equals it up to rounding, does not cross.
    """
    above = curve.value - level
    kept = torch.isfinite(above) & (above.abs() > slack * abs(level))
    time, gap = curve.time[kept], above[kept]
    places = torch.nonzero(torch.sign(gap[1:]) != torch.sign(gap[:-1])).flatten()
    share = gap[places] / (gap[places] - gap[places + 1])
    return tuple((time[places] + share * (time[places + 1] - time[places])).tolist())
