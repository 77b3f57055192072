"""Matrix signs: the polar factor and its Newton-Schulz approximation."""

import torch
from torch import Tensor

from signscope._core.equations import equation

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients (a, b, c) of the polynomial p(s) = a s + b s^3 + c s^5 that Muon iterates."""


@equation("tao2026", "Muon update (matrix sign)")
def polar_factor(matrix: Tensor, *, tol: float | None = None) -> Tensor:
    r"""Matrix sign U V' from the compact singular value decomposition of ``matrix``.

    $$ \operatorname{msign}(U \Sigma V^\top) = U V^\top, \qquad \Sigma > 0 $$

    Singular values of at most ``tol`` times the largest are dropped, so that msign(0) = 0 and no direction is
    invented for a rank-deficient matrix. On diagonal matrices it is the sign of the diagonal.

    Args:
        matrix: Real matrix, (rows, columns). Unchanged when multiplied by a positive number.
        tol: Relative cut; by default the machine epsilon times the longer side.

    Returns:
        Matrix of the same shape and dtype with singular values 1 or 0. Half precision is computed in float32.
    """
    work = matrix.float() if matrix.dtype in (torch.bfloat16, torch.float16) else matrix
    left, values, right = torch.linalg.svd(work, full_matrices=False)
    cut = torch.finfo(work.dtype).eps * max(work.shape) if tol is None else tol
    kept = (values > cut * values.amax()).to(work.dtype)
    return ((left * kept) @ right).to(matrix.dtype)


@equation("jordan2024", "Newton-Schulz iteration")
def newton_schulz(
    matrix: Tensor,
    *,
    coefficients: tuple[float, float, float] = QUINTIC,
    steps: int = 5,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Approximate matrix sign by ``steps`` rounds of an odd quintic polynomial.

    $$ X_0 = G / \lVert G \rVert_F, \quad A = X X^\top, \quad X \leftarrow a X + (b A + c A^2) X $$

    It does **not** converge to the matrix sign: singular values above 1.6e-3 of the Frobenius norm end in
    [0.68, 1.20] after five rounds, smaller ones stay small. The converging choice is (15/8, -10/8, 3/8).

    Args:
        matrix: Real matrix, (rows, columns).
        coefficients: (a, b, c).
        steps: Rounds; 0 returns the normalised matrix.
        eps: Smallest divisor, so that a zero matrix stays zero.
        dtype: Precision of the iteration; that of ``matrix`` by default.

    Returns:
        Matrix of the same shape in the precision of the iteration.
    """
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    work = matrix.to(dtype) if dtype is not None else matrix
    work = work.T if tall else work
    work = work / work.norm().clamp(min=eps)
    for _ in range(steps):
        gram = work @ work.T
        inner = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        work = torch.addmm(work, inner, work, beta=a)
    return work.T if tall else work


@equation("jordan2024", "Muon update")
def muon(grad: Tensor, buffer: Tensor, *, momentum: float, nesterov: bool) -> tuple[Tensor, Tensor]:
    r"""Matrix to be orthogonalised, and new momentum buffer of Muon.

    $$ B \leftarrow \mu B + (1 - \mu) G, \qquad \tilde B = \mu B + (1 - \mu) G \ \text{(Nesterov)} \ \text{or} \ B $$

    The step is ``theta - lr * msign(result)``. The theory's plain form has momentum 0: the result is the gradient.

    Args:
        grad: Gradient G, (rows, columns).
        buffer: Average B before this step; zeros before the first.
        momentum: Weight mu of the past, in [0, 1].
        nesterov: Look ahead by one more averaging with the gradient.

    Returns:
        The matrix and the new B, in the shape and unit of ``grad``.
    """
    buffer = torch.lerp(buffer, grad, 1 - momentum)
    return (torch.lerp(grad, buffer, momentum) if nesterov else buffer), buffer
