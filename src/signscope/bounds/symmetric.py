"""signSGD with batches of one: the bound under symmetric unimodal noise."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, Plan, best_drift_lr, check_run, drift

FORMULA = "a = sqrt(3) sigma_1, rho = Delta/(lr T) + lr L/2: sqrt(a rho) if 9 rho <= a, else a/6 + 1.5 rho"


@equation("signscope", "SignSGD with batch 1 under symmetric unimodal noise")
def signsgd_symmetric_bound(constants: Constants, *, lr: float, num_steps: int) -> float:
    r"""Bound on the mean l1 norm of the gradient along signSGD with one sample per step.

    Gauss' inequality gives $|g|(1 - 2P(\text{wrong})) \ge \min(g^2/(\sqrt3\sigma), 2|g|/3)$ for noise that is symmetric
    and unimodal. With $\rho = \Delta/(\eta T) + \eta L/2$ spent on either branch and Cauchy-Schwarz on the first,

    $$ \frac1T\sum_t E\lVert\nabla f\rVert_1 \le \max_{r\le\rho}\Bigl(\sqrt{\sqrt3\sigma_1 r} + \tfrac32(\rho - r)\Bigr)
       \le \sqrt{\sqrt3\sigma_1\rho} + \tfrac32\rho $$

    Args:
        constants: Of the problem; the Bregman constant is enough for L.
        lr: Length eta of the step of every coordinate.
        num_steps: Updates T, one sample each.

    Returns:
        The middle expression, in the unit of the gradient: the maximum is at r = sqrt(3) sigma_1/9 or at rho.
    """
    check_run("signsgd_symmetric_bound", lr=lr, num_steps=num_steps)
    rho, scale = drift(constants, lr, num_steps), math.sqrt(3) * constants.noise_l1
    return math.sqrt(scale * rho) if 9 * rho <= scale else scale / 6 + 1.5 * rho


@equation("signscope", "SignSGD with batch 1, best step")
def signsgd_symmetric(constants: Constants, *, num_calls: int) -> Plan:
    r"""Best learning rate of signSGD with one sample per step.

    $$ \eta = \sqrt{2\Delta/(LN)} \quad\Rightarrow\quad
       (6\sigma_1^2 L\Delta/N)^{1/4} + 1.5\sqrt{2L\Delta/N}, \qquad 6^{1/4} = 1.565 $$

    Args:
        constants: Of the problem.
        num_calls: Per-sample gradients N, as many as updates.

    Returns:
        The plan. Its one condition cannot be read off the constants: with skewed noise batch 1 stops where the
        median of the stochastic gradient is 0, whatever N.
    """
    steps = checks.integer("signsgd_symmetric", "num_calls", num_calls, minimum=1)
    lr = best_drift_lr(constants, steps)
    product = constants.descent * constants.initial_gap
    return Plan(
        "signsgd",
        steps,
        lr,
        signsgd_symmetric_bound(constants, lr=lr, num_steps=steps),
        (6 * constants.noise_l1**2 * product / steps) ** 0.25 + 1.5 * math.sqrt(2 * product / steps),
        gradient_calls=steps,
        conditions=(Condition("symmetric noise", "every coordinate symmetric and unimodal", None),),
        equation=FORMULA,
    )
