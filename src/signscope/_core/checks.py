"""Checks made once, at the public door; every message names the argument and the value that came."""

import math
from collections.abc import Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

from signscope._core.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 80  # characters of a value that a message repeats


def shown(value: Any) -> str:
    """``value`` as messages repeat it: one line, at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def positive(who: str, name: str, value: Any, *, unit: str = "") -> float:
    """``value`` as a finite float above zero, or `InvalidInput`."""
    number = finite(who, name, value)
    if not number > 0:
        suffix = f" {unit}" if unit else ""
        raise InvalidInput(f"{who}: `{name}` must be above 0{suffix}, got {number:g}.")
    return number


def non_negative(who: str, name: str, value: Any) -> float:
    """``value`` as a finite float of at least zero, or `InvalidInput`."""
    number = finite(who, name, value)
    if not number >= 0:
        raise InvalidInput(f"{who}: `{name}` must be 0 or more, got {number:g}.")
    return number


def finite(who: str, name: str, value: Any) -> float:
    """``value`` as a finite float, or `InvalidInput`."""
    try:
        number = float(_without_gradient(value))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InvalidInput(f"{who}: `{name}` must be a number, got {shown(value)}.") from None
    if not math.isfinite(number):
        raise InvalidInput(f"{who}: `{name}` must be finite, got {number}.")
    return number


def integer(who: str, name: str, value: Any, *, minimum: int) -> int:
    """``value`` as an int of at least ``minimum``, or `InvalidInput`."""
    try:
        number = int(_without_gradient(value))
        exact = bool(number == value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InvalidInput(f"{who}: `{name}` must be a whole number, got {shown(value)}.") from None
    if isinstance(value, bool) or not exact or number < minimum:
        raise InvalidInput(f"{who}: `{name}` must be a whole number of at least {minimum}, got {shown(value)}.")
    return number


def one_of(who: str, name: str, value: Any, allowed: Iterable[str]) -> str:
    """``value`` if it is one of ``allowed``, or `InvalidInput` that lists them."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        listed = ", ".join(repr(n) for n in names)
        raise InvalidInput(f"{who}: `{name}` must be one of {listed}; got {shown(value)}.")
    return value


def betas(who: str, value: Any) -> tuple[float, float]:
    """Adam's ``(beta1, beta2)``, both in [0, 1), or `InvalidInput`."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise InvalidInput(f"{who}: `betas` must be a pair (beta1, beta2), got {shown(value)}.") from None
    pair = (finite(who, "betas[0]", first), finite(who, "betas[1]", second))
    for index, beta in enumerate(pair):
        if not 0 <= beta < 1:
            raise InvalidInput(f"{who}: `betas[{index}]` must lie in [0, 1), got {beta:g}.")
    return pair


def real(who: str, name: str, value: Any) -> "Tensor":
    """``value``, a number or an array, as a tensor: floats of a tensor as they came, all else in float64."""
    import torch

    wanted = f"{who}: `{name}` must be a number or an array of numbers"
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise InvalidInput(f"{wanted}, got {value.dtype}.")
        return value if value.is_floating_point() else value.double()
    import numpy as np

    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{wanted}, got {shown(value)} ({error}).") from None
    if array.dtype.kind not in "biuf":
        raise InvalidInput(f"{wanted}, got {shown(value)}.")
    return torch.from_numpy(array.astype(np.float64))  # a copy: the caller's memory is never shared


def doubles(who: str, **values: Any) -> "tuple[Tensor, ...]":
    """Every one of ``values`` as a float64 tensor, with its gradient."""
    return tuple(real(who, name, value).double() for name, value in values.items())


def numbers(who: str, name: str, value: Any) -> tuple[float, ...]:
    """``value``, a list or vector of numbers, as floats, or `InvalidInput`."""
    found = real(who, name, value).detach()
    if found.ndim != 1:
        raise InvalidInput(f"{who}: `{name}` must be a list of numbers, got {shown(value)}.")
    return tuple(found.tolist())


def take_numbers(cls: type, method: str, argument: str, *, float64: bool = False) -> None:
    """Let ``method``, where ``cls`` itself defines it, take numbers and arrays for its first ``argument``."""
    given = vars(cls).get(method)
    if given is None:
        return

    @wraps(given)
    def taking(self: Any, *args: Any, **named: Any) -> Any:
        value = args[0] if args else named.pop(argument, None)
        found = real(type(self).__name__, argument, value)
        return given(self, found.double() if float64 else found, *args[1:], **named)

    setattr(cls, method, taking)


def _without_gradient(value: Any) -> Any:
    return value.detach() if hasattr(value, "detach") else value
