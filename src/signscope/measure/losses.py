"""The user's loss: its form, its determinism, and its gradient without touching ``.grad``, buffers or modes."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from signscope._core.errors import InvalidInput, SignscopeError
from signscope.measure.batches import described
from signscope.measure.layers import Layer

Loss = Callable[[Any, Any], Tensor]
Mode = Literal["eval", "train"]
MODES = ("eval", "train")
_MISFITS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)  # of a loss on data it was not made for

_FITS = (
    "It must fit the model and the batch: cross-entropy needs whole-number labels from 0 to the number of scores - 1, "
    "squared error targets in the shape of the model's output."
)
_CALLED = (
    "A function is called as loss_fn(model, batch); a criterion, such as nn.CrossEntropyLoss(), as "
    "loss_fn(model(inputs), targets) on batches (inputs, targets)."
)


def as_loss(who: str, loss_fn: Any) -> Loss:
    """``loss(model, batch)`` behind what the user gave.

    Args:
        who: Name of the caller, for messages.
        loss_fn: A function of model and batch that returns the mean loss of the batch; or a criterion (a module such
            as ``nn.CrossEntropyLoss()``, or a function of ``torch.nn.functional``) for batches (inputs, targets).

    Raises:
        InvalidInput: It cannot be called, or is a criterion that sums over the batch.
    """
    if not callable(loss_fn):
        raise InvalidInput(f"{who}: `loss_fn` must be a function loss_fn(model, batch), got {loss_fn!r}.")
    if isinstance(loss_fn, nn.Module) and getattr(loss_fn, "reduction", "") == "sum":
        raise InvalidInput(
            f"{who}: `loss_fn` is {type(loss_fn).__name__} with reduction='sum', and every number would be too large "
            "by the batch size; use reduction='mean'."
        )
    given: Any = loss_fn
    if not isinstance(loss_fn, nn.Module) and getattr(loss_fn, "__module__", "") != "torch.nn.functional":
        return given

    def criterion(model: Any, batch: Any) -> Tensor:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise InvalidInput(
                f"{who}: the criterion needs batches (inputs, targets), got {type(batch).__name__}. Give a function "
                "loss_fn(model, batch) instead."
            )
        return given(model(batch[0]), batch[1])

    return criterion


@contextlib.contextmanager
def undisturbed(model: nn.Module, mode: Mode, *, loader: Any = None) -> Iterator[None]:
    """Run in ``mode``; put back the mode of every module, every buffer, and the state of the random generators.

    These are the global ones of torch, numpy and Python, and that of a DataLoader made with ``generator=``.
    """
    flags = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    states = [(generator, generator.get_state()) for generator in _generators(loader)]
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=devices):
        try:
            model.train(mode == "train")
            yield
        finally:
            for module, flag in flags:
                module.training = flag
            for module, name, buffer, before in buffers:
                setattr(module, name, buffer)  # forward may have put another tensor there
                if not torch.equal(buffer, before):
                    with torch.no_grad():
                        buffer.copy_(before)
            for generator, state in states:
                generator.set_state(state)
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def _generators(loader: Any) -> list[torch.Generator]:
    """Those that a DataLoader and its samplers draw from."""
    samplers = getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    found = [getattr(place, "generator", None) for place in (loader, *samplers)]
    return [generator for generator in found if isinstance(generator, torch.Generator)]


@contextlib.contextmanager
def precision(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast to ``dtype``; nothing for None."""
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        yield


def evaluate(who: str, loss: Loss, model: Any, batch: Any) -> Tensor:
    """The loss of one batch.

    Raises:
        InvalidInput: The loss does not fit the model and the batch, or is not one number.
    """
    try:
        value = loss(model, batch)
    except _MISFITS as error:
        if isinstance(error, SignscopeError) or "allocate" in str(error):  # ours, or out of memory
            raise
        reason = " ".join(str(error).split())[:200] or "no message"
        called = isinstance(error, TypeError | AttributeError)  # what a function of (output, target) raises
        raise InvalidInput(
            f"{who}: `loss_fn` failed on a batch of {described(batch)}: {type(error).__name__}: {reason.rstrip('.')}. "
            + (_CALLED if called else _FITS)
        ) from error
    return one_number(who, value)


def one_number(who: str, value: Any) -> Tensor:
    """What a loss returned, without dimensions.

    Raises:
        InvalidInput: It is not one number.
    """
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InvalidInput(f"{who}: `loss_fn` must return one number, the mean loss of the batch; got {got}.")
    return value.reshape(())


def gradient(who: str, value: Tensor, layers: Sequence[Layer], *, scale: float = 1.0) -> list[Tensor]:
    """Gradient of a loss by layer, without touching ``.grad``; zeros where the loss does not depend on a layer.

    Raises:
        InvalidInput: The loss depends on none of the parameters.
    """
    grads = _autograd(who, value if scale == 1 else value * scale, layers)
    if all(grad is None for grad in grads):
        raise _no_gradient(who)
    return [
        torch.zeros_like(layer.param) if grad is None else unscaled(grad.to_dense() if grad.is_sparse else grad, scale)
        for layer, grad in zip(layers, grads, strict=True)
    ]


def unscaled(grad: Tensor, scale: float) -> Tensor:
    """``grad / scale``, at least float32. Not in place: parameters that are added get one and the same tensor."""
    return grad if scale == 1 else (grad if grad.dtype == torch.float64 else grad.float()) / scale


def _autograd(who: str, value: Tensor, layers: Sequence[Layer]) -> tuple[Tensor | None, ...]:
    if not value.requires_grad:
        raise _no_gradient(who)
    return torch.autograd.grad(value, [layer.param for layer in layers], allow_unused=True)


def _no_gradient(who: str) -> InvalidInput:
    return InvalidInput(
        f"{who}: the loss has no gradient with respect to any parameter of `model`. Does loss_fn call the model it is "
        "given, without torch.no_grad() and without .item()?"
    )


def is_random(who: str, loss: Loss, model: nn.Module, batch: Any, *, rtol: float) -> tuple[bool, float, float]:
    """Whether two evaluations on one batch differ by more than ``rtol``, and both values."""
    with torch.no_grad():
        first, second = (float(evaluate(who, loss, model, batch)) for _ in range(2))
    same = first == second or (math.isnan(first) and math.isnan(second))
    return not same and not abs(first - second) <= rtol * max(abs(first), abs(second)), first, second


def check_deterministic(who: str, loss: Loss, model: nn.Module, batch: Any, *, mode: Mode, rtol: float) -> bool:
    """Whether the loss is random; in eval mode that is an error.

    Raises:
        InvalidInput: Two evaluations of one batch differ although the model is in eval mode.
    """
    random, first, second = is_random(who, loss, model, batch, rtol=rtol)
    if random and mode == "eval":
        raise InvalidInput(
            f"{who}: the loss is random: two evaluations of the same batch in eval mode gave {first:.8g} and "
            f"{second:.8g}. Take augmentation and sampling out of the loss, or use mode='train' to count them as noise."
        )
    return random


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no entry is NaN or infinite; reads the data once unless a sum overflows."""
    sums = torch.stack([tensor.sum().double().cpu() for tensor in tensors])
    return bool(sums.isfinite().all()) or all(bool(tensor.isfinite().all()) for tensor in tensors)
