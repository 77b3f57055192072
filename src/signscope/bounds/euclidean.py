"""SGD measured in the l1 norm: upper bounds for any and for separable functions, and the steps that minimise them."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, Plan, check_run

FORMULA = "sqrt(d [Delta/(lr T) + lr L_2 sigma_2^2/(2B)] / (1 - lr L_2/2))"
SEPARABLE = "[sqrt(d Delta/(lr T)) + sqrt(lr/(2B)) sum_i sigma_i sqrt(L_i)] / sqrt(1 - lr L_2/2)"


@equation("signscope", "SGD in the l1 norm, any function")
def sgd_bound(constants: Constants, *, lr: float, num_steps: int, batch_size: int = 1) -> float:
    r"""Bound on the mean l1 norm of the gradient along ``num_steps`` steps of SGD.

    $$ \frac1T\sum_t E\lVert\nabla f\rVert_1 \le \sqrt d\Bigl(\frac1T\sum_t E\lVert\nabla f\rVert_2^2\Bigr)^{1/2}
       \le \Bigl(d\,\frac{\Delta/(\eta T) + \eta L_2\sigma_2^2/(2B)}{1 - \eta L_2/2}\Bigr)^{1/2} $$

    Args:
        constants: Of the problem, with ``dim``; without ``noise_l2`` or ``smoothness_l2`` the larger $\sigma_1$ or L
            is used, which is safe.
        lr: Factor on the gradient.
        num_steps: Updates T.
        batch_size: Samples B per gradient.

    Returns:
        The bound, in the unit of the gradient; infinite where lr is 2/L_2 or more.
    """
    check_run("sgd_bound", lr=lr, num_steps=num_steps, batch_size=batch_size)
    smooth, noise = _smooth(constants), _noise(constants)
    if not lr * smooth < 2:
        return math.inf
    mean_square = constants.initial_gap / (lr * num_steps) + lr * smooth * noise**2 / (2 * batch_size)
    return math.sqrt(_dim(constants) * mean_square / (1 - lr * smooth / 2))


@equation("signscope", "SGD in the l1 norm, best step")
def sgd(constants: Constants, *, num_calls: int, batch_size: int = 1) -> Plan:
    r"""Best learning rate of SGD for a number of gradient calls; no batch size does better than 1.

    With $a = \Delta/T$, $b = L_2\sigma_2^2/(2B)$, $c = L_2/2$ the bound $(a/\eta + b\eta)/(1 - c\eta)$ has its minimum
    at $\eta = a/(ac + \sqrt{a^2c^2 + ab})$; its leading term is

    $$ (2 d^2\sigma_2^2 L_2\Delta/N)^{1/4}, \qquad \sqrt{2 d L_2\Delta/T} \text{ without noise} $$

    Args:
        constants: Of the problem, with ``dim``.
        num_calls: Per-sample gradients N.
        batch_size: Samples B per gradient.

    Returns:
        The plan.
    """
    steps, batch = _steps("sgd", num_calls, batch_size)
    smooth, noise = _smooth(constants), _noise(constants)
    a, b, c = constants.initial_gap / steps, smooth * noise**2 / (2 * batch), smooth / 2
    lr = a / (a * c + math.sqrt(a * a * c * c + a * b))
    leading = math.sqrt(_dim(constants)) * (math.sqrt(4 * a * c) if noise == 0 else (4 * a * b) ** 0.25)
    return Plan(
        "sgd",
        steps,
        lr,
        sgd_bound(constants, lr=lr, num_steps=steps, batch_size=batch),
        leading,
        batch_size=batch,
        gradient_calls=steps * batch,
        conditions=(_stable(lr, smooth), *_stand_ins(constants)),
        equation=FORMULA,
    )


@equation("signscope", "SGD in the l1 norm, separable function")
def sgd_separable_bound(constants: Constants, *, lr: float, num_steps: int, batch_size: int = 1) -> float:
    r"""Bound on the mean l1 norm of the gradient along SGD on a sum of one-dimensional functions.

    $$ \frac1T\sum_t E\lVert\nabla f\rVert_1 \le \frac{\sqrt{d\Delta/(\eta T)}
       + \sqrt{\eta/(2B)}\,\sum_i\sigma_i\sqrt{L_i}}{\sqrt{1 - \eta\max_i L_i/2}} $$

    Args:
        constants: Made by `Constants.separable`.
        lr: Factor on the gradient.
        num_steps: Updates T.
        batch_size: Samples B per gradient.

    Returns:
        The bound, in the unit of the gradient; infinite where lr is 2/max L_i or more.
    """
    check_run("sgd_separable_bound", lr=lr, num_steps=num_steps, batch_size=batch_size)
    smooth, weight = _smooth(constants), _weight(constants)
    if not lr * smooth < 2:
        return math.inf
    start = math.sqrt(_dim(constants) * constants.initial_gap / (lr * num_steps))
    return (start + math.sqrt(lr / (2 * batch_size)) * weight) / math.sqrt(1 - lr * smooth / 2)


@equation("signscope", "SGD in the l1 norm, separable function, best step")
def sgd_separable(constants: Constants, *, num_calls: int, batch_size: int = 1) -> Plan:
    r"""Best learning rate of SGD on a separable function; no batch size does better than 1.

    With $A = \sqrt{d\Delta/T}$ and $S = \sum_i\sigma_i\sqrt{L_i}/\sqrt{2B}$ the minimum is at
    $\eta = A/(S + A\max_i L_i)$; its leading term is

    $$ \bigl(8 d\Delta(\textstyle\sum_i\sigma_i\sqrt{L_i})^2/N\bigr)^{1/4} \le (8 d\sigma_2^2 L\Delta/N)^{1/4} $$

    Args:
        constants: Made by `Constants.separable`.
        num_calls: Per-sample gradients N.
        batch_size: Samples B per gradient.

    Returns:
        The plan.
    """
    steps, batch = _steps("sgd_separable", num_calls, batch_size)
    smooth, weight = _smooth(constants), _weight(constants) / math.sqrt(2 * batch)
    start = math.sqrt(_dim(constants) * constants.initial_gap / steps)
    lr = start / (weight + start * smooth)
    return Plan(
        "sgd",
        steps,
        lr,
        sgd_separable_bound(constants, lr=lr, num_steps=steps, batch_size=batch),
        2 * math.sqrt(start * weight) if weight else start * math.sqrt(2 * smooth),
        batch_size=batch,
        gradient_calls=steps * batch,
        conditions=(_stable(lr, smooth), Condition("separable", "f is a sum of one-dimensional functions", None)),
        equation=SEPARABLE,
    )


def _steps(who: str, num_calls: int, batch_size: int) -> tuple[int, int]:
    calls = checks.integer(who, "num_calls", num_calls, minimum=1)
    batch = checks.integer(who, "batch_size", batch_size, minimum=1)
    if batch > calls:
        raise InvalidInput(f"{who}: `batch_size` must be at most `num_calls` = {calls}, got {batch}.")
    return calls // batch, batch


def _dim(constants: Constants) -> int:
    if constants.dim is None:
        raise InvalidInput("sgd: the bound needs `dim`, the number of coordinates; Constants(..., dim=...).")
    return constants.dim


def _smooth(constants: Constants) -> float:
    return constants.smoothness if constants.smoothness_l2 is None else constants.smoothness_l2


def _noise(constants: Constants) -> float:
    return constants.noise_l1 if constants.noise_l2 is None else constants.noise_l2


def _weight(constants: Constants) -> float:
    if constants.noise_curvature is None:
        raise InvalidInput(
            "sgd_separable: needs the noise and curvature of every coordinate: Constants.separable, or lists in "
            "--L-inf and --sigma."
        )
    return constants.noise_curvature


def _stable(lr: float, smooth: float) -> Condition:
    return Condition("stable step", f"lr L_2 = {lr * smooth:.3g}, needs less than 2", lr * smooth < 2)


def _stand_ins(constants: Constants) -> tuple[Condition, ...]:
    missing = [
        f"{wanted} not given, {used} used"
        for wanted, used, value in (
            ("sigma_2", "sigma_1", constants.noise_l2),
            ("L_2", "L", constants.smoothness_l2),
        )
        if value is None
    ]
    return (Condition("larger constants", "; ".join(missing), None),) if missing else ()
