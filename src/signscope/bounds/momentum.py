"""Signum: the bound, and the momentum and step that balance it."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, Plan, check_run, drift

FORMULA = "Delta/(lr T) + lr L/2 + 2 [sigma_1/(sqrt(B_0) beta T) + sqrt(beta/(2-beta)) sigma_1 + lr L (1-beta)/beta]"


@equation("signscope", "Signum without symmetric noise or large batches")
def signum_bound(constants: Constants, *, lr: float, beta: float, num_steps: int, init_batch: int = 1) -> float:
    r"""Bound on the mean l1 norm of the gradient along ``num_steps`` steps of Signum.

    $$ \frac{\Delta}{\eta T} + \frac{\eta L}{2} + 2\Bigl[\frac{\sigma_1}{\sqrt{B_0}\,\beta T}
       + \sqrt{\tfrac{\beta}{2-\beta}}\,\sigma_1 + \frac{\eta L(1-\beta)}{\beta}\Bigr] $$

    Args:
        constants: Of the problem; L is the Lipschitz constant of the gradient.
        lr: Length eta of the step of every coordinate.
        beta: Weight of the new gradient, 1 - momentum, in (0, 1].
        num_steps: Updates T.
        init_batch: Gradients B_0 averaged at the first point.

    Returns:
        The bound, in the unit of the gradient.
    """
    check_run("signum_bound", lr=lr, num_steps=num_steps, beta=beta, init_batch=init_batch)
    sigma, smooth = constants.noise_l1, constants.smoothness
    start = sigma / (math.sqrt(init_batch) * beta * num_steps)
    error = start + math.sqrt(beta / (2 - beta)) * sigma + lr * smooth * (1 - beta) / beta
    return drift(constants, lr, num_steps) + 2 * error


@equation("signscope", "parameters of Signum")
def signum(constants: Constants, *, num_steps: int, init_batch: int = 1) -> Plan:
    r"""Momentum and learning rate of Signum for a number of steps, with batches of one.

    $$ \beta = \min\bigl(1, \sqrt{2L\Delta/T}/\sigma_1\bigr), \quad \eta = \sqrt{\beta\Delta/(2LT)}
       \quad\Rightarrow\quad 4(2\sigma_1^2 L\Delta/T)^{1/4} + \dots = 4.757\,(\sigma_1^2 L\Delta/T)^{1/4} $$

    Args:
        constants: Of the problem.
        num_steps: Updates T; one gradient each.
        init_batch: Gradients B_0 averaged at the first point.

    Returns:
        The plan. Its ``leading`` bounds beta/(2 - beta) by beta, so that ``value`` may lie below it.
    """
    steps = checks.integer("signum", "num_steps", num_steps, minimum=1)
    first = checks.integer("signum", "init_batch", init_batch, minimum=1)
    gap, smooth, sigma = constants.initial_gap, constants.smoothness, constants.noise_l1
    wanted = math.sqrt(2 * smooth * gap / steps) / sigma if sigma else math.inf
    beta = min(1.0, wanted)
    lr = math.sqrt(beta * gap / (2 * smooth * steps))
    return Plan(
        "signum",
        steps,
        lr,
        signum_bound(constants, lr=lr, beta=beta, num_steps=steps, init_batch=first),
        4 * (2 * sigma**2 * smooth * gap / steps) ** 0.25,
        beta=beta,
        init_batch=first,
        gradient_calls=first + steps - 1,
        conditions=(Condition("averaging", f"beta = {wanted:.3g}, needs 1 or less", wanted <= 1),),
        equation=FORMULA,
    )
