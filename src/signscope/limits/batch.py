"""`predict_many`: many risk curves of one optimizer in one solve."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.status import PREDICTED
from signscope.curves import Curve
from signscope.limits.coefficients import Lanes, Setting
from signscope.limits.error_bar import with_spectrum
from signscope.limits.gaussian import solve_risk
from signscope.limits.prediction import Answer, as_curve, provenance, report_times, verdict
from signscope.limits.stationary import undefined_reason
from signscope.limits.step_length import doubts
from signscope.problems import LeastSquares, as_problem
from signscope.schedules import Constant, Schedule, as_schedule

_WHO = "predict_many"
_PROBES = torch.logspace(-12, 12, 49, dtype=torch.float64)  # of a in m(a), over every size a noise may have

Rate = float | Schedule | Callable[[Tensor], Tensor]


def predict_many(
    problems: LeastSquares | Sequence[LeastSquares],
    optimizer: str,
    *,
    lr: Rate | Sequence[Rate],
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    times: Tensor | None = None,
    rtol: float = 1e-6,
) -> list[Curve]:
    """Predicted risk curves for several rates, schedules or problems, for Gaussian rows.

    Problems that share dimension and noise are lanes of one solve.

    Args:
        problems: One problem, or several.
        optimizer: sgd, signsgd, adam or signum.
        lr: One rate (number, `Schedule` or function of time), or several. Where there are several problems and
            several rates, there must be equally many, and they go in pairs.
        horizon: End of the curves, in steps/dim.
        batch_size: Rows per update, B.
        betas: Adam's (beta1, beta2); Signum's momentum is beta1.
        times: Times to report, in steps/dim; 201 equally spaced ones by default.
        rtol: Relative tolerance of the solver.

    Returns:
        One `Curve` each, as `predict(..., method="gaussian")` gives it (up to ``rtol``).

    Raises:
        InvalidInput: An argument is out of range, or the numbers of problems and rates do not fit.
    """
    grid = report_times(_WHO, horizon, times)
    pairs = _pairs(problems, lr, float(grid[-1]))
    setting = Setting(
        checks.one_of(_WHO, "optimizer", optimizer, PREDICTED),
        checks.integer(_WHO, "batch_size", batch_size, minimum=1),
        checks.betas(_WHO, betas),
    )
    rtol = checks.positive(_WHO, "rtol", rtol)
    curves: dict[int, Curve] = {}
    for lanes in _groups([problem for problem, _ in pairs]):
        curves |= _solve([pairs[lane] for lane in lanes], lanes, setting, grid, rtol)
    return [curves[lane] for lane in range(len(pairs))]


Pair = tuple[LeastSquares, Schedule]


def _solve(pairs: list[Pair], lanes: list[int], setting: Setting, grid: Tensor, rtol: float) -> dict[int, Curve]:
    """The curves of one group, by lane."""
    problems, schedules = [problem for problem, _ in pairs], [schedule for _, schedule in pairs]
    if reason := undefined_reason(problems[0], setting):
        nothing = torch.full_like(grid, torch.nan)
        answers: list[Answer] = [(nothing, "undefined", reason)] * len(pairs)
    else:
        shared = problems[0] if all(problem is problems[0] for problem in problems) else problems
        found = solve_risk(shared, setting, _side_by_side(schedules), grid, rtol=rtol)
        answers = [
            _judged(problem, setting, schedule, grid, risk, bool(finished))
            for risk, finished, (problem, schedule) in zip(found.risk, found.finished, pairs, strict=True)
        ]
    return {
        lane: _curve(problem, setting, schedule, grid, answer, rtol)
        for lane, answer, (problem, schedule) in zip(lanes, answers, pairs, strict=True)
    }


def _judged(
    problem: LeastSquares, setting: Setting, schedule: Schedule, grid: Tensor, risk: Tensor, finished: bool
) -> Answer:
    doubt = doubts(problem, setting, schedule, grid, risk)
    return (risk, *verdict(problem, setting, schedule, float(grid[-1]), risk, finished, doubt=doubt))


def _curve(
    problem: LeastSquares, setting: Setting, schedule: Schedule, grid: Tensor, answer: Answer, rtol: float
) -> Curve:
    """One lane as `predict` gives it: with its spectrum, and an error bar where that is a quadrature's."""
    curve = as_curve(problem, setting, schedule, grid, answer, provenance("gaussian", setting, schedule, rtol))
    if curve.status == "undefined":
        return curve
    return with_spectrum(curve, problem, setting, schedule, rtol=rtol, method="gaussian")


def _pairs(problems: Any, lr: Any, horizon: float) -> list[Pair]:
    """Problems and schedules side by side; a single one of either goes with all of the other."""
    several = list(problems) if isinstance(problems, list | tuple) else [problems]
    rates = list(lr) if isinstance(lr, list | tuple) else lr.tolist() if _is_vector(lr) else [lr]
    counts = {len(several), len(rates)} - {1}
    if not several or not rates or len(counts) > 1:
        raise InvalidInput(
            f"{_WHO}: `problems` and `lr` must be equally many, or one of them a single one; got {len(several)} "
            f"problems and {len(rates)} rates."
        )
    count = max(len(several), len(rates))
    checked = [as_problem(_WHO, problem) for problem in several] * (count // len(several))
    schedules = [as_schedule(rate, who=_WHO, horizon=horizon) for rate in rates] * (count // len(rates))
    return list(zip(checked, schedules, strict=True))


def _is_vector(lr: Any) -> bool:
    return getattr(lr, "ndim", 0) == 1


def _groups(problems: list[LeastSquares]) -> list[list[int]]:
    """Lanes that can share a solve: one dimension and one noise law.

    A spec alone does not tell samples apart, nor histograms and other laws of a caller's own making; what enters the
    equations does: m(a) and the second moment.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for lane, problem in enumerate(problems):
        law = problem.noise
        groups.setdefault((problem.dim, law.spec, law.second_moment, *law.m(_PROBES).tolist()), []).append(lane)
    return list(groups.values())


def _side_by_side(schedules: list[Schedule]) -> Schedule:
    """A lane for each schedule."""
    if all(isinstance(schedule, Constant) for schedule in schedules):
        return Constant(torch.tensor([schedule.initial for schedule in schedules], dtype=torch.float64))
    return Lanes(tuple(schedules))
