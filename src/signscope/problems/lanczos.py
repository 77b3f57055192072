"""The Lanczos recurrence for several start vectors at once, with full reorthogonalisation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BROKEN = 1e-6  # an off-diagonal this small against the largest entry of T ends a lane: its space is invariant

Product = Callable[[Tensor], Tensor]


@dataclass
class Tridiagonal:
    """What a run of the recurrence leaves behind.

    Attributes:
        diagonal: Diagonals of T, shape (lanes, steps).
        beside: Norms of the next vector, shape (lanes, steps); entry j couples j and j + 1, the last one is the
            residual. 0 from where a lane has found an invariant space.
        norms: Norms of the start vectors, shape (lanes,).
        along: Inner products of the basis with the given images, shape (images, lanes, steps).
        basis: The vectors, shape (lanes, steps, d), float32.
    """

    diagonal: Tensor
    beside: Tensor
    norms: Tensor
    along: Tensor
    basis: Tensor

    def ritz(self, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """Eigenvalues (lanes, steps), ascending, and eigenvectors (lanes, steps, steps) of the leading part of T."""
        steps = self.diagonal.shape[1] if steps is None else steps
        matrix = torch.diag_embed(self.diagonal[:, :steps])
        beside = self.beside[:, : steps - 1]
        matrix = matrix + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
        return torch.linalg.eigh(matrix)


def lanczos(
    product: Product,
    starts: Tensor,
    *,
    num_steps: int,
    images: Sequence[Tensor] = (),
    against: Tensor | None = None,
    settled: Callable[[Tridiagonal], bool] | None = None,
    check_every: int = 8,
) -> Tridiagonal:
    """Run the recurrence from every row of ``starts``.

    Args:
        product: The symmetric operator, (lanes, d) to (lanes, d), float64; its result is overwritten.
        starts: Start vectors, shape (lanes, d), float64; a zero row gives a lane of zeros.
        num_steps: Most steps.
        images: Vectors whose inner products with the basis are wanted, each (lanes, d).
        against: Orthonormal rows (m, d) to which every vector is kept orthogonal.
        settled: Asked every ``check_every`` steps whether to stop.
        check_every: See ``settled``.

    Returns:
        A `Tridiagonal` with at most ``num_steps`` steps.

    Notes:
        The basis is kept in float32, the recurrence in float64: orthogonality to about 1e-7 is what T needs to be
        exact to rounding (semi-orthogonality), at half the memory and traffic. lanes * steps * d * 4 bytes.
    """
    lanes, dim = starts.shape
    num_steps = min(num_steps, dim)
    norms = starts.norm(dim=1)
    current = starts / norms.clamp(min=1e-300)[:, None]
    before, last = None, torch.zeros(lanes, dtype=starts.dtype)
    basis = torch.empty(lanes, num_steps, dim, dtype=torch.float32)
    keep = None if against is None or not len(against) else against.float()
    diagonal, beside = torch.zeros(2, lanes, num_steps, dtype=torch.float64)
    found = Tridiagonal(diagonal, beside, norms, _nothing(images, lanes), basis)
    rows: list[Tensor] = []
    for step in range(num_steps):
        basis[:, step] = current
        rows.append(torch.stack([_dots(current, image) for image in images]) if images else norms[:0])
        ahead = product(current)
        found.diagonal[:, step] = _dots(ahead, current)
        ahead.addcmul_(current, found.diagonal[:, step, None], value=-1)
        if before is not None:
            ahead.addcmul_(before, last[:, None], value=-1)
        _orthogonalise(ahead, basis[:, : step + 1], keep)
        last = ahead.norm(dim=1)
        scale = torch.maximum(found.diagonal.abs().amax(1), found.beside.amax(1))
        last = torch.where(last > _BROKEN * scale, last, 0.0)
        found.beside[:, step] = last
        before, current = current, ahead.div_(last.clamp(min=1e-300)[:, None]).mul_((last > 0)[:, None])
        done = not bool((last > 0).any())
        if done or (settled is not None and (step + 1) % check_every == 0 and settled(_cut(found, step + 1, rows))):
            return _cut(found, step + 1, rows)
    return _cut(found, num_steps, rows)


def _nothing(images: Sequence[Tensor], lanes: int) -> Tensor:
    return torch.zeros(len(images), lanes, 0, dtype=torch.float64)


def _cut(found: Tridiagonal, steps: int, rows: list[Tensor]) -> Tridiagonal:
    along = torch.stack(rows, dim=-1) if rows[0].ndim == 2 else found.along
    return Tridiagonal(found.diagonal[:, :steps], found.beside[:, :steps], found.norms, along, found.basis[:, :steps])


def _dots(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of the rows, without a temporary of their size."""
    return torch.stack([torch.dot(a, b) for a, b in zip(left, right, strict=True)])


def _orthogonalise(vectors: Tensor, basis: Tensor, keep: Tensor | None) -> None:
    """Remove from row i of ``vectors`` its parts along ``basis[i]`` and ``keep``, in place."""
    for vector, own in zip(vectors, basis, strict=True):
        single = vector.float()
        removed = own.T @ (own @ single)
        if keep is not None:
            removed += keep.T @ (keep @ single)
        vector.sub_(removed)
