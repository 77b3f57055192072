"""Risk curves for Gaussian rows: one solve for many learning rates, schedules or problems."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from signscope.integrate import ModeSystem, Solution, solve
from signscope.limits.coefficients import Setting, coefficients, memory_rate
from signscope.limits.modes import Modes, modes_of
from signscope.limits.rate_range import check_kinks, peak_rate
from signscope.problems import LeastSquares
from signscope.schedules import Constant, Schedule

_SMALLEST, _NOTHING = 1e-250, 1e-12  # of a scale, in any units; the scale where nothing moves
_UNBOUNDED = 1e12  # a risk this many times its start (and the noise) is called divergence


def risk_scale(problem: LeastSquares, lr: float = 0.0) -> float:
    """A risk of the size met on the way: the start's, the noise's, or the size that signs of rate ``lr`` keep up.

    SGD keeps up none without noise, and its rate has other units: leave ``lr`` at 0.
    """
    start = float(problem.excess_risk(problem.start))
    spread = problem.noise.second_moment
    kept_up = (0.25 * lr * float(problem.cov.diagonal().sqrt().mean())) ** 2
    found = max(start, spread if math.isfinite(spread) else 0.0, kept_up)
    return max(found, _SMALLEST) if found > 0 else _NOTHING


def solve_risk(
    problem: LeastSquares | Sequence[LeastSquares],
    setting: Setting,
    schedule: Schedule,
    times: Tensor,
    *,
    rtol: float = 1e-6,
    keep_steps: bool = False,
    modes: Sequence[Modes] | None = None,
) -> Solution:
    """Solve equation (4.1).

    Args:
        problem: The problem; its noise must have a second moment for SGD. Several problems of one dimension and one
            noise make a lane each.
        setting: Optimizer, batch size, betas.
        schedule: The rate; a `Constant` with a vector of rates, or `Lanes`, makes one lane each.
        times: Increasing times in steps/dim, shape (num_times,).
        rtol: Relative tolerance of the risk.
        keep_steps: Keep the steps, for other statistics.
        modes: Sets of modes to use in place of those of `modes_of`, one per lane.

    Returns:
        Risks of shape (lanes, num_times).
    """
    problems = [problem] if isinstance(problem, LeastSquares) else list(problem)
    law = problems[0].noise
    check_kinks("predict", schedule, float(times[-1]))
    first_rates = schedule(torch.zeros((), dtype=torch.float64)).detach()
    top = float(first_rates.max()) if isinstance(schedule, Constant) else peak_rate(schedule, float(times[-1]))
    scale = max(risk_scale(each, 0.0 if setting.optimizer == "sgd" else top) for each in problems)
    modes = [modes_of(each, setting.kernel) for each in problems] if modes is None else modes
    rate = memory_rate(setting, problems[0])
    system = ModeSystem(
        eigvals=_lanes([part.eigvals for part in modes]),
        start=_lanes([part.start for part in modes]),
        sources=_lanes([part.sources for part in modes]),
        coefficients=coefficients(problems[0], setting, schedule, scale=scale),
        num_lanes=max(first_rates.numel(), len(modes)),
        memory_rate=rate,
        memory_target=None if rate is None else lambda risk: 2 * risk + law.second_moment,
        breakpoints=schedule.breakpoints,
        risk_scale=scale,
    )
    return solve(system, times, rtol=rtol, keep_steps=keep_steps, max_risk=_UNBOUNDED * scale)


def _lanes(parts: list[Tensor]) -> Tensor:
    """One entry as it is, shared by all lanes; several stacked, one per lane, shorter ones with silent modes added."""
    if len(parts) == 1:
        return parts[0]
    longest = max(part.shape[-1] for part in parts)
    return torch.stack([torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in parts])


def final_risks(
    problem: LeastSquares, setting: Setting, rates: Tensor, horizon: float, *, rtol: float = 1e-4
) -> Tensor:
    """Predicted risk at ``horizon`` for every constant rate in ``rates``, shape (num_rates,)."""
    times = torch.tensor([0.0, horizon], dtype=torch.float64)
    return (
        solve_risk(problem, setting, Constant(rates), times, rtol=rtol)
        .risk[:, -1]
        .nan_to_num(nan=math.inf, posinf=math.inf)
    )
