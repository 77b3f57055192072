"""Adaptive stepping of the flow on rows, with values between the steps."""

import math
from dataclasses import replace

import numpy as np

from signscope.limits.rows_flow import Step, System, View, relative_gap, take

GROWTH, SHRINK = 4.0, 0.2  # largest and smallest ratio of one step to the one before
SAFETY = 0.9
MAX_TRIES = 3000
ANCHOR_EVERY = 4  # accepted steps between two averages over all rows, where the others use a subset
Pair = tuple[float, float]


class Track:
    """Nodes of the accepted steps; values between them by cubic Hermite interpolation."""

    def __init__(self, begin: View) -> None:
        self.times, self.parts = [begin.state.time], [begin.parts]
        self.left: list[Pair] = []  # derivatives at the start of each interval
        self.right: list[Pair] = []  # and at its end: they differ where the rate jumps

    def add(self, node: View, left: Pair, right: Pair) -> None:
        """Append ``node``, with the derivatives at both ends of the interval that leads to it."""
        self.times.append(node.state.time)
        self.parts.append(node.parts)
        self.left.append(left)
        self.right.append(right)

    def at(self, wanted: np.ndarray) -> np.ndarray:
        """Both parts at ``wanted``, shape (num_times, 2); NaN beyond the last node."""
        times, parts = np.array(self.times), np.array(self.parts)
        if len(times) == 1:
            return np.where((wanted <= times[0])[:, None], parts[0], np.nan)
        k = np.clip(np.searchsorted(times, wanted, side="right") - 1, 0, len(times) - 2)
        span = np.diff(times)[k, None]
        slopes = np.array(self.left)[k] * span, np.array(self.right)[k] * span
        found = _hermite((wanted - times[k])[:, None] / span, parts[k], parts[k + 1], *slopes)
        return np.where((wanted > times[-1] * (1 + 1e-12))[:, None], np.nan, found)


class Driver:
    """Steps whose length keeps the estimated error of each near ``tolerance``.

    Args:
        system: The flow.
        tolerance: Largest accepted error of a step, relative to the quantity.
        first: Length of the first step, steps/dim.
    """

    def __init__(self, system: System, tolerance: float, first: float) -> None:
        self.system, self.tolerance, self.span = system, tolerance, first
        self.evaluations = self.tries = self.accepted = 0

    def advance(self, begin: View, limit: float, track: Track | None = None) -> View | None:
        """The view after one accepted step, at most at time ``limit``; None where no step is accepted."""
        start = begin.state.time
        if start > 0 and self.accepted % ANCHOR_EVERY == 0:  # nothing to correct while Sigma = 0
            begin = self._anchored(begin)
        while self.tries < MAX_TRIES and self.span > 1e-13 * max(start, 1e-6):
            self.tries += 1
            span = self._length(limit - start)
            step = take(self.system, begin, span)
            self.evaluations += 1
            error, end = step.error, None
            if error <= self.tolerance:
                end = self._finish(step, limit if span == limit - start else step.end.time)
                if track is not None:
                    error = max(error, 0.25 * self._defect(begin, step.middle, end, span))
            factor = SAFETY * math.sqrt(self.tolerance / error) if error > 0 else GROWTH
            self.span = span * min(max(factor, SHRINK), GROWTH)
            if end is not None and error <= self.tolerance:
                if track is not None:
                    track.add(step.middle, *self._rates(begin, step.middle, span))
                    track.add(end, *self._rates(step.middle, end, span))
                self.accepted += 1
                return end
        return None

    def _anchored(self, view: View) -> View:
        """The same state, its moments corrected by an average over all rows."""
        system = self.system.anchored(view)
        if system is self.system:
            return view
        self.system = system
        return replace(system.view(view.state), pull=view.pull)  # a correction is no kink of the curve

    def _length(self, left: float) -> float:
        """The planned step, all of what is left, or half of it: no sliver remains for the next one."""
        if self.span > 0.7 * left:
            return left if self.span >= left or self.span > 0.9 * left else 0.5 * left
        return min(self.span, left)

    def _finish(self, step: Step, time: float) -> View:
        self.evaluations += 1
        return self.system.view(replace(step.end, time=time))

    def _rates(self, begin: View, end: View, span: float) -> tuple[Pair, Pair]:
        inside = end.state.time - 1e-9 * span  # a rate that jumps at the end has not jumped yet
        return begin.rates(self.system.lr(begin.state.time)), end.rates(self.system.lr(inside))

    def _defect(self, begin: View, middle: View, end: View, span: float) -> float:
        """Relative distance of the middle from the cubic through the two ends."""
        left, right = (np.array(r) * span for r in self._rates(begin, end, span))
        guess = _hermite(np.array(0.5), np.array(begin.parts), np.array(end.parts), left, right)
        return relative_gap((float(guess[0]), float(guess[1])), middle.parts)


def _hermite(u: np.ndarray, y0: np.ndarray, y1: np.ndarray, d0: np.ndarray, d1: np.ndarray) -> np.ndarray:
    """Cubic through y0 at u = 0 and y1 at u = 1, with slopes d0 and d1 per unit of u."""
    v = 1 - u
    return v * v * (1 + 2 * u) * y0 + u * u * (1 + 2 * v) * y1 + u * v * (v * d0 - u * d1)
