"""Separable quadratics without sampling: exact mean gradients of SGD and signSGD, and fair grids of rates."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import erf, ndtr

Array = np.ndarray
COARSE = (1e-4, 1e-3, 1e-2, 1e-1)
"""The published grid: decades."""


def geometric(low: float, high: float, num: int) -> Array:
    """``num`` rates from ``low`` to ``high`` with equal ratios."""
    return np.geomspace(low, high, num)


def sgd_noiseless(start: Array, curvature: Array, *, lr: float, num_steps: int) -> Array:
    """|x_T| of gradient descent: |1 - lr L|^T |x_0|, by coordinate."""
    with np.errstate(over="ignore"):
        return np.abs(start) * np.abs(1 - lr * curvature) ** num_steps


def sign_noiseless(start: Array, *, lr: float, num_steps: int | Array) -> Array:
    """|x_T| of signSGD without noise: straight to zero, then to and fro across it; curvature does not matter.

    ``start`` and ``num_steps`` broadcast.
    """
    start = np.abs(start)
    crossing = np.ceil(start / lr)
    over = crossing * lr - start
    turned = np.where((num_steps - crossing) % 2 == 0, over, lr - over)
    return np.where(num_steps < crossing, start - num_steps * lr, turned)


def folded(mean: Array, std: Array) -> Array:
    """E|X| of a Gaussian; |mean| where ``std`` is 0."""
    safe = np.where(std > 0, std, 1.0)
    ratio = mean / safe
    value = safe * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2) + mean * erf(ratio / math.sqrt(2))
    return np.where(std > 0, value, np.abs(mean))


def sgd_moments(start: float, curvature: float, *, noise: float, lr: Array, times: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of one coordinate under SGD with Gaussian noise, shape (rates, times).

    x is Gaussian with mean q^t x_0 and variance lr^2 sigma^2 (1 - q^2t) / (1 - q^2), q = 1 - lr L; for |q| < 1.
    """
    q = 1 - lr[:, None] * curvature
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.exp(times * np.log(np.abs(q)))
        spread = np.where(np.abs(q) < 1, (1 - size**2) / (1 - q**2), times)
    mean = start * np.where((times % 2 == 1) & (q < 0), -size, size)
    return mean, lr[:, None] * noise * np.sqrt(np.maximum(spread, 0.0))


def sign_paths(start: float, curvature: float, *, noise: float, lr: float, num_steps: int) -> tuple[Array, Array]:
    """E|x_t| and E x_t^2, t = 1 ... num_steps, of one coordinate of signSGD with Gaussian noise, without sampling.

    The coordinate walks on the lattice x_0 + lr Z, down with probability Phi(L x / sigma); the law is a vector of
    probabilities, cut off (reflecting) where it is below rounding.
    """
    reach = math.ceil((abs(start) + 8 * math.sqrt(lr * noise / curvature)) / lr) + 2
    base = math.floor(start / lr)
    points = (start / lr - base + np.arange(-reach, reach + 1)) * lr
    law = np.zeros(len(points))
    law[reach + base] = 1.0
    down = ndtr(curvature * points / noise)
    down[0], down[-1] = 0.0, 1.0
    first, second = np.empty(num_steps), np.empty(num_steps)
    for t in range(num_steps):
        moved = law * down
        rest = law - moved
        law = np.zeros_like(law)
        law[:-1] += moved[1:]
        law[1:] += rest[:-1]
        first[t], second[t] = law @ np.abs(points), law @ points**2
    return first, second


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent of y as a power of x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def best_of(rates: Sequence[float] | Array, values: Sequence[float] | Array) -> tuple[float, float, bool]:
    """Rate with the smallest finite value, that value, and whether the rate is the grid's smallest or largest."""
    clean = np.nan_to_num(np.asarray(values, dtype=float), nan=math.inf)
    index = int(clean.argmin())
    return float(rates[index]), float(clean[index]), index in (0, len(clean) - 1)
