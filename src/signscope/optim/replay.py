"""Evaluating the same closure again as if for the first time: random states, module buffers, replayability."""

import random
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
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
        self.saved: dict[tuple[int, str], tuple[nn.Module, Tensor, Tensor]] = {}
        self.roots: set[int] = set()
        for module in modules:
            self.watch(module)

    def watch(self, module: nn.Module) -> bool:
        """Remembers the buffers of a module and its children; whether the module is new."""
        if id(module) in self.roots:
            return False
        for child in module.modules():
            self.roots.add(id(child))
            for name, buffer in child._buffers.items():
                key = (id(child), name)
                if buffer is not None and key not in self.saved:
                    self.saved[key] = (child, buffer, buffer.detach().clone())
        return True

    def restore(self) -> None:
        """Puts every buffer back, also if the module holds another tensor by now.

        Batch norm moves its statistics without counting a version, so all are copied.
        """
        for (_, name), (module, buffer, value) in self.saved.items():
            buffer.copy_(value)
            module._buffers[name] = buffer


class BufferGuard:
    """Undoes what happens to module buffers inside ``with guard.hold():``.

    Args:
        modules: The modules to guard; ``None`` guards every module that is called inside, found by a temporary
            global hook before its forward (a module reached by ``.forward`` alone is not seen). Compiled modules
            dislike such hooks, so once one was found, the modules known by then are guarded without a hook.
    """

    def __init__(self, modules: Sequence[nn.Module] | None) -> None:
        self.modules = modules
        self._found: list[nn.Module] = []
        self._is_first = True

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Context in which buffers may change without lasting effect."""
        buffers = Buffers(self.modules or ())
        try:
            if self.modules is None:
                with self._searching(buffers):
                    yield
            else:
                yield
        finally:
            with torch.no_grad():
                buffers.restore()
            if any(type(module).__name__ == "OptimizedModule" for module in self._found):
                self.modules, self._found = self._found, []

    @contextmanager
    def _searching(self, buffers: Buffers) -> Iterator[None]:
        self._found = []

        def before(module: nn.Module, _: Any) -> None:
            if buffers.watch(module):
                self._found.append(module)

        handle = register_module_forward_pre_hook(before)
        try:
            with warnings.catch_warnings() if self._is_first else nullcontext():
                if self._is_first:
                    warnings.filterwarnings("ignore", message="Using `torch.compile", category=UserWarning)
                self._is_first = False
                yield
        finally:
            handle.remove()


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


def refuse_if_different(who: str, first: tuple[Any, Sequence[Tensor]], second: tuple[Any, Sequence[Tensor]]) -> None:
    """Refuses a closure whose loss or gradient differs when evaluated again at the same point.

    Allowed is what atomics on an accelerator may change: a few hundred units in the last place of the loss, and
    1% of the l1 norm of the gradient.

    Raises:
        InvalidInput: The closure is not replayable.
    """
    (loss, grads), (again, grads_again) = first, second
    apart = sum(float((a - b).abs().sum()) for a, b in zip(grads, grads_again, strict=True))
    size = sum(float(a.abs().sum()) for a in grads)
    precision = loss.dtype if isinstance(loss, Tensor) and loss.dtype.is_floating_point else torch.float32
    value, value_again = (float("nan") if x is None else float(x) for x in (loss, again))
    allowed = min(1024 * torch.finfo(precision).eps, 1e-2) * abs(value)
    if abs(value - value_again) > allowed or apart > 1e-2 * size:
        raise InvalidInput(
            f"{who}: the closure is not replayable: evaluated again at the same point it gave loss {value_again:.9g} "
            f"instead of {value:.9g}, and a gradient that differs by {apart / size if size else apart:.2g} of its l1 "
            "norm. It must use the stored current batch (no next(...) inside) and torch's, numpy's or Python's "
            "global random state."
        )
