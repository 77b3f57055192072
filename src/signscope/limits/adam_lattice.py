"""The logarithmic lattice of Adam's integrals: averages become convolutions, memory becomes a running sum.

Every function f(x) is held at x = exp(y), y on an equally spaced lattice (first axis of all arrays). Multiplying x
by beta2, which is what one step into the past does, is a shift by ``delta = -log(beta2)``; the spacing divides
``delta`` or is divided by it, so that products over the whole past cost one pass at any beta2.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

TARGET_SPACING = 0.3  # error of the trapezoid rule exp(-pi^2 / spacing), of the 12-point rule about 1e-8
LEFT, RIGHT = -110.0, 36.0  # where constants are integrated, relative to the scale of the squared residual
REACH = 45.0  # how far averages look beyond LEFT; exp(-REACH / 2) is what they miss
_TERMS_LOG = 40.0  # geometric sums stop where their terms fall below exp(-40)
_MOST_TERMS = 50_000  # of one lattice point summed one by one
_POINTS = np.arange(-5, 7)  # stencil of the 12-point Lagrange rule around a lattice cell
_LAGRANGE = np.array([1 / math.prod(int(p - q) for q in _POINTS if q != p) for p in _POINTS])


def stencil(fraction: np.ndarray) -> np.ndarray:
    """12 Lagrange weights, on points -5 ... 6, of the value at ``fraction`` in [0, 1); shape (..., 12)."""
    gap = fraction[..., None] - _POINTS
    at_node = np.abs(gap) < 1e-13
    safe = np.where(at_node, 1.0, gap)
    weights = _LAGRANGE * safe.prod(-1, keepdims=True) / safe
    return np.where(at_node.any(-1, keepdims=True), at_node.astype(float), weights)


def averaging(shifts: np.ndarray, weights: np.ndarray, size: int, origin: int) -> np.ndarray:
    """Row k with sum_i weights_ki f(shifts_ki) = sum_m row_km f(m - origin) for f on the integers; (..., size).

    Args:
        shifts: Places in units of the spacing, shape (..., n).
        weights: Their weights, broadcast against ``shifts``.
        size: Length of the row.
        origin: Index of shift 0 in the row; the ends of the row take what falls outside.
    """
    weights = np.broadcast_to(weights, shifts.shape)
    cell = np.floor(shifts).astype(int)
    where = (cell[..., None] + _POINTS + origin).clip(0, size - 1)
    amount = weights[..., None] * stencil(shifts - cell)
    lead = math.prod(shifts.shape[:-1])
    where = where.reshape(lead, -1) + size * np.arange(lead)[:, None]
    rows = np.bincount(where.ravel(), amount.ravel(), minlength=lead * size)
    return rows.reshape(*shifts.shape[:-1], size)


@dataclass(frozen=True)
class Lattice:
    """Lattice for one beta2.

    Attributes:
        beta2: Decay of the second-moment average, in (0, 1).
        target: Largest spacing.
    """

    beta2: float
    target: float = TARGET_SPACING

    @property
    def delta(self) -> float:
        """Shift of one step into the past."""
        return -math.log(self.beta2)

    @cached_property
    def stride(self) -> int:
        """Lattice points per step into the past (1 where a point holds several steps)."""
        return max(1, math.ceil(self.delta / self.target))

    @cached_property
    def block(self) -> int:
        """Steps into the past per lattice point (1 where a step spans several points)."""
        return max(1, math.floor(self.target / self.delta))

    @property
    def spacing(self) -> float:
        """Distance of lattice points in log x."""
        return self.delta * self.block / self.stride

    @cached_property
    def wide(self) -> np.ndarray:
        """Points y where the residual's Laplace transform is needed; (num_wide,)."""
        return self.spacing * np.arange(
            math.floor((LEFT - REACH) / self.spacing), math.ceil((RIGHT + 6) / self.spacing)
        )

    @cached_property
    def offset(self) -> int:
        """Index in `wide` of the first point of `points`."""
        return math.ceil(REACH / self.spacing)

    @cached_property
    def points(self) -> np.ndarray:
        """Points y where averages are formed; (num_points,)."""
        return self.wide[self.offset : self.offset + round((RIGHT - LEFT) / self.spacing)]

    def convolution(self, density: np.ndarray) -> np.ndarray:
        """Matrix (num_points, num_wide) of f -> h sum_v density(v) f(y + v); ``density`` from `lags`."""
        first = len(self.wide) - self.offset
        rows = np.lib.stride_tricks.sliding_window_view(density, len(self.wide))
        return self.spacing * rows[first - len(self.points) : first][::-1]

    @cached_property
    def lags(self) -> np.ndarray:
        """The arguments v at which `convolution` wants its density, shape (2 num_wide - 1,)."""
        wide = len(self.wide)
        return self.spacing * np.arange(1 - wide, wide)

    def remembered(self, values: np.ndarray, *, ratio: float = 1.0, first: int = 0) -> np.ndarray:
        """Sum over the past, sum_(j >= first) ratio^j f(y - j delta), for f on consecutive lattice points.

        Args:
            values: f, shape (n, ...); to the left of the lattice it continues geometrically.
            ratio: Weight of one step into the past, at least 0; ``ratio`` times the decay of f must be below 1.
            first: 0, or 1 to leave the present out.
        """
        steady = self._decay(values)
        blocks = self._blocks(values, ratio, steady) if self.block > 1 else values
        weight, step = ratio**self.block, self.stride
        total = np.empty_like(blocks)
        total[:step] = blocks[:step] / (1 - weight * steady**self.block)
        for n in range(step, len(blocks), step):
            here = blocks[n : n + step]
            total[n : n + step] = here + weight * total[n - step : n - step + len(here)]
        return total - values if first else total

    def _decay(self, values: np.ndarray) -> np.ndarray:
        """Factor by which f falls in one step into the past at the left end, shape (...)."""
        span = max(1, round(2 / self.spacing))  # wide enough that rounding of f does not matter
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.log(np.abs(values[span] / values[0])) / (span * self.spacing)
        return np.exp(-self.delta * np.nan_to_num(slope, nan=np.inf, posinf=700.0 / self.delta))

    def _blocks(self, values: np.ndarray, ratio: float, steady: np.ndarray) -> np.ndarray:
        """Sum of the first ``block`` steps into the past, read off between lattice points."""
        row = _block_row(self.block, ratio)
        back = np.arange(7, 0, -1).reshape(-1, *[1] * (values.ndim - 1))
        left = values[0] * steady ** (back * self.block)
        ahead = np.arange(1, 7).reshape(-1, *[1] * (values.ndim - 1))
        right = values[-1] + ahead * (values[-1] - values[-2])
        padded = np.concatenate([left, values, right])
        total = np.zeros_like(values)
        for index, weight in enumerate(row):
            if weight:
                total += weight * padded[index : index + len(values)]
        return total


@lru_cache(maxsize=64)
def _block_row(block: int, ratio: float) -> np.ndarray:
    """Row of sum_(i < block) ratio^i f(-i / block) on the integers -7 ... 6."""
    terms = block if ratio >= 1 else min(block, math.ceil(_TERMS_LOG / -math.log(ratio)))
    if terms <= _MOST_TERMS:
        steps, weights = np.arange(terms), np.ones(terms)
    else:  # the midpoint rule of so many terms is the integral, to 1e-8
        nodes, weights = np.polynomial.legendre.leggauss(64)
        steps, weights = terms * (nodes + 1) / 2 - 0.5, weights * terms / 2
    return averaging(-steps[None] / block, weights * ratio ** steps[None], 14, 7)[0]
