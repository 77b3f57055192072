"""Squared distance and gradient norm on the nodes of a quadrature, where the spectral measures determine them."""

import torch
from torch import Tensor

from signscope._core.errors import Unsupported
from signscope.integrate import Solution
from signscope.limits.coefficients import Setting
from signscope.limits.modes import Modes
from signscope.limits.statistics import Form, along_steps
from signscope.problems import LeastSquares

_EQUAL = 1e-12


def node_statistic(
    problem: LeastSquares, setting: Setting, quantity: Form, modes: Modes, solution: Solution, times: Tensor
) -> Tensor:
    r"""E||v||^2 or E||Kv||^2 along a solved curve, from the modes alone.

    For SGD, and for sign methods where all variances are equal (D = c I),
    $$ \|v\|^2 = \sum_j \frac{2 r_j}{c \lambda_j} + \text{const}, \qquad \|Kv\|^2 = \sum_j 2 c \lambda_j r_j $$
    with c = 1 for SGD; the constant is the part of the start in the null space of K, which nothing moves.

    Args:
        problem: The problem of the curve.
        setting: Its optimizer.
        quantity: ``"distance"`` or ``"grad_norm"``.
        modes: The nodes that the curve was solved with.
        solution: Result of the risk solve with its steps kept.
        times: Times in steps/dim, shape (num_times,).

    Returns:
        Shape (num_times,).

    Raises:
        Unsupported: The nodes do not determine the quantity.
    """
    factor = _common_scale(problem, setting)
    if factor is None or not isinstance(quantity, str):
        raise Unsupported(
            f"predict: this quantity needs dim x dim moments for {setting.optimizer} on features of unequal variance, "
            f"and dim = {problem.dim} is beyond the reach of the dense theory. Predict excess_risk, or simulate, or "
            "ask for 'distance' or 'grad_norm' of sgd."
        )
    seen = modes.eigvals > 1e-13 * modes.eigvals.max()
    eigvals, start, forcing = modes.eigvals[seen], modes.start[seen], modes.sources[:, seen] / 2
    if quantity == "grad_norm":
        return along_steps(start, eigvals, forcing, 2 * factor * eigvals, solution, times)
    weight = 2 / (factor * eigvals)
    still = problem.displacement.square().sum() - (weight * start).sum()
    return still.clamp(min=0) + along_steps(start, eigvals, forcing, weight, solution, times)


def _common_scale(problem: LeastSquares, setting: Setting) -> float | None:
    if setting.kernel == "sgd":
        return 1.0
    root = problem.cov.diagonal().sqrt()
    equal = float(root.max() - root.min()) <= _EQUAL * float(root.max())
    return float(torch.mean(root)) if equal else None
