"""What a loaded optimizer state must contain, and its restoration without loss of precision."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput

Saved = Mapping[str, Any]
Quadruple = tuple[Mapping[str, Any], Any, Tensor, Mapping[str, Any]]


def check(
    who: str,
    saved: Saved,
    groups: Sequence[Mapping[str, Any]],
    *,
    needed: Callable[[Mapping[str, Any], Tensor], Sequence[str]],
    every: bool,
) -> None:
    """Refuses a checkpoint in which something is missing or has the wrong shape, by name.

    Args:
        who: Name of the optimizer class.
        saved: What ``state_dict()`` once returned.
        groups: Parameter groups of the optimizer that loads.
        needed: Buffers that a parameter of a (saved) group must have if it has state.
        every: Whether every parameter must have state (once the run has started).

    Raises:
        InvalidInput: The checkpoint is of another optimizer, or lacks counters, a parameter's state or a buffer.
    """
    counters = saved["param_groups"][0].get("counters") if saved["param_groups"] else None
    if counters is None:
        raise InvalidInput(f"{who}: the checkpoint has no `counters`, so its phase is unknown; was it saved by {who}?")
    if counters["optimizer"] != who:
        raise InvalidInput(f"{who}: the checkpoint was saved by {counters['optimizer']}.")
    started = any(counters[name] for name in ("steps", "initial_batches"))
    for old, key, param, entry in pairs(saved, groups):
        if key not in saved["state"]:
            if every and started:
                raise InvalidInput(f"{who}: the checkpoint has no state for parameter {key}, shape {_size(param)}.")
            continue
        for name in needed(old, param):
            if name not in entry:
                raise InvalidInput(
                    f"{who}: the checkpoint has no `{name}` for parameter {key}, shape {_size(param)}. "
                    "Without it the run cannot go on as if uninterrupted; start anew with a fresh optimizer."
                )
            if entry[name].shape != param.shape:
                raise InvalidInput(
                    f"{who}: `{name}` of parameter {key} has shape {_size(entry[name])} in the checkpoint, "
                    f"but the parameter has {_size(param)}."
                )


def pairs(saved: Saved, groups: Sequence[Mapping[str, Any]]) -> Iterator[Quadruple]:
    """Saved group, saved key, parameter and saved state of every parameter, in order."""
    for old, new in zip(saved["param_groups"], groups, strict=False):
        for key, param in zip(old["params"], new["params"], strict=False):
            yield old, key, param, saved["state"].get(key, {})


def restored(param: Tensor, value: Any) -> Any:
    """A saved buffer on the parameter's device, in the precision it was saved in (torch would cast it)."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().to(param.device).clone(memory_format=torch.preserve_format)


def _size(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
