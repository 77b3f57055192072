"""A device that is not there: its tensors compute on the CPU and refuse to meet CPU tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device(
    "meta"
)  # the one accelerator type that torch can name on every machine; its own meaning is suspended
CROSSING = {
    "aten::copy_",
    "aten::_to_copy",
    "aten::index",
    "aten::index_put_",
}  # accelerators take CPU tensors in these


class Away(Tensor):
    """A tensor of the pretended device; ``inner`` has its numbers."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Away":
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            dtype=inner.dtype,
            device=DEVICE,
            storage_offset=inner.storage_offset(),
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class PretendDevice(TorchDispatchMode):
    """Inside, ``device="meta"`` works, and an operation on tensors of both devices raises as an accelerator does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(leaf, Away) for leaf in tree_flatten((args, kwargs))[0]) or _is_away(kwargs.get("device")):
            self.calls += 1
            return dispatched(func, args, kwargs)
        return func(*args, **kwargs)


def _is_away(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the inner tensors, its results wrapped again."""
    name, leaves = func._schema.name, [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    strangers = [leaf for leaf in leaves if not isinstance(leaf, Away) and leaf.ndim > 0]
    if strangers and any(isinstance(leaf, Away) for leaf in leaves) and name not in CROSSING:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {DEVICE} and cpu")
    target = kwargs.get("device")
    stays = (_is_away(target) if target is not None else any(isinstance(leaf, Away) for leaf in leaves)) and not (
        name == "aten::copy_" and not isinstance(args[0], Away)
    )
    bare = tree_map(lambda leaf: leaf.inner if isinstance(leaf, Away) else leaf, (args, kwargs))
    options = {
        key: torch.device("cpu") if key == "device" and value is not None else value for key, value in bare[1].items()
    }
    found = func(*bare[0], **options)
    if not stays:
        return found
    held = {id(leaf.inner): leaf for leaf in leaves if isinstance(leaf, Away)}  # in place and out=: the same object

    def wrapped(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return held[id(leaf)] if id(leaf) in held else Away(leaf)

    return tree_map(wrapped, found)
