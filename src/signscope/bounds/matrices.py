"""Muon on matrices: the bound in the nuclear norm, with an exact or an inexact matrix sign."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.plan import Condition, Plan, check_run

FORMULA = "[Delta/(lr T) + lr L* u^2/2 + u |Sigma|_nuc/sqrt(B)] / y_min"


@equation("tao2026", "upper bound of Muon, noise term with factor 1")
def muon_bound(
    constants: Constants,
    *,
    lr: float,
    num_steps: int,
    batch_size: int = 1,
    singular_range: tuple[float, float] = (1.0, 1.0),
) -> float:
    r"""Bound on the mean nuclear norm of the gradient along ``num_steps`` steps of Muon without momentum.

    For $W \leftarrow W - \eta\,U\operatorname{diag}(y)V^\top$ with $y \in [y_{\min}, u]$ on the singular directions of
    the stochastic gradient (1 for the exact matrix sign),

    $$ \frac1T\sum_t E\lVert\nabla F\rVert_* \le \frac1{y_{\min}}\Bigl[\frac{\Delta}{\eta T} + \frac{\eta L_* u^2}2
       + \frac{u\lVert\Sigma\rVert_*}{\sqrt B}\Bigr] $$

    Args:
        constants: With ``smoothness`` the constant L* of $|F(W+D) - F(W) - \langle G, D\rangle| \le
            \frac{L_*}2\lVert D\rVert_{op}^2$ and ``noise_l1`` the trace of $\Sigma$, $E NN^\top \preceq \Sigma^2$, N
            the noise with the shorter side first.
        lr: Length eta of the step of every singular value.
        num_steps: Updates T.
        batch_size: Samples B per gradient.
        singular_range: $(y_{\min}, u)$; five rounds of Newton-Schulz give (0.682, 1.203) on resolved directions.

    Returns:
        The bound, in the unit of the gradient.
    """
    check_run("muon_bound", lr=lr, num_steps=num_steps, batch_size=batch_size)
    low, high = _range(singular_range)
    descent = constants.initial_gap / (lr * num_steps) + lr * constants.descent * high**2 / 2
    return (descent + high * constants.noise_l1 / math.sqrt(batch_size)) / low


@equation("tao2026", "Muon with the best step and batch for given N")
def muon(constants: Constants, *, num_calls: int, singular_range: tuple[float, float] = (1.0, 1.0)) -> Plan:
    r"""Best learning rate and batch size of Muon for a number of gradient calls.

    $$ B^* = \lVert\Sigma\rVert_*\sqrt{N/(2L_*\Delta)}, \quad \eta = \frac1u\sqrt{2\Delta/(L_*T)} \quad\Rightarrow\quad
       \frac u{y_{\min}}\,2^{5/4}(\lVert\Sigma\rVert_*^2 L_*\Delta/N)^{1/4} $$

    Args:
        constants: As for `muon_bound`.
        num_calls: Per-sample gradients N.
        singular_range: $(y_{\min}, u)$ of the matrix sign that is used.

    Returns:
        The plan; the norm is the nuclear norm.
    """
    from signscope.bounds.plain import signsgd

    low, high = _range(singular_range)
    vector = signsgd(constants, num_calls=num_calls)
    lr = vector.lr / high
    steps, batch = vector.num_steps, vector.batch_size
    exact = "exact" if low == high == 1 else f"singular values of the direction in [{low:g}, {high:g}]"
    return Plan(
        "muon",
        steps,
        lr,
        muon_bound(constants, lr=lr, num_steps=steps, batch_size=batch, singular_range=singular_range),
        vector.leading * high / low,
        batch_size=batch,
        gradient_calls=vector.gradient_calls,
        conditions=(
            *vector.conditions,
            Condition("matrix constants", "L and sigma are those of the operator and nuclear norm", None),
            Condition("matrix sign", exact, None),
        ),
        equation=FORMULA,
        norm="nuclear",
    )


def _range(singular_range: tuple[float, float]) -> tuple[float, float]:
    given = [checks.positive("muon", "singular_range", v) for v in singular_range]
    if len(given) != 2 or given[0] > given[1]:
        raise InvalidInput(f"muon: `singular_range` must be (smallest, largest), got {tuple(given)}.")
    low, high = given
    return low, high
