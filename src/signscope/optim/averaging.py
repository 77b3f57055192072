"""Checks of the weights with which averages forget."""

from signscope._core import checks
from signscope._core.errors import InvalidInput


def past(who: str, name: str, value: float) -> float:
    """A weight of the past: a number in [0, 1)."""
    if not 0 <= checks.finite(who, name, value) < 1:
        raise InvalidInput(f"{who}: `{name}` must lie in [0, 1), got {value:g}.")
    return float(value)


def share(who: str, name: str, value: float) -> float:
    """A weight of the new sample: a number in (0, 1]."""
    if not 0 < checks.finite(who, name, value) <= 1:
        raise InvalidInput(f"{who}: `{name}` must lie in (0, 1], got {value:g}.")
    return float(value)
