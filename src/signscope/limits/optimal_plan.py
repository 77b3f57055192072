"""`predict_plan`: the risk curve of a run whose batch size changes on the way."""

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._version import __version__
from signscope.curves import Curve
from signscope.integrate import ModeSystem, solve
from signscope.integrate.collocation import Coefficients
from signscope.limits.coefficients import Setting, coefficients, memory_rate
from signscope.limits.gaussian import risk_scale
from signscope.limits.modes import modes_of
from signscope.limits.optimal import schedule_setting
from signscope.limits.prediction import report_times, verdict
from signscope.limits.rate_range import FINAL, check_kinks
from signscope.limits.step_length import doubts
from signscope.problems import LeastSquares
from signscope.schedules import BatchPlan, PiecewiseConstant

_UNBOUNDED = 1e12  # a risk this many times its scale is called divergence
_INSIDE = 1e-9  # of a step: how far from its end coefficients are read, so that a jump there is not seen


def predict_plan(
    problem: LeastSquares,
    optimizer: str,
    *,
    plan: BatchPlan,
    betas: tuple[float, float] = (0.9, 0.999),
    times: Tensor | None = None,
    rtol: float = 1e-6,
) -> Curve:
    """Predicted risk curve of a `BatchPlan`, for Gaussian rows.

    Args:
        problem: Least-squares problem.
        optimizer: sgd, signsgd, adam or signum.
        plan: Rates and batch sizes.
        betas: Adam's averages, per update.
        times: Times to report, in steps/dim; 201 equally spaced ones by default.
        rtol: Relative tolerance of the solver.

    Returns:
        A `Curve` in steps/dim. With one piece it is that of `predict`.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The optimizer has no risk curve on this problem.
    """
    who = "predict_plan"
    if not isinstance(plan, BatchPlan):
        raise InvalidInput(f"{who}: `plan` must be a BatchPlan, got {type(plan).__name__}.")
    grid = report_times(who, plan.horizon, times)
    largest = schedule_setting(who, problem, optimizer, max(plan.batch_sizes), betas)
    rtol = checks.positive(who, "rtol", rtol)
    check_kinks(who, plan.lr, float(grid[-1]))
    scale = risk_scale(problem, 0.0 if optimizer == "sgd" else max(plan.rates))
    modes, rate, second = modes_of(problem, largest.kernel), memory_rate(largest, problem), problem.noise.second_moment
    system = ModeSystem(
        eigvals=modes.eigvals,
        start=modes.start,
        sources=modes.sources,
        coefficients=_by_piece(problem, largest, plan, scale),
        memory_rate=rate,
        memory_target=None if rate is None else lambda risk: 2 * risk + second,
        breakpoints=plan.times[1:],
        risk_scale=scale,
    )
    solution = solve(system, grid, rtol=rtol, max_risk=_UNBOUNDED * scale)
    value = solution.risk[0]
    doubt, end = doubts(problem, largest, plan.lr, grid, value), float(grid[-1])
    finished, final = bool(solution.finished[0]), _final(plan, end)
    status, message = verdict(problem, largest, plan.lr, end, value, finished, doubt=doubt, final=final)
    return Curve(
        time=grid,
        value=value,
        status=status,
        message=message,
        optimizer=optimizer,
        lr=plan.rates[0],
        step_size=plan.rates[0] / problem.dim,
        provenance={
            "kind": "prediction",
            "method": "gaussian",
            "equation": "(4.1)",
            "options": {"optimizer": optimizer, "betas": list(betas), "rtol": rtol, **plan.describe()},
            "seed": None,
            "version": __version__,
        },
    )


def _final(plan: BatchPlan, end: float) -> list[tuple[float, int]]:
    """Rates and batch sizes of the pieces that reach into the last tenth of the time up to ``end``."""
    pieces = zip(plan.times, (*plan.times[1:], plan.horizon), plan.rates, plan.batch_sizes, strict=True)
    return [(rate, size) for start, stop, rate, size in pieces if stop > (1 - FINAL) * end and start < end] or [
        (plan.rates[0], plan.batch_sizes[0])
    ]


def _by_piece(problem: LeastSquares, setting: Setting, plan: BatchPlan, scale: float) -> Coefficients:
    """Alpha and b of the piece that holds a time."""
    sizes = sorted(set(plan.batch_sizes))
    of_size = [
        coefficients(problem, Setting(setting.optimizer, size, setting.betas), plan.lr, scale=scale) for size in sizes
    ]
    index = PiecewiseConstant(plan.times, torch.tensor([float(sizes.index(size)) for size in plan.batch_sizes]))

    def scalars(time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        inside = time - _INSIDE * (time - time[:, :1])
        which = index(inside)
        answers = [own(inside, risk, memory, lanes) for own in of_size]
        alpha, force = answers[0]
        for number, (other_alpha, other_force) in enumerate(answers[1:], start=1):
            here = which == number
            alpha = torch.where(here, other_alpha, alpha)
            force = torch.where(here[..., None], other_force, force)
        return alpha, force

    return scalars
