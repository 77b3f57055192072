"""Risk curves for Gaussian rows: one solve for many learning rates."""

import math

import torch
from torch import Tensor

from signscope.integrate import ModeSystem, Solution, solve
from signscope.limits.coefficients import Setting, coefficients, memory_rate
from signscope.limits.spectrum import spectrum
from signscope.problems import LeastSquares
from signscope.schedules import Constant, Schedule

_UNBOUNDED = 1e12  # a risk this many times its start (and the noise) is called divergence


def risk_scale(problem: LeastSquares, lr: float = 0.0) -> float:
    """A risk of the size met on the way: the start's, the noise's, or the size signs of rate ``lr`` keep up."""
    start = float(problem.excess_risk(problem.start))
    spread = problem.noise.second_moment
    kept_up = (0.25 * lr * float(problem.cov.diagonal().sqrt().mean())) ** 2
    return max(start, spread if math.isfinite(spread) else 0.0, kept_up, 1e-12)


def solve_risk(
    problem: LeastSquares,
    setting: Setting,
    schedule: Schedule,
    times: Tensor,
    *,
    rtol: float = 1e-6,
    keep_steps: bool = False,
) -> Solution:
    """Solve equation (4.1).

    Args:
        problem: The problem; its noise must have a second moment for SGD.
        setting: Optimizer, batch size, betas.
        schedule: The rate; a `Constant` with a vector of rates makes one lane each.
        times: Increasing times in steps/dim, shape (num_times,).
        rtol: Relative tolerance of the risk.
        keep_steps: Keep the steps, for other statistics.

    Returns:
        Risks of shape (lanes, num_times).
    """
    first_rates = schedule(torch.zeros((), dtype=torch.float64)).detach()
    scale = risk_scale(problem, float(first_rates.max()))
    modes = spectrum(problem, setting.kernel)
    rate = memory_rate(setting, problem)
    second = problem.noise.second_moment
    system = ModeSystem(
        eigvals=modes.eigvals,
        start=modes.start,
        sources=modes.sources,
        coefficients=coefficients(problem, setting, schedule, scale=scale),
        num_lanes=max(first_rates.numel(), 1),
        memory_rate=rate,
        memory_target=None if rate is None else lambda risk: 2 * risk + second,
        breakpoints=schedule.breakpoints,
        risk_scale=scale,
    )
    return solve(system, times, rtol=rtol, keep_steps=keep_steps, max_risk=_UNBOUNDED * scale)


def final_risks(
    problem: LeastSquares, setting: Setting, rates: Tensor, horizon: float, *, rtol: float = 1e-4
) -> Tensor:
    """Predicted risk at ``horizon`` for every constant rate in ``rates``, shape (num_rates,)."""
    times = torch.tensor([0.0, horizon], dtype=torch.float64)
    return solve_risk(problem, setting, Constant(rates), times, rtol=rtol).risk[:, -1]
