"""Exact constants of small problems by enumeration: the two l-infinity smoothness constants and the density."""

from itertools import product

import numpy as np

from signscope._core.equations import equation
from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.norms import density_of

_MOST = {"lipschitz": 20, "bregman": 9}


def density(vector: np.ndarray) -> float:
    r"""Share of coordinates that carry a vector.

    $$ \phi(v) = \frac{\lVert v\rVert_1^2}{d\,\lVert v\rVert_2^2} \in [1/d, 1] $$

    For standard deviations of equal size it is 1; 2/pi is the value of one Gaussian *vector*, not of Gaussian noise.

    Args:
        vector: Numbers (d,), not all 0.

    Returns:
        phi, without unit; unchanged when the vector is multiplied by a number.
    """
    size = np.abs(np.asarray(vector, dtype=float))
    largest = size.max(initial=0.0)
    if not largest > 0:
        raise InvalidInput("density: `vector` must have an entry other than 0.")
    scaled = size / largest  # squares of very large or small entries would leave the numbers
    return density_of(float(scaled.sum()), float(np.linalg.norm(scaled)), size.size)


@equation("tao2026", "l-infinity smoothness, Lipschitz form")
def lipschitz_constant(hessian: np.ndarray) -> float:
    r"""Lipschitz constant of the gradient of a quadratic, from the l-infinity to the l1 norm.

    $$ L = \lVert H\rVert_{\infty\to1} = \max_{s\in\{\pm1\}^d}\lVert Hs\rVert_1 $$

    Args:
        hessian: Symmetric matrix (d, d), d at most 20.

    Returns:
        L, exactly; cost d^2 2^d.
    """
    matrix = _symmetric("lipschitz", hessian)
    rest = len(matrix) - 1  # the first sign is +: -s gives the same norm
    flips = (np.arange(2**rest)[:, None] >> np.arange(rest)) & 1
    signs = np.column_stack([np.ones(len(flips)), 1.0 - 2.0 * flips])
    return float(np.abs(signs @ matrix).sum(1).max())


@equation("signscope", "l-infinity smoothness, Bregman form")
def bregman_constant(hessian: np.ndarray) -> float:
    r"""Constant of the descent inequality of a quadratic in the l-infinity norm.

    $$ L_B = \max_{\lVert u\rVert_\infty\le1} |u^\top H u|, \qquad L_B \le L \le 2L_B $$

    Equal to L where H is positive semidefinite; diag(1, -1) has L_B = 1 and L = 2. The maximum lies on a face of the
    cube where it is stationary: all 3^d faces are tried.

    Args:
        hessian: Symmetric matrix (d, d), d at most 9.

    Returns:
        L_B, exactly up to rounding; cost d^3 3^d.
    """
    matrix = _symmetric("bregman", hessian)
    best = 0.0
    for face in product((-1.0, 0.0, 1.0), repeat=len(matrix)):
        fixed = np.array(face)
        free = fixed == 0
        if free.any():
            inner = matrix[np.ix_(free, free)]
            fixed[free] = np.linalg.lstsq(inner, -(matrix @ fixed)[free], rcond=None)[0]
            if np.abs(fixed).max() > 1:  # the stationary point is outside; an edge of this face has more
                continue
        best = max(best, abs(float(fixed @ matrix @ fixed)))
    return best


def _symmetric(kind: str, hessian: np.ndarray) -> np.ndarray:
    matrix = np.asarray(hessian, dtype=float)
    who, most = f"{kind}_constant", _MOST[kind]
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T, rtol=1e-9):
        raise InvalidInput(f"{who}: `hessian` must be a symmetric matrix, got shape {matrix.shape}.")
    if len(matrix) > most:
        raise Unsupported(f"{who}: enumerates up to {most} coordinates, got {len(matrix)}; estimate it instead.")
    return matrix
