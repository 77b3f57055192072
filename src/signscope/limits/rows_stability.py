"""Second moments of SGD on the rows of a data set: where they are stable, what they settle at."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.types import Matrix
from signscope.limits.rows_moments import HasRows, RowMoments, prepare

RANK_CUT = 1e-13  # eigenvalues of K below this share of the largest belong to directions no row has
LANCZOS_SIZE = 12


class SecondMoments:
    """T Sigma = E[x x' Sigma x x'] against L Sigma = K Sigma + Sigma K, both on the span of the rows.

    One product is L^(-1/2) T L^(-1/2), symmetric and positive, in the eigenbasis of K where L is entrywise;
    n d^2 operations. SGD with g = lr/d moves second moments by 1 - g L + g^2 T each update.
    """

    def __init__(self, data: RowMoments) -> None:
        eigvals, basis = torch.linalg.eigh(data.own_cov)
        seen = eigvals > RANK_CUT * eigvals[-1]
        self.data, self.basis, kept = data, basis[:, seen], eigvals[seen]
        self.rank = len(kept)
        self.root = (kept[:, None] + kept[None, :]).sqrt()  # L^(1/2), entrywise

    def inward(self, matrix: Matrix) -> np.ndarray:
        """L^(-1/2) of a (d, d) matrix, flattened in the eigenbasis."""
        return ((self.basis.T @ matrix @ self.basis) / self.root).numpy().ravel()

    def outward(self, flat: np.ndarray) -> Matrix:
        """The (d, d) matrix L^(-1/2) of what ``flat`` holds in the eigenbasis."""
        inner = torch.from_numpy(np.ascontiguousarray(flat).reshape(self.rank, self.rank)) / self.root
        return self.basis @ inner @ self.basis.T

    def product(self, flat: np.ndarray) -> np.ndarray:
        """L^(-1/2) T L^(-1/2) of a flattened symmetric matrix."""
        return self.inward(fourth_moment(self.data, self.outward(flat)))


def fourth_moment(data: RowMoments, sigma: Matrix) -> Matrix:
    """E[x x' sigma x x'] over the rows, ``sigma`` symmetric of any sign, shape (d, d)."""
    wide = data.wide
    scaled = wide * data.spread(sigma).to(wide.dtype)[:, None]
    return (wide.T @ scaled).double() / data.num_rows


@equation("signscope", "risk_curves (13.5)")
def max_stable_lr(rows: "HasRows | RowMoments", *, tol: float = 1e-6) -> float:
    r"""Rate beyond which E||v||^2 of SGD with batch size 1 grows without bound on these rows.

    $$ lr_{max} = d/\rho, \quad \rho = \text{spectral radius of } \Sigma \mapsto L^{-1} E[x x' \Sigma x x'],
       \quad L\Sigma = K\Sigma + \Sigma K $$

    The targets do not matter. Rows are drawn with replacement. For Gaussian rows and large d it tends to
    2d/tr K; rows whose norm varies lower it, often by much. Directions that no row has are left out.

    Args:
        rows: Data set, or the result of `prepare` (which remembers the answer).
        tol: Relative accuracy of the answer.

    Notes:
        Lanczos, 10-40 products of n d^2 operations. The exact discrete recursion has this same limit: its
        second moments move by 1 - g L + g^2 T, g = lr/d, and 1 is reached where L - g T is singular.
    """
    data = prepare(rows)
    known = data.memory.get("max_stable_lr")
    if known is None:
        known = data.memory["max_stable_lr"] = data.dim / _radius(SecondMoments(data), tol)
    return known


def stationary_covariance(data: RowMoments, lr: float) -> Matrix:
    r"""Covariance at which SGD settles, below the stability limit: exact for the algorithm, shape (d, d).

    $$ (L - g T) \Sigma = g\, E[x x' r^2], \quad g = lr/d $$

    with r the residual at the least-squares solution. Conjugate gradients on the symmetric form.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    moments, step = SecondMoments(data), lr / data.dim
    size = moments.rank**2

    def apply(flat: np.ndarray) -> np.ndarray:
        return flat - step * moments.product(flat)

    operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    source = step * data.outer(residual_at_optimum(data).square())
    found, _ = cg(operator, moments.inward(source), rtol=1e-8, maxiter=1000)
    return moments.outward(found)


def bias_at_optimum(data: RowMoments) -> Tensor:
    """Where E g = 0: the solution of K mu = E x eps, zero up to rounding and a ridge, shape (d,)."""
    return torch.linalg.pinv(data.cov, rtol=RANK_CUT, hermitian=True) @ data.noise_mean


def residual_at_optimum(data: RowMoments) -> Tensor:
    """<x, mu> - eps of every row at that solution, shape (n,)."""
    return data.features @ bias_at_optimum(data) - data.residuals


def _radius(moments: SecondMoments, tol: float) -> float:
    """Largest eigenvalue of L^(-1/2) T L^(-1/2)."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    size = moments.rank**2
    if size <= LANCZOS_SIZE:
        return _dense_radius(moments.product, size)
    operator = LinearOperator((size, size), matvec=moments.product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = torch.diag(moments.root.diagonal()).numpy().ravel()  # positive: never orthogonal to the answer
    options = {"which": "LA", "v0": start, "tol": tol, "ncv": LANCZOS_SIZE, "return_eigenvectors": False}
    return float(eigsh(operator, k=1, **options)[0])


def _dense_radius(product: Callable[[np.ndarray], np.ndarray], size: int) -> float:
    """The same for sizes too small for Lanczos."""
    matrix = np.column_stack([product(column) for column in np.eye(size)])
    return float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[-1])
