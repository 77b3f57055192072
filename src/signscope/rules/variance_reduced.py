"""Gradient estimators that compare the same sample at several points; the step is ``theta - lr * sign(v)``."""

import torch
from torch import Tensor

from signscope._core.equations import equation


@equation("jiang2024", "Algorithm 1 (SSVR)")
def ssvr(grad: Tensor, grad_prev: Tensor, estimate: Tensor, *, beta: float) -> Tensor:
    r"""New gradient estimate of SSVR.

    $$ v_t = g(x_t; \xi_t) + (1 - \beta)\bigl(v_{t-1} - g(x_{t-1}; \xi_t)\bigr) $$

    Both gradients must come from the same sample: with different ones the error is 1/beta times that of no
    averaging. ``beta = 1`` is signSGD; without noise v is the exact gradient for every beta.

    Args:
        grad: Gradient of the current sample at the current point, any shape.
        grad_prev: Gradient of the same sample at the previous point.
        estimate: Previous estimate v; at the first point the mean of some gradients there.
        beta: Weight of the new sample, in (0, 1].

    Returns:
        The new v, in the shape and unit of ``grad``.
    """
    return grad + (1 - beta) * (estimate - grad_prev)


@equation("jiang2024", "Algorithm 2 (SSVR-FS)")
def ssvr_fs(
    grad: Tensor, grad_prev: Tensor, grad_anchor: Tensor, estimate: Tensor, full: Tensor, *, beta: float
) -> Tensor:
    r"""New gradient estimate of SSVR-FS, for a mean of finitely many components.

    $$ v_t = (1 - \beta)\bigl(v_{t-1} - g_i(x_{t-1})\bigr) + g_i(x_t) + \beta\bigl(h - g_i(x_\tau)\bigr) $$

    With a single component v is the exact gradient.

    Args:
        grad: Component gradient at the current point, any shape.
        grad_prev: The same component's gradient at the previous point.
        grad_anchor: The same component's gradient at the checkpoint.
        estimate: Previous estimate v; at the first point the full gradient.
        full: Full gradient h at the checkpoint.
        beta: Weight of the checkpoint, in (0, 1]; the theory takes one over the distance of checkpoints.

    Returns:
        The new v, in the shape and unit of ``grad``.
    """
    kept = (1 - beta) * (estimate - grad_prev) + grad
    return torch.add(kept, full - grad_anchor, alpha=beta)


@equation("fang2018", "Algorithm 1 (SPIDER estimator)")
def spider_sign(grad: Tensor, grad_prev: Tensor, estimate: Tensor) -> Tensor:
    r"""New gradient estimate of SPIDER-sign between two resets to the full gradient.

    $$ v_t = v_{t-1} + g_i(x_t) - g_i(x_{t-1}) $$

    Args:
        grad: Component gradient at the current point, any shape.
        grad_prev: The same component's gradient at the previous point.
        estimate: Previous estimate v; the full gradient at a checkpoint.

    Returns:
        The new v, in the shape and unit of ``grad``.
    """
    return estimate + (grad - grad_prev)


@equation("chzhen2023", "SignSVRG update")
def signsvrg(grad: Tensor, grad_anchor: Tensor, full: Tensor) -> Tensor:
    r"""Gradient estimate of SignSVRG.

    $$ v_t = g_i(x_t) - g_i(x_\tau) + h $$

    Args:
        grad: Component gradient at the current point, any shape.
        grad_anchor: The same component's gradient at the checkpoint.
        full: Full gradient h at the checkpoint.

    Returns:
        The estimate v, in the shape and unit of ``grad``.
    """
    return (grad - grad_anchor) + full
