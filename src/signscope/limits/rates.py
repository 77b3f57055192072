"""The asymptotic rate at a stationary point: rightmost root of a secular equation, exact and O(d)."""

import numpy as np
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigs

from signscope._core.equations import equation


@equation("signscope", "(5.4)")
def rightmost_root(poles: np.ndarray, weights: np.ndarray) -> float:
    r"""Rightmost eigenvalue of diag(p) + u 1', from its secular equation.

    $$ 1 + \sum_j \frac{u_j}{p_j - z} = 0 $$

    Args:
        poles: p_j, shape (n,); here -2 a lambda_j.
        weights: u_j, shape (n,), all of one sign (zeros allowed), or of both.

    Returns:
        The real part of the rightmost eigenvalue.

    Notes:
        All u_j > 0: one root lies to the right of the largest pole, at most sum(u) away. All u_j < 0: it lies
        between the two largest poles. Both signs: see `rightmost_of_low_rank`.
    """
    poles, weights = _merged(poles, weights)
    largest = poles[-1]
    if not weights.any():
        return float(largest)
    if weights.min() < 0 < weights.max():
        return rightmost_of_low_rank(poles, weights[:, None], np.ones((len(poles), 1)))
    active = weights != 0
    free = poles[~active]  # a pole without weight is itself an eigenvalue
    poles, weights = poles[active], weights[active]
    if len(poles) == 1:
        root = poles[0] + weights[0]
    elif weights.max() > 0:
        root = poles[-1] + _bracketed(poles, weights, poles[-1], 0.0, weights.sum())
    else:
        root = poles[-1] + _bracketed(poles, weights, poles[-1], poles[-2] - poles[-1], 0.0)
    return float(max([root, *free[-1:]]))


def rightmost_of_low_rank(poles: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """Rightmost real part of the eigenvalues of diag(poles) + left right', by Woodbury's formula.

    Args:
        poles: Shape (n,).
        left: Shape (n, k).
        right: Shape (n, k).

    Returns:
        The largest real part; roots may be complex.

    Notes:
        Dense up to n = 256; beyond, the eight eigenvalues next to the largest pole, O(n k) per product. That
        finds the rightmost as long as the low rank part moves it by less than the spread of the poles.
    """
    if len(poles) <= 256:
        return float(np.linalg.eigvals(np.diag(poles) + left @ right.T).real.max())
    shift = poles.max() + 1e-3 * abs(poles.max())
    shifted = (poles - shift)[:, None]
    border = left / shifted
    core = np.linalg.inv(np.eye(left.shape[1]) + right.T @ border)

    def inverse(x: np.ndarray) -> np.ndarray:
        y = x.reshape(-1, 1) / shifted
        return (y - border @ (core @ (right.T @ y))).ravel()

    operator = LinearOperator((len(poles), len(poles)), matvec=inverse, dtype=float)  # pyright: ignore[reportCallIssue]
    start = np.ones(len(poles))
    found = np.asarray(eigs(operator, k=8, which="LM", return_eigenvectors=False, v0=start))
    return float((shift + 1 / found).real.max())


def _merged(poles: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poles ascending with equal ones (to rounding) made one; their weights add."""
    order = np.argsort(poles)
    poles, weights = poles[order], weights[order]
    gap = np.diff(poles) > 1e-12 * max(abs(poles[0]), 1e-300)
    group = np.concatenate([[0], np.cumsum(gap)])
    first = np.concatenate([[True], gap])
    return poles[first], np.bincount(group, weights=weights)


def _bracketed(poles: np.ndarray, weights: np.ndarray, origin: float, low: float, high: float) -> float:
    """Root as an offset from ``origin``, so that roots very close to a pole keep their digits."""
    offsets = poles - origin

    def cleared(x: float) -> float:
        # Multiplied by (x - low)(x - high)-like factors the poles at the ends of the bracket disappear.
        with np.errstate(divide="ignore", invalid="ignore"):
            value = 1 + (weights / (offsets - x)).sum()
        return float(np.clip(value, -1e300, 1e300)) if np.isfinite(value) else float(np.sign(value) or 1.0) * 1e300

    span = high - low
    inner_low, inner_high = low + 1e-15 * span, high - 1e-15 * span if low < 0 else high
    if cleared(inner_low) * cleared(inner_high) > 0:  # the root sits within rounding of an end
        return inner_low if abs(cleared(inner_low)) < abs(cleared(inner_high)) else inner_high
    return float(brentq(cleared, inner_low, inner_high, xtol=1e-300, rtol=8.9e-16, maxiter=500))  # pyright: ignore[reportArgumentType]
