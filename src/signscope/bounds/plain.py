"""signSGD on mini-batches: the bound, and the step and batch that minimise it."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope.bounds.plan import Condition, Constants, Plan, drift


@equation("tao2026", "upper bound of SignSGD, noise term with factor 1")
def signsgd_bound(constants: Constants, *, lr: float, num_steps: int, batch_size: int = 1) -> float:
    r"""Bound on the mean l1 norm of the gradient along ``num_steps`` steps of signSGD.

    $$ \frac1T\sum_t E\lVert\nabla f(x_t)\rVert_1
       \le \frac{\Delta}{\eta T} + \frac{\eta L}{2} + \frac{\sigma_1}{\sqrt B} $$

    The published noise term has a factor 2, needed for estimates that are biased given the past; mini-batch
    gradients are not. Without symmetric noise the last term is no artefact: batch 1 stalls at a floor.

    Args:
        constants: Of the problem; the Bregman constant is enough for L.
        lr: Length eta of the step of every coordinate.
        num_steps: Updates T.
        batch_size: Samples B per gradient.

    Returns:
        The bound, in the unit of the gradient.
    """
    return drift(constants, lr, num_steps) + constants.noise_l1 / math.sqrt(batch_size)


@equation("tao2026", "SignSGD with the best step for given T and B")
def signsgd_steps(constants: Constants, *, num_steps: int, batch_size: int = 1) -> Plan:
    r"""Best learning rate of signSGD for a number of steps and a batch size.

    $$ \eta = \sqrt{2\Delta/(LT)} \quad\Rightarrow\quad \sqrt{2L\Delta/T} + \sigma_1/\sqrt B $$

    Args:
        constants: Of the problem.
        num_steps: Updates T.
        batch_size: Samples B per gradient.

    Returns:
        The plan; its value is the closed form itself, so there are no conditions.
    """
    steps = checks.integer("signsgd_steps", "num_steps", num_steps, minimum=1)
    batch = checks.integer("signsgd_steps", "batch_size", batch_size, minimum=1)
    lr = math.sqrt(2 * constants.initial_gap / (constants.smoothness * steps))
    value = signsgd_bound(constants, lr=lr, num_steps=steps, batch_size=batch)
    return Plan("signsgd", steps, lr, value, value, batch_size=batch, gradient_calls=steps * batch)


@equation("tao2026", "SignSGD with the best step and batch for given N")
def signsgd(constants: Constants, *, num_calls: int) -> Plan:
    r"""Best learning rate and batch size of signSGD for a number of gradient calls.

    $$ B^* = \sigma_1\sqrt{N/(2L\Delta)}, \quad T^* = \sqrt{2L\Delta N}/\sigma_1 \quad\Rightarrow\quad
       2^{5/4}(\sigma_1^2 L\Delta/N)^{1/4} = 2.378\,(\sigma_1^2 L\Delta/N)^{1/4} $$

    B is rounded up and T = floor(N/B); with few calls (N < 2 L Delta / sigma_1^2) the batch is 1 and the closed form
    is $2\sqrt{2L\Delta/N}$, without noise $\sqrt{2L\Delta/N}$.

    Args:
        constants: Of the problem.
        num_calls: Per-sample gradients N.

    Returns:
        The plan with at most N calls; ``value`` is evaluated at the rounded B and T.
    """
    calls = checks.integer("signsgd", "num_calls", num_calls, minimum=1)
    stretch, sigma = 2 * constants.smoothness * constants.initial_gap, constants.noise_l1
    best_batch = sigma * math.sqrt(calls / stretch)
    batch = min(calls, max(1, math.ceil(best_batch)))
    plan = signsgd_steps(constants, num_steps=max(1, calls // batch), batch_size=batch)
    if sigma == 0:
        leading = math.sqrt(stretch / calls)
    elif best_batch < 1:
        leading = 2 * math.sqrt(stretch / calls)
    else:
        leading = 2**1.25 * (sigma**2 * stretch / 2 / calls) ** 0.25
    conditions = (
        Condition(
            "at least one step",
            f"T* = {_steps(stretch, calls, sigma):.3g}, needs 1 or more",
            _steps(stretch, calls, sigma) >= 1,
        ),
    )
    return Plan(
        "signsgd",
        plan.num_steps,
        plan.lr,
        plan.value,
        leading,
        batch_size=batch,
        gradient_calls=plan.gradient_calls,
        conditions=conditions,
    )


def _steps(stretch: float, calls: int, sigma: float) -> float:
    return math.sqrt(stretch * calls) / sigma if sigma else float(calls)
