"""Batches of any nesting: their tensors moved, their rows counted and cut."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput


def map_tensors(change: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """The same nesting of dictionaries, lists and tuples with every tensor changed; other things are kept."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(change, value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a named tuple
        return type(batch)(*(map_tensors(change, value) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map_tensors(change, value) for value in batch)
    return batch


def tensors_in(batch: Any) -> Iterator[Tensor]:
    """Every tensor of a batch, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping | list | tuple):
        for value in batch.values() if isinstance(batch, Mapping) else batch:
            yield from tensors_in(value)


def described(batch: Any) -> str:
    """Kind and shape of the first tensors of a batch, for messages."""
    found = [f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" for tensor in tensors_in(batch)]
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "") or f"type {type(batch).__name__} without tensors"


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch on ``device``."""
    return map_tensors(lambda tensor: tensor.to(device), batch)


def iterated(who: str, loader: Any) -> Iterator[Any]:
    """The batches of a loader.

    Raises:
        InvalidInput: It cannot be iterated over.
    """
    try:
        return iter(loader)
    except TypeError:
        raise InvalidInput(f"{who}: `loader` must be iterable, got {type(loader).__name__}.") from None


def count_rows(who: str, batch: Any) -> int:
    """Length of the first tensor with rows.

    Raises:
        InvalidInput: There is none, or it is empty.
    """
    rows = next((len(tensor) for tensor in tensors_in(batch) if tensor.ndim), 0)
    if rows < 1:
        raise InvalidInput(
            f"{who}: found no tensor with rows in a batch of type {type(batch).__name__}; say what a batch weighs: "
            "weights=lambda batch: ..."
        )
    return rows


def cut_rows(batch: Any, start: int, stop: int) -> Any:
    """Rows ``start`` to ``stop`` of every tensor."""
    return map_tensors(lambda tensor: tensor[start:stop], batch)
