"""Minimisation of a costly smooth function of one variable in a handful of evaluations."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 0.4  # first stride, in units of x (log rates: a factor 1.5)
APART = 0.15  # least distance of the fourth point, so that noise does not bend the cubic
CUBICS = 4
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
    """Walk downhill from ``start`` until a minimum is bracketed, then fit cubics.

    Args:
        function: To be minimised; ``inf`` where it does not exist.
        start: First point, at most ``upper``.
        upper: Largest x allowed.
        tol: Accepted error of x for a smooth function; noise of relative size e adds about 2 e / STEP.

    Returns:
        A `Minimum` at a point where the function was evaluated; 5 or 6 evaluations where ``start`` is within one
        stride of it.
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
    """Shrink to one stride, add a fourth point on the lower side, then follow the minima of cubics."""
    a, b, c = _shrunk(value, bracket)
    x = vertex([a, b, c], [value(a), value(b), value(c)])
    side = x - b if x != b else (value(a) - value(c)) * (c - a)
    away = max(abs(x - b), APART)
    fourth = b + min(away, 0.7 * (c - b)) if side > 0 else b - min(away, 0.7 * (b - a))
    points = sorted((a, b, c, fourth))
    for _ in range(CUBICS):
        best = min(points, key=value)
        x = cubic_minimum(points, [value(p) for p in points])
        if x is None:
            return best
        nearest = abs(x - _nearest(points, x, 1)[0])
        if nearest <= 0.1 * tol:
            return best
        if value(x) > value(best) and nearest <= tol:
            return best
        if nearest <= tol:
            return x
        points = sorted([*_nearest(points, x, 3), x])
    return min(points, key=value)


def _shrunk(value: Callable[[float], float], bracket: tuple[float, float, float]) -> tuple[float, float, float]:
    """A bracket whose sides are finite and at most a stride and a bit."""
    a, b, c = bracket
    while max(b - a, c - b) > 1.2 * STEP or not math.isfinite(value(a)) or not math.isfinite(value(c)):
        left = b - a > c - b if math.isfinite(value(a)) == math.isfinite(value(c)) else not math.isfinite(value(a))
        x = 0.5 * (a + b) if left else 0.5 * (b + c)
        if value(x) <= value(b):
            a, b, c = (a, x, b) if left else (b, x, c)
        else:
            a, c = (x, c) if left else (a, x)
        if c - a < 1e-9:
            break
    return a, b, c


def _nearest(points: list[float], x: float, count: int) -> list[float]:
    return sorted(points, key=lambda p: abs(p - x))[:count]


def cubic_minimum(xs: list[float], ys: list[float]) -> float | None:
    """Local minimum of the cubic through four points, if there is one between the outer ones."""
    if not all(map(math.isfinite, ys)):
        return None
    centre = xs[1]
    k3, k2, k1, _ = np.polyfit(np.array(xs) - centre, ys, 3)
    root = k2 * k2 - 3 * k3 * k1
    if not root > 0:
        return None
    x = centre + (-k1 / (k2 + math.sqrt(root)) if k2 > 0 else (-k2 + math.sqrt(root)) / (3 * k3))
    return float(x) if xs[0] < x < xs[-1] else None
