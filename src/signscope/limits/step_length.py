"""Where the limit of many coordinates is no model: steps of SGD that are no flow, signs of few coordinates."""

import math

import numpy as np
import torch
from torch import Tensor

from signscope.limits.assumptions import aligned_start, saturated_start
from signscope.limits.coefficients import Setting
from signscope.limits.modes import modes_of
from signscope.limits.rate_range import peak_rate, spaced
from signscope.limits.stationary import sgd_gain
from signscope.problems import LeastSquares
from signscope.schedules import Schedule

_ERROR, _NEAR = 0.25, 0.5  # of the logarithm of SGD's risk, from which a curve is called inaccurate, by either cause
_SLOWEST, _FLOOR = 4.0, 3.0  # times the rate of the slowest mode; times the risk that label noise leaves
_AT_REST = (
    "the run starts at the optimum and there is no noise: the algorithm stays where it is, as sign(0) = 0. The curve "
    "is that of a start beside it, however close."
)
_ADVICE = "Use method='exact' or a smaller lr, or trust the simulation."


def doubts(problem: LeastSquares, setting: Setting, schedule: Schedule, times: Tensor, risk: Tensor) -> str:
    """Why the curve ``risk`` from the limit of many coordinates is inaccurate; empty where nothing is known."""
    if setting.optimizer != "sgd" and not problem.noise.second_moment > 0 and not bool(problem.displacement.any()):
        return _AT_REST
    if setting.kernel == "signsgd":
        return aligned_start(problem, batch_size=setting.batch_size, risk=risk.detach())
    if setting.kernel == "signum":
        return saturated_start(problem, setting)
    return long_steps(problem, setting, schedule, times, risk.detach())


def long_steps(problem: LeastSquares, setting: Setting, schedule: Schedule, times: Tensor, risk: Tensor) -> str:
    """Why a curve of SGD is inaccurate: its steps are no flow; empty where they are short enough.

    A step multiplies an error by 1 - g lambda where the flow has exp(-g lambda): a risk that falls by a factor e^L is
    off by up to about L g lambda_1 / 2. Near the largest stable rate decay and noise nearly cancel, and what the limit
    leaves out of either decides: see `_near_limit`.
    """
    seen = risk[torch.isfinite(risk) & (risk > 0)]
    if setting.optimizer != "sgd" or not len(seen):
        return ""
    end, top = float(times[-1]), float(modes_of(problem, "sgd").eigvals.max())
    step = peak_rate(schedule, end) / problem.dim * top
    if 0.5 * step * math.log(float(seen.max() / seen.min())) > _ERROR:
        return (
            f"a step goes lr lambda_max / dim = {step:.2g} of the way along the steepest direction, which the limit of "
            f"high dimension takes for little; over so long a descent this counts. {_ADVICE}"
        )
    error = _near_limit(problem, setting.batch_size, schedule, end, seen) if top > 0 else 0.0
    if not error > _NEAR:
        return ""
    return (
        f"lr is close to the largest stable one, or beyond it for a while, and dim = {problem.dim} is too small for "
        f"the limit of many coordinates there (off by about a factor {math.exp(min(error, 99.0)):.2g}). {_ADVICE}"
    )


def _near_limit(problem: LeastSquares, batch_size: int, schedule: Schedule, end: float, risk: Tensor) -> float:
    """About the largest error of the logarithm of SGD's risk, from the noise that a step feeds back.

    With Q the gain of `sgd_gain` and Q_0 that of the limit, a risk that decays slowly, or rests on label noise, is as
    Q / (1 - Q). All modes together decay at p (1 - Q), p = 4 B near Q = 1 and at most 2 eta lambda, lambda the mean
    eigenvalue of the modes that noise fills: where the slowest mode alone is not much slower, and above the floor that
    label noise sets, the errors p (Q - Q_0) of that rate add up.
    """
    rates, length = spaced(schedule, end)
    gain, plain = (sgd_gain(problem, rates, batch_size=batch_size, exact=exact) for exact in (True, False))
    if not gain.max() < math.inf:
        return math.inf
    modes = modes_of(problem, "sgd")
    weights, eigvals = modes.sources[0].numpy(), modes.eigvals.numpy()
    moving = eigvals > 1e-13 * eigvals.max()
    mean = weights[moving].sum() / (weights[moving] / eigvals[moving]).sum()
    pace = np.minimum(2 * rates * mean, 4 * batch_size)
    parting = pace * (gain - plain) * length
    peak = int(np.argmax(gain))
    if gain[peak] >= 1 or plain[peak] <= 0:
        return float(parting.sum())
    together = pace * (1 - gain) <= _SLOWEST * 2 * rates * eigvals[moving].min()
    floor = 0.5 * problem.noise.second_moment * plain[peak] / (1 - plain[peak])
    falling = float((risk > _FLOOR * floor).double().mean())
    ratio = gain[peak] * (1 - plain[peak]) / (plain[peak] * (1 - gain[peak]))
    return max(min(float(parting.sum()), math.log(ratio)), falling * float(parting[together].sum()))
