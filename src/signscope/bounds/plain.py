"""signSGD on mini-batches: the bound, and the step and batch that minimise it."""

import math
from dataclasses import replace
from typing import Literal

from signscope._core import checks
from signscope._core.equations import equation
from signscope.bounds.constants import Constants, moderate
from signscope.bounds.plan import Condition, Plan, best_drift_lr, check_run, drift

Law = Literal["any", "gaussian"]
FORMULA = "Delta/(lr T) + lr L/2 + sigma_1/sqrt(B)"


@equation("tao2026", "upper bound of SignSGD, noise term with factor 1")
def signsgd_bound(constants: Constants, *, lr: float, num_steps: int, batch_size: int = 1, law: Law = "any") -> float:
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
        law: "gaussian" puts $\sqrt{2/\pi}\,\sigma_1$ in place of $\sigma_1$: the mean of $|e|$ is what counts.

    Returns:
        The bound, in the unit of the gradient.
    """
    check_run("signsgd_bound", lr=lr, num_steps=num_steps, batch_size=batch_size)
    return drift(constants, lr, num_steps) + _noise(constants, law) / math.sqrt(batch_size)


@equation("tao2026", "SignSGD with the best step for given T and B")
def signsgd_steps(constants: Constants, *, num_steps: int, batch_size: int = 1, law: Law = "any") -> Plan:
    r"""Best learning rate of signSGD for a number of steps and a batch size.

    $$ \eta = \sqrt{2\Delta/(LT)} \quad\Rightarrow\quad \sqrt{2L\Delta/T} + \sigma_1/\sqrt B $$

    Args:
        constants: Of the problem.
        num_steps: Updates T.
        batch_size: Samples B per gradient.
        law: "any", or "gaussian" for Gaussian noise.

    Returns:
        The plan; its value is the closed form itself, so there are no conditions.
    """
    steps = checks.integer("signsgd_steps", "num_steps", num_steps, minimum=1)
    batch = checks.integer("signsgd_steps", "batch_size", batch_size, minimum=1)
    lr = best_drift_lr(constants, steps)
    value = signsgd_bound(constants, lr=lr, num_steps=steps, batch_size=batch, law=law)
    return Plan(
        "signsgd",
        steps,
        lr,
        value,
        value,
        batch_size=batch,
        gradient_calls=steps * batch,
        conditions=_assumed(law),
        equation=FORMULA,
    )


@equation("tao2026", "SignSGD with the best step and batch for given N")
def signsgd(constants: Constants, *, num_calls: int, law: Law = "any") -> Plan:
    r"""Best learning rate and batch size of signSGD for a number of gradient calls.

    $$ B^* = \sigma_1\sqrt{N/(2L\Delta)}, \quad T^* = \sqrt{2L\Delta N}/\sigma_1 \quad\Rightarrow\quad
       2^{5/4}(\sigma_1^2 L\Delta/N)^{1/4} = 2.378\,(\sigma_1^2 L\Delta/N)^{1/4} $$

    B is rounded up and T = floor(N/B); with few calls (N < 2 L Delta / sigma_1^2) the batch is 1 and the closed form
    is $2\sqrt{2L\Delta/N}$, without noise $\sqrt{2L\Delta/N}$.

    Args:
        constants: Of the problem.
        num_calls: Per-sample gradients N.
        law: "any", or "gaussian" for Gaussian noise.

    Returns:
        The plan with at most N calls; ``value`` is evaluated at the rounded B and T.
    """
    calls = checks.integer("signsgd", "num_calls", num_calls, minimum=1)
    stretch, sigma = 2 * constants.descent * constants.initial_gap, _noise(constants, law)
    best_batch = sigma * math.sqrt(calls / stretch)
    batch = min(calls, max(1, math.ceil(best_batch)))
    plan = signsgd_steps(constants, num_steps=max(1, calls // batch), batch_size=batch, law=law)
    best_steps = math.sqrt(stretch * calls) / sigma if sigma else float(calls)
    enough = Condition("at least one step", f"T* = {best_steps:.3g}, needs 1 or more", best_steps >= 1)
    return replace(plan, leading=_leading(stretch, sigma, calls), conditions=(enough, *_assumed(law)))


@equation("tao2026", "SignSGD, gradient calls to accuracy eps")
def signsgd_calls(constants: Constants, *, target: float) -> float:
    r"""Gradient calls with which signSGD's bound falls to ``target``, before rounding.

    $$ N = \max\Bigl(\frac{8L\Delta}{\epsilon^2}, \frac{32\,\sigma_1^2 L\Delta}{\epsilon^4}\Bigr), \qquad
       \frac{2L\Delta}{\epsilon^2} \text{ without noise} $$

    Args:
        constants: Of the problem.
        target: Accuracy epsilon of the l1 norm of the gradient.

    Returns:
        N, a real number; `signsgd` rounds the batch up and may ask for slightly more.
    """
    eps = moderate("signsgd_calls", "target", target)
    product, sigma = constants.descent * constants.initial_gap, constants.noise_l1
    if sigma == 0:
        return 2 * product / eps**2
    return max(8 * product / eps**2, 32 * sigma**2 * product / eps**4)


def _leading(stretch: float, sigma: float, calls: int) -> float:
    if sigma == 0:
        return math.sqrt(stretch / calls)
    if sigma**2 * calls < stretch:
        return 2 * math.sqrt(stretch / calls)
    return 2**1.25 * (sigma**2 * stretch / 2 / calls) ** 0.25


def _noise(constants: Constants, law: Law) -> float:
    r"""Bound on the mean l1 norm of the noise of one sample."""
    checks.one_of("signsgd", "law", law, ("any", "gaussian"))
    return constants.noise_l1 * (math.sqrt(2 / math.pi) if law == "gaussian" else 1.0)


def _assumed(law: Law) -> tuple[Condition, ...]:
    return (Condition("Gaussian noise", "asked for by law='gaussian'", None),) if law == "gaussian" else ()
