"""Features on a grid whose axes vary independently: Kronecker products of small covariances."""

import math
from functools import cached_property, reduce
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.types import Vector
from signscope.problems.covariance import Covariance, as_covariance
from signscope.problems.structured import Structured

_TERMS = 12  # odd powers of the correlations in the series of arcsin
_FACTOR_REACH = 4_000


class Kronecker(Structured):
    """K = K_1 (x) K_2 (x) ...: the coordinate (i, j, ...) in row-major order has covariances K_1[i, i'] K_2[j, j'] ...

    Args:
        factors: Two or more covariances, each a matrix, a vector of variances or a `Covariance` of at most 4,000
            coordinates.

    Raises:
        InvalidInput: Fewer than two factors, or one that is not a covariance or is too large.

    Notes:
        A product costs O(d (d_1 + d_2 + ...)). Eigenvalues are the products of the factors'.
    """

    def __init__(self, *factors: Any) -> None:
        if len(factors) < 2:
            raise InvalidInput(f"Kronecker: needs two or more factors, got {len(factors)}.")
        self._factors: list[Covariance] = [as_covariance(f) for f in factors]
        self._sizes = [f.dim for f in self._factors]
        if max(self._sizes) > _FACTOR_REACH:
            raise InvalidInput(
                f"Kronecker: every factor must have at most {_FACTOR_REACH} coordinates, got {max(self._sizes)}."
            )
        self._diagonal = _outer([f.diagonal() for f in self._factors])

    @property
    def dim(self) -> int:
        """Product of the factors' dimensions."""
        return math.prod(self._sizes)

    @property
    def num_factors(self) -> int:
        """Product of the factors' numbers of standard normals."""
        return math.prod(f.num_factors for f in self._factors)

    def diagonal(self) -> Vector:
        """Products of the factors' variances, shape (d,)."""
        return self._diagonal

    def matvec(self, v: Tensor) -> Tensor:
        """Every factor applied along its own axis."""
        return _along_axes([f.matvec for f in self._factors], v, self._sizes)

    def colour(self, z: Tensor) -> Tensor:
        """Every factor's own `Covariance.colour` along its axis."""
        return _along_axes([f.colour for f in self._factors], z, [f.num_factors for f in self._factors])

    @cached_property
    def eigvals(self) -> Vector:
        """All products of the factors' eigenvalues, ascending; exact at any dimension."""
        return _outer([f.eigvals for f in self._factors]).sort().values

    @property
    def extremes(self) -> tuple[float, float]:
        """Products of the factors' smallest and largest eigenvalues."""
        ends = [f.extremes for f in self._factors]
        return math.prod(low for low, _ in ends), math.prod(high for _, high in ends)

    @property
    def rank(self) -> int:
        """Product of the factors' ranks."""
        return math.prod(f.rank for f in self._factors)

    def squared_norm(self, scale: Vector | None = None) -> float | None:
        """Product of the factors' sums of squares; None for a ``scale`` that is no power of the diagonal."""
        if scale is None:
            return math.prod(float(f.dense().square().sum()) for f in self._factors)
        if not torch.allclose(scale, self._diagonal**-0.25, rtol=1e-10, atol=0):
            return None
        roots = [f.diagonal() ** -0.25 for f in self._factors]
        return math.prod(
            float((f.dense() * torch.outer(root, root)).square().sum())
            for f, root in zip(self._factors, roots, strict=True)
        )

    def sign_matvec(self, v: Tensor) -> Tensor:
        """Ksig v by the series of arcsin, whose entrywise powers are Kronecker products again.

        Notes:
            Twelve terms; an off-diagonal correlation c leaves out less than c^25 / (155 (1 - c^2)) (c = 0.5: 3e-10,
            c = 0.9: 2e-3, c = 0.99: 0.06).
        """
        found = torch.zeros_like(v)
        diagonal, coefficient = 0.0, 1.0
        for term in range(_TERMS):
            power = 2 * term + 1
            matrices = [_correlations(f) ** power for f in self._factors]
            found += coefficient * _along_axes([lambda u, m=m: u @ m.to(u) for m in matrices], v, self._sizes)
            diagonal += coefficient
            coefficient *= power**2 / ((power + 1) * (power + 2))
        return found + (math.pi / 2 - diagonal) * v


def _correlations(cov: Covariance) -> Tensor:
    root = cov.diagonal().sqrt()
    return (cov.dense() / torch.outer(root, root)).fill_diagonal_(1.0)


def _outer(vectors: list[Vector]) -> Vector:
    return reduce(lambda left, right: torch.outer(left, right).flatten(), vectors)


def _along_axes(maps: list[Any], v: Tensor, sizes: list[int]) -> Tensor:
    """Apply each map to its axis of ``v`` seen as (..., *sizes), and flatten again."""
    lead = v.shape[:-1]
    grid = v.reshape(*lead, *sizes)
    for axis, apply in enumerate(maps):
        moved = grid.movedim(len(lead) + axis, -1)
        grid = apply(moved).movedim(-1, len(lead) + axis)
    return grid.reshape(*lead, -1)
