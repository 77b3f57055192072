"""Evaluating the same closure again as if for the first time: random states, module buffers, replayability."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from signscope._core.errors import InvalidInput


class RandomState:
    """The global random states a closure may use: Python, numpy, torch on the CPU and on the given devices."""

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self.python = random.getstate()
        self.numpy = np.random.get_state()  # noqa: NPY002 - the closure's augmentation may use the global state
        self.torch = torch.get_rng_state()
        others = {device for device in devices if device.type not in ("cpu", "meta")}
        self.devices = {d: torch.get_device_module(d).get_rng_state(d) for d in others}

    def restore(self) -> None:
        """Puts every random state back."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.torch)
        for device, state in self.devices.items():
            torch.get_device_module(device).set_rng_state(state, device)


class Buffers:
    """Module buffers (batch-norm statistics and the like) as they were, to be put back.

    Args:
        modules: The modules whose buffers (also those of their children) are watched from the start.
    """

    def __init__(self, modules: Iterable[nn.Module] = ()) -> None:
        self.saved: dict[tuple[int, str], tuple[nn.Module, Tensor, Tensor, int]] = {}
        self.roots: set[int] = set()
        for module in modules:
            self.watch(module)

    def watch(self, module: nn.Module, *_: Any) -> None:
        """Remembers the buffers of a module and its children, if it was not seen before."""
        if id(module) in self.roots:
            return
        for child in module.modules():
            self.roots.add(id(child))
            for name, buffer in child._buffers.items():
                key = (id(child), name)
                if buffer is not None and key not in self.saved:
                    self.saved[key] = (child, buffer, buffer.detach().clone(), buffer._version)

    def restore(self) -> None:
        """Puts every buffer that changed back, also if the module holds another tensor by now."""
        for (_, name), (module, buffer, value, version) in self.saved.items():
            if buffer._version != version:
                buffer.copy_(value)
            module._buffers[name] = buffer


@contextmanager
def guarded_buffers(modules: Sequence[nn.Module] | None) -> Iterator[None]:
    """Everything that happens to module buffers inside is undone.

    Args:
        modules: The modules to guard; ``None`` guards every module that is called inside, found by a temporary
            global hook before its forward (a module reached by ``.forward`` alone is not seen).
    """
    buffers = Buffers(modules or ())
    handle = register_module_forward_pre_hook(buffers.watch) if modules is None else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
        with torch.no_grad():
            buffers.restore()


@contextmanager
def full_precision() -> Iterator[None]:
    """Gradient differences need float32: no TF32 products and no surrounding autocast inside."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


class HalfPrecisionWatch:
    """Sees whether autograd saves half-precision tensors, the trace that autocast leaves in a closure."""

    def __init__(self) -> None:
        self.seen: torch.dtype | None = None

    def _pack(self, tensor: Tensor) -> Tensor:
        if tensor.dtype in (torch.bfloat16, torch.float16):
            self.seen = tensor.dtype
        return tensor

    def hooks(self) -> Any:
        """Context in which forward passes are watched."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)


def refuse_if_different(
    who: str, first: tuple[Any, Sequence[Tensor]], second: tuple[Any, Sequence[Tensor]]
) -> None:
    """Refuses a closure whose loss or gradient differs when evaluated again at the same point.

    Allowed is what atomics on an accelerator may change: a few hundred units in the last place of the loss, and
    1% of the l1 norm of the gradient.

    Raises:
        InvalidInput: The closure is not replayable.
    """
    (loss, grads), (again, grads_again) = first, second
    apart = sum(float((a - b).abs().sum()) for a, b in zip(grads, grads_again, strict=True))
    size = sum(float(a.abs().sum()) for a in grads)
    precision = loss.dtype if isinstance(loss, Tensor) and loss.dtype.is_floating_point else torch.float64
    value, value_again = (float("nan") if x is None else float(x) for x in (loss, again))
    allowed = min(1024 * torch.finfo(precision).eps, 1e-2) * abs(value)
    if abs(value - value_again) > allowed or apart > 1e-2 * size:
        raise InvalidInput(
            f"{who}: the closure is not replayable: evaluated again at the same point it gave loss {value_again:.9g} "
            f"instead of {value:.9g}, and a gradient that differs by {apart / size if size else apart:.2g} of its l1 "
            "norm. It must use the stored current batch (no next(...) inside) and torch's, numpy's or Python's "
            "global random state."
        )
