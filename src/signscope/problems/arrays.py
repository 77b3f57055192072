"""Numbers from the caller as finite float64 tensors."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import InvalidInput


def as_float64(who: str, name: str, value: Any) -> Tensor:
    """``value`` as a new finite float64 tensor on the CPU, or `InvalidInput` that names the first bad entry."""
    try:
        tensor = value.detach().clone() if isinstance(value, Tensor) else torch.as_tensor(_numbers(value))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{who}: `{name}` must hold real numbers ({error}).") from None
    if tensor.is_complex():
        raise InvalidInput(f"{who}: `{name}` must hold real numbers, got {tensor.dtype}.")
    tensor = tensor.to(device="cpu", dtype=torch.float64)
    bad = ~torch.isfinite(tensor)
    if bool(bad.any()):
        index = ", ".join(str(int(i)) for i in bad.nonzero()[0])
        first = float(tensor[bad][0])
        raise InvalidInput(
            f"{who}: `{name}` must be finite, but {int(bad.sum())} of {tensor.numel()} entries are not "
            f"(the first is {name}[{index}] = {first})."
        )
    return tensor


def as_vector(who: str, name: str, value: Any, *, dim: int) -> Tensor:
    """``value`` as a finite float64 vector of length ``dim``, or `InvalidInput`."""
    vector = as_float64(who, name, value)
    if tuple(vector.shape) != (dim,):
        raise InvalidInput(f"{who}: `{name}` must have shape ({dim},), got {tuple(vector.shape)}.")
    return vector


def json_number(value: float) -> float | None:
    """``value``, or None where JSON has no word for it (infinity, NaN)."""
    return value if math.isfinite(value) else None


def _numbers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"got {type(value).__name__} of dtype {array.dtype}")
    if array.dtype.kind == "c":
        raise TypeError(f"got dtype {array.dtype}")
    return np.array(array, dtype=np.float64)  # a copy: the caller's memory is never shared
