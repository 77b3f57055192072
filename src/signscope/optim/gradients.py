"""Mean gradients over one or several closures, held apart from the ``.grad`` of the parameters."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.precision import state_dtype

Closure = Callable[[], Any]
Weighted = tuple[float, Closure]


def as_closures(who: str, closure: Closure | Sequence[Closure] | None) -> list[Closure]:
    """The closures behind the argument of ``step``: one, or one per micro-batch.

    Raises:
        InvalidInput: There is none, or something in the list cannot be called.
    """
    if closure is None:
        raise InvalidInput(
            f"{who}: step() needs a closure, because the gradient of the current batch is evaluated at several "
            "points. Pass a function that evaluates the loss on the stored batch, calls backward and returns the "
            "loss. (GradScaler.step passes none: use loss_scale=... and scale() instead.)"
        )
    closures = [closure] if callable(closure) else list(closure) if isinstance(closure, Sequence) else []
    if not closures or not all(callable(c) for c in closures):
        raise InvalidInput(f"{who}: step() takes a function or a list of functions, got {closure!r}.")
    return closures


def mean_gradient(who: str, params: Sequence[Tensor], parts: Iterable[Weighted]) -> tuple[Any, list[Tensor]]:
    """Weighted mean of loss and gradient over closures; ``.grad`` is emptied before each and left with the mean.

    Args:
        who: Name of the optimizer, for messages.
        params: Parameters; one without a gradient counts as zeros.
        parts: Weight (say, number of rows) and closure of every part. A single part costs no copy.

    Returns:
        The mean loss (None if a closure returned none) and one gradient per parameter, at least in float32.

    Raises:
        InvalidInput: A closure left no gradient at all.
    """
    total, loss, sums = 0.0, 0.0, None
    for weight, closure in parts:
        value, grads = _one(who, params, closure)
        if sums is None and weight == 1:
            sums, loss = grads, value
        else:
            scaled = grads if sums is None else sums
            sums = _accumulate(scaled, grads, weight, first=sums is None)
            loss = None if value is None or loss is None else loss + weight * value
        total += weight
    if sums is None:
        raise InvalidInput(f"{who}: nothing to evaluate: the closures or the loader are empty.")
    if total != 1:
        lists.div_(sums, total)
        loss = None if loss is None else loss / total
        for param, grad in zip(params, sums, strict=True):
            param.grad = grad.to(param.dtype) if param.requires_grad else None
    return loss, sums


def _accumulate(sums: list[Tensor], grads: list[Tensor], weight: float, *, first: bool) -> list[Tensor]:
    if first:
        lists.mul_(sums, weight)
    else:
        lists.add_(sums, grads, alpha=weight)
    return sums


def _one(who: str, params: Sequence[Tensor], closure: Closure) -> tuple[Any, list[Tensor]]:
    for param in params:
        param.grad = None
    with torch.enable_grad():
        loss = closure()
    if all(param.grad is None for param in params):
        raise InvalidInput(
            f"{who}: after the closure no parameter has a gradient. It must call backward() on the loss, and must "
            "not empty the gradients at its end."
        )
    return (loss.detach() if isinstance(loss, Tensor) else loss), [_taken(param) for param in params]


def _taken(param: Tensor) -> Tensor:
    """The gradient, out of reach of the next backward; zeros if there is none."""
    grad = param.grad
    if grad is None:
        return torch.zeros_like(param, dtype=state_dtype(param))
    if grad._is_view():  # a view into a communication bucket will be overwritten by the next backward
        return grad.to(state_dtype(param), copy=True)
    return grad.to(state_dtype(param))
