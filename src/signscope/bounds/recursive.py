"""SSVR: the bound, and the parameters with rate T^(-1/3)."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, Plan, check_run, drift

FORMULA = (
    "Delta/(lr T) + lr L/2 + 2 [sigma_1/(sqrt(B_0) beta T) + sqrt(2 beta/(2-beta)) sigma_1"
    " + (1-beta) M lr sqrt(2/(beta (2-beta)))]"
)


@equation("jiang2024", "rate of SSVR, l-infinity form with constants")
def ssvr_bound(constants: Constants, *, lr: float, beta: float, num_steps: int, init_batch: int = 1) -> float:
    r"""Bound on the mean l1 norm of the gradient along ``num_steps`` steps of SSVR.

    $$ \frac{\Delta}{\eta T} + \frac{\eta L}{2} + 2\Bigl[\frac{\sigma_1}{\sqrt{B_0}\,\beta T}
       + \sqrt{\tfrac{2\beta}{2-\beta}}\,\sigma_1 + (1-\beta) M\eta\sqrt{\tfrac{2}{\beta(2-\beta)}}\Bigr] $$

    The published form is in the l2 geometry: put $M = d L_{ms}$ and $\sigma_1 = \sqrt d\,\sigma_2$.

    Args:
        constants: Of the problem.
        lr: Length eta of the step of every coordinate.
        beta: Weight of the new sample, in (0, 1].
        num_steps: Updates T.
        init_batch: Gradients B_0 averaged at the first point.

    Returns:
        The bound, in the unit of the gradient.
    """
    check_run("ssvr_bound", lr=lr, num_steps=num_steps, beta=beta, init_batch=init_batch)
    sigma, rough = constants.noise_l1, constants.mean_squared
    start = sigma / (math.sqrt(init_batch) * beta * num_steps)
    noise = math.sqrt(2 * beta / (2 - beta)) * sigma
    motion = (1 - beta) * rough * lr * math.sqrt(2 / (beta * (2 - beta)))
    return drift(constants, lr, num_steps) + 2 * (start + noise + motion)


@equation("jiang2024", "parameters of SSVR, l-infinity form")
def ssvr(constants: Constants, *, num_steps: int) -> Plan:
    r"""Parameters of SSVR for a number of steps.

    $$ \beta = \min\bigl(1, (M\Delta/(2\sigma_1^2 T))^{2/3}\bigr), \quad \eta = \sigma_1\beta/M, \quad
       B_0 = \lceil 1/(\beta^2 T)\rceil \quad\Rightarrow\quad
       3\cdot 2^{2/3}\sqrt{\tfrac{2}{2-\beta}}\,(\sigma_1 M\Delta/T)^{1/3} + 2\sigma_1/\sqrt T + \eta L/2 $$

    Args:
        constants: Of the problem; some noise is needed.
        num_steps: Updates T; two gradients each after the first point.

    Returns:
        The plan. ``leading`` is the closed form on the right without its last two terms.

    Raises:
        InvalidInput: There is no noise, so that the balance has no solution; SSVR is then sign descent.
    """
    steps = checks.integer("ssvr", "num_steps", num_steps, minimum=1)
    gap, rough, sigma = constants.initial_gap, constants.mean_squared, constants.noise_l1
    if not sigma > 0:
        raise InvalidInput("ssvr: `noise_l1` must be above 0, got 0. Without noise use signsgd_steps: v is exact.")
    wanted = (rough * gap / (2 * steps) / sigma / sigma) ** (2 / 3)  # the square might be 0
    beta = min(1.0, wanted)
    lr, first = sigma * beta / rough, math.ceil(1 / (beta**2 * steps))
    return Plan(
        "ssvr",
        steps,
        lr,
        ssvr_bound(constants, lr=lr, beta=beta, num_steps=steps, init_batch=first),
        3 * 2 ** (2 / 3) * math.sqrt(2 / (2 - beta)) * (sigma * rough * gap / steps) ** (1 / 3),
        beta=beta,
        init_batch=first,
        gradient_calls=first + 2 * (steps - 1),
        conditions=(
            Condition("averaging", f"beta = {wanted:.3g}, needs 1 or less", wanted <= 1),
            Condition("same sample", "both gradients of a step share sample, mask and statistics", None),
        ),
        equation=FORMULA,
    )
