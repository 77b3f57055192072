"""Methods with full gradients on a mean of finitely many components: bounds and parameters."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, Plan

ERRORS = {"ssvr_fs": "sqrt(2 I)", "spider_sign": "sqrt(I - 1)", "signsvrg": "I"}
"""What multiplies M lr in the l1 error of the estimate."""


@equation("jiang2024", "rate of SSVR-FS, l-infinity form with constants")
def ssvr_fs(constants: Constants, *, num_steps: int, num_components: int, period: int | None = None) -> Plan:
    r"""Parameters of SSVR-FS, with beta = 1/I.

    $$ E\lVert e_t\rVert_1 \le M\eta\sqrt{2I}, \quad J = L/2 + 2\sqrt{2I}\,M, \quad \eta = \sqrt{\Delta/(JT)}
       \quad\Rightarrow\quad 2\sqrt{\Delta J/T} $$

    Args:
        constants: Of the problem; the noise plays no part.
        num_steps: Updates T.
        num_components: Components m, whose gradients make a full gradient.
        period: Steps I between two full gradients; ``num_components`` by default.

    Returns:
        The plan. The first step goes along the full gradient and later steps ask for three components (two at a
        checkpoint); a reset at checkpoints keeps the bound.
    """
    return _plan("ssvr_fs", constants, num_steps, num_components, period, calls=(2, 3))


@equation("fang2018", "SPIDER estimator with signs, rate with constants")
def spider_sign(constants: Constants, *, num_steps: int, num_components: int, period: int | None = None) -> Plan:
    r"""Parameters of SPIDER-sign.

    $$ E\lVert e_t\rVert_1 \le M\eta\sqrt{I-1}, \quad J = L/2 + 2\sqrt{I-1}\,M, \quad \eta = \sqrt{\Delta/(JT)}
       \quad\Rightarrow\quad 2\sqrt{\Delta J/T} $$

    Args:
        constants: Of the problem; the noise plays no part.
        num_steps: Updates T.
        num_components: Components m.
        period: Steps I between two full gradients; ``num_components`` by default.

    Returns:
        The plan; two components per step, none at a checkpoint.
    """
    return _plan("spider_sign", constants, num_steps, num_components, period, calls=(0, 2))


@equation("chzhen2023", "SignSVRG, rate with constants")
def signsvrg(constants: Constants, *, num_steps: int, num_components: int, period: int | None = None) -> Plan:
    r"""Parameters of SignSVRG.

    $$ E\lVert e_t\rVert_1 \le M\eta I, \quad J = L/2 + 2IM, \quad \eta = \sqrt{\Delta/(JT)}
       \quad\Rightarrow\quad 2\sqrt{\Delta J/T} $$

    Args:
        constants: Of the problem; the noise plays no part.
        num_steps: Updates T.
        num_components: Components m.
        period: Steps I between two full gradients; ``num_components`` by default.

    Returns:
        The plan; two components per step, none at a checkpoint.
    """
    return _plan("signsvrg", constants, num_steps, num_components, period, calls=(0, 2))


def error_factor(method: str, period: int) -> float:
    r"""The l1 error of the estimate in units of $M\eta$."""
    return {"ssvr_fs": math.sqrt(2 * period), "spider_sign": math.sqrt(period - 1), "signsvrg": float(period)}[method]


def _plan(
    method: str,
    constants: Constants,
    num_steps: int,
    num_components: int,
    period: int | None,
    *,
    calls: tuple[int, int],
) -> Plan:
    """``calls``: component gradients of a step at a checkpoint (after the first) and elsewhere."""
    steps = checks.integer(method, "num_steps", num_steps, minimum=1)
    components = checks.integer(method, "num_components", num_components, minimum=1)
    every = components if period is None else checks.integer(method, "period", period, minimum=1)
    slope = constants.descent / 2 + 2 * error_factor(method, every) * constants.mean_squared
    lr = math.sqrt(constants.initial_gap / (slope * steps))
    checkpoints = -(-steps // every)
    value = 2 * math.sqrt(constants.initial_gap * slope / steps)
    return Plan(
        method,
        steps,
        lr,
        value,
        value,
        beta=1 / every if method == "ssvr_fs" else 1.0,
        period=every,
        gradient_calls=checkpoints * components + (checkpoints - 1) * calls[0] + (steps - checkpoints) * calls[1],
        conditions=(
            Condition("a period passes", f"T = {steps}, I = {every}", steps >= every),
            Condition("finite sum", f"f is the mean of {components} fixed components", None),
        ),
        equation=f"Delta/(lr T) + lr J, J = L/2 + 2 {ERRORS[method]} M",
    )
