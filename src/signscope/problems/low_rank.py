"""Independent coordinates with a few common factors: diagonal plus low rank."""

from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.types import Vector
from signscope.problems.arrays import as_float64
from signscope.problems.structured import Structured, check_diagonal

_FEW = 4  # vectors that are multiplied one by one


class DiagonalPlusLowRank(Structured):
    r"""K = diag(a) + F F': x = sqrt(a) z + F u with independent standard normal z and u.

    Args:
        diagonal: a, the coordinates' own variances, shape (d,), none negative; a number for all of them.
        factor: F, the loadings of the common factors, shape (d, r).

    Raises:
        InvalidInput: Shapes that do not fit, numbers that are not finite, a negative entry of a, or a coordinate
            without any variance.

    Notes:
        A product costs O(d r) and no more memory than its result.
    """

    def __init__(self, diagonal: Any, factor: Any) -> None:
        who = "DiagonalPlusLowRank"
        self._factor = as_float64(who, "factor", factor)
        if self._factor.ndim != 2 or not self._factor.numel():
            raise InvalidInput(f"{who}: `factor` must have shape (d, rank), got {tuple(self._factor.shape)}.")
        own = as_float64(who, "diagonal", diagonal)
        if own.ndim == 0:
            own = own.expand(len(self._factor)).clone()
        if own.shape != (len(self._factor),):
            raise InvalidInput(
                f"{who}: `diagonal` must have shape ({len(self._factor)},) to go with `factor`, got {tuple(own.shape)}."
            )
        if not bool((own >= 0).all()):
            first = int((own < 0).int().argmax())
            raise InvalidInput(f"{who}: `diagonal` must be 0 or more, but diagonal[{first}] = {float(own[first]):.6g}.")
        self._own = own
        self._diagonal = check_diagonal(who, own + self._factor.square().sum(1))

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self._own)

    @property
    def num_factors(self) -> int:
        """D normals for the coordinates and r for the common factors."""
        return self.dim + self._factor.shape[1]

    def diagonal(self) -> Vector:
        """``a + sum_r F_ir^2``, shape (d,)."""
        return self._diagonal

    def matvec(self, v: Tensor) -> Tensor:
        """``a v + F (F' v)``."""
        factor, found = self._factor.to(v), v * self._own.to(v)
        if v.ndim == 2 and len(v) <= _FEW and not v.requires_grad:  # no temporary of the size of the result
            for row, result in zip(v, found, strict=True):
                result.addmv_(factor, factor.T @ row)
            return found
        return found.add_((v @ factor) @ factor.T)

    def columns(self, indices: Tensor) -> Tensor:
        """The columns of K with the given indices, shape (len(indices), d)."""
        found = self._factor[indices] @ self._factor.T
        found[torch.arange(len(indices)), indices] += self._own[indices]
        return found

    def colour(self, z: Tensor) -> Tensor:
        """``sqrt(a) z[:d] + F z[d:]``."""
        shared = z[..., self.dim :] @ self._factor.T.to(z)
        return torch.addcmul(shared, z[..., : self.dim], self._own.sqrt().to(z))

    def squared_norm(self, scale: Vector | None = None) -> float:
        """Sum of squares of the entries of diag(scale) K diag(scale), O(d r^2)."""
        own, factor = self._own, self._factor
        if scale is not None:
            own, factor = own * scale.square(), factor * scale[:, None]
        cross = 2 * (own * factor.square().sum(1)).sum()
        return float(own.square().sum() + cross + (factor.T @ factor).square().sum())

    def _rank_bound(self) -> int:
        return min(self.dim, int((self._own > 0).sum()) + self._factor.shape[1])
