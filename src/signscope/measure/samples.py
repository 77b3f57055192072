"""Gradients of single samples by torch.func, a few at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from signscope._core.errors import InvalidInput, Unsupported
from signscope.measure.batches import count_rows, cut_rows, map_tensors
from signscope.measure.layers import Layer
from signscope.measure.losses import Loss, one_number, unscaled

AT_ONCE = 2**24
"""Numbers of per-sample gradients held at a time."""


class _LossOf(nn.Module):
    """The loss as a module around the model, so that other parameters reach every part of it, however it is called."""

    def __init__(self, who: str, loss: Loss, model: nn.Module) -> None:
        super().__init__()
        self.who, self.loss, self.model = who, loss, model

    def forward(self, batch: Any) -> Tensor:
        return one_number(self.who, self.loss(self.model, batch))


def sample_gradients(
    who: str,
    loss: Loss,
    model: nn.Module,
    batch: Any,
    layers: Sequence[Layer],
    *,
    chunk: int | None,
    scale: float = 1.0,
) -> Iterator[tuple[int, list[Tensor]]]:
    """Gradients of the samples of a batch, ``chunk`` at a time.

    Args:
        who: Name of the caller, for messages.
        loss: ``loss(model, batch)``; it is given batches of one row.
        model: The model.
        batch: Tensors with equally many rows.
        layers: What is measured.
        chunk: Samples at a time (chunk x parameters numbers of memory); None takes what fits into 2^24 numbers.
        scale: Factor on the loss in the backward pass, divided out of the gradients.

    Yields:
        Number of the first sample, and gradients by layer, shape (samples, ...).

    Raises:
        Unsupported: The model does not work under ``torch.func.vmap`` (batch norm in train mode, say).
    """
    values = {f"model.{layer.name}": layer.param.detach() for layer in layers}
    whole = _LossOf(who, loss, model)
    rows = count_rows(who, batch)

    def loss_of(values: dict[str, Tensor], sample: Any) -> Tensor:
        alone = map_tensors(lambda tensor: tensor.unsqueeze(0), sample)
        value = torch.func.functional_call(whole, values, (alone,))
        return value if scale == 1 else value * scale

    each = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0), randomness="different")
    size = chunk or max(1, min(rows, AT_ONCE // sum(layer.dim for layer in layers)))
    for start in range(0, rows, size):
        try:
            grads = each(values, cut_rows(batch, start, min(rows, start + size)))
        except InvalidInput:
            raise
        except (RuntimeError, ValueError, IndexError) as error:  # whatever the model meets under vmap
            reason = " ".join(str(error).split())[:300]
            raise Unsupported(
                f"{who}: per-sample gradients need torch.func.vmap over the model, which failed: {reason} Use "
                "samples='batches', which needs no per-sample gradients."
            ) from error
        yield start, [unscaled(grads[f"model.{layer.name}"], scale) for layer in layers]
