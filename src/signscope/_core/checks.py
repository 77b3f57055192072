"""Checks made once, at the public door; every message names the argument and the value that came."""

import math
from collections.abc import Iterable
from typing import Any

from signscope._core.errors import InvalidInput


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
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{who}: `{name}` must be a number, got {value!r}.") from None
    if not math.isfinite(number):
        raise InvalidInput(f"{who}: `{name}` must be finite, got {number}.")
    return number


def integer(who: str, name: str, value: Any, *, minimum: int) -> int:
    """``value`` as an int of at least ``minimum``, or `InvalidInput`."""
    try:
        number = int(value)
        exact = number == value
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{who}: `{name}` must be a whole number, got {value!r}.") from None
    if isinstance(value, bool) or not exact or number < minimum:
        raise InvalidInput(f"{who}: `{name}` must be a whole number of at least {minimum}, got {value!r}.")
    return number


def one_of(who: str, name: str, value: Any, allowed: Iterable[str]) -> str:
    """``value`` if it is one of ``allowed``, or `InvalidInput` that lists them."""
    names = list(allowed)
    if value not in names:
        listed = ", ".join(repr(n) for n in names)
        raise InvalidInput(f"{who}: `{name}` must be one of {listed}; got {value!r}.")
    return value


def betas(who: str, value: Any) -> tuple[float, float]:
    """Adam's ``(beta1, beta2)``, both in [0, 1), or `InvalidInput`."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise InvalidInput(f"{who}: `betas` must be a pair (beta1, beta2), got {value!r}.") from None
    pair = (finite(who, "betas[0]", first), finite(who, "betas[1]", second))
    for index, beta in enumerate(pair):
        if not 0 <= beta < 1:
            raise InvalidInput(f"{who}: `betas[{index}]` must lie in [0, 1), got {beta:g}.")
    return pair
