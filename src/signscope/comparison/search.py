"""Minimisation of a costly smooth function of one variable in a handful of evaluations."""

import math
from collections.abc import Callable
from dataclasses import dataclass

STEP = 0.5  # first stride, in units of x (log rates: a factor 1.65)
STRIDES = 40


@dataclass(frozen=True)
class Minimum:
    """Where a search ended.

    Attributes:
        x: The minimiser.
        at_edge: Whether it is the upper edge, or no minimum was found within the strides allowed.
        evaluations: Function values that were computed.
    """

    x: float
    at_edge: bool
    evaluations: int


def vertex(xs: list[float], ys: list[float]) -> float:
    """Lowest point of the parabola through three points; the middle one where there is none between the ends."""
    (a, b, c), (fa, fb, fc) = xs, ys
    left, right = (b - a) * (fb - fc), (b - c) * (fb - fa)
    bottom = left - right
    if not math.isfinite(bottom) or bottom == 0:
        return b
    x = b - 0.5 * ((b - a) * left - (b - c) * right) / bottom
    return x if min(a, c) < x < max(a, c) else b


def minimize_scalar(
    function: Callable[[float], float], start: float, *, upper: float = math.inf, tol: float = 0.01
) -> Minimum:
    """Walk downhill from ``start`` until a minimum is bracketed, then fit parabolas.

    Args:
        function: To be minimised; ``inf`` where it does not exist.
        start: First point, at most ``upper``.
        upper: Largest x allowed.
        tol: Accepted error of x.

    Returns:
        A `Minimum`; 6 to 9 evaluations where ``start`` is within one stride of it.
    """
    known: dict[float, float] = {}

    def value(x: float) -> float:
        if x not in known:
            known[x] = function(x)
        return known[x]

    bracket = _bracket(value, start, upper)
    if bracket is None:
        best = min(known, key=lambda x: known[x])
        return Minimum(best, True, len(known))
    x = _refine(value, bracket, tol)
    return Minimum(x, upper - x <= tol, len(known))


def _bracket(value: Callable[[float], float], start: float, upper: float) -> tuple[float, float, float] | None:
    """Three points with the lowest in the middle, or None at the edge or after too many strides."""
    right = min(start + STEP, upper)
    left, middle = start - STEP, start
    if right <= middle:
        left, middle, right = start - 2 * STEP, start - STEP, start
    stride = STEP
    for _ in range(STRIDES):
        if value(middle) <= value(right) and value(middle) <= value(left) and math.isfinite(value(middle)):
            return left, middle, right
        if value(left) < value(right) or not math.isfinite(value(right)):
            left, middle, right = left - stride, left, middle
        elif right >= upper:
            return _beneath(value, middle, right)
        else:
            left, middle, right = middle, right, min(right + stride, upper)
        stride *= 1.5
    return None


def _beneath(value: Callable[[float], float], middle: float, upper: float) -> tuple[float, float, float] | None:
    """A bracket between ``middle`` and the upper edge, where the edge is lower than ``middle``."""
    for _ in range(3):
        between = 0.5 * (middle + upper)
        if value(between) <= value(upper):
            return middle, between, upper
        middle = between
    return None


def _refine(value: Callable[[float], float], bracket: tuple[float, float, float], tol: float) -> float:
    a, b, c = bracket
    for _ in range(STRIDES):
        wide = max(b - a, c - b)
        if wide <= tol:
            return b
        x = vertex([a, b, c], [value(a), value(b), value(c)])
        if x == b or wide > 1.2 * STEP or not math.isfinite(value(a)) or not math.isfinite(value(c)):
            x = 0.5 * (a + b) if b - a > c - b else 0.5 * (b + c)
        elif abs(x - b) <= tol:
            return x
        if value(x) <= value(b):
            a, b, c = (a, x, b) if x < b else (b, x, c)
        else:
            a, c = (x, c) if x < b else (a, x)
    return b
