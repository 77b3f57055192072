"""Features on a grid whose axes vary independently: Kronecker products of small covariances."""

import math
from functools import cache, cached_property, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.types import Vector
from signscope.problems.covariance import Covariance, as_covariance
from signscope.problems.structured import Structured

_TERMS, _TAIL, _LAST = 12, 12, 1e5  # powers of the series of arcsin taken one by one; nodes for the rest, up to here
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
        """Ksig v by powers of the correlations, see `arcsine_powers`: entrywise they are Kronecker products again.

        Notes:
            24 products. An entry of Ksig is off by at most 4e-5 up to a correlation of 0.9999, by 8e-4 beyond.
        """
        found = torch.zeros_like(v)
        parts = [_correlations(f) for f in self._factors]
        for power, weight in arcsine_powers():
            matrices = [sign * torch.exp(power * log) for sign, log in parts]
            found += weight * _along_axes([lambda u, m=m: u @ m.to(u) for m in matrices], v, self._sizes)
        return found


@cache
def arcsine_powers() -> tuple[tuple[float, float], ...]:
    r"""Powers p and weights w with $\arcsin c \approx \sum w\,\mathrm{sign}(c)|c|^p$, exact at c = 1.

    The series $\sum_m a_m c^{2m+1}$ converges like m^(-3/2) at c = 1. Its first twelve terms are taken as they are, the
    others as an integral over log m, by Gauss-Legendre nodes; the last one takes what is left of pi/2.
    """
    x, share = np.polynomial.legendre.leggauss(_TAIL)
    low, high = math.log(_TERMS - 0.5), math.log(_LAST)
    tail = np.exp(low + 0.5 * (high - low) * (x + 1))
    index = np.concatenate([np.arange(_TERMS), tail])
    logs = [math.lgamma(2 * m + 1) - 2 * math.lgamma(m + 1) - m * math.log(4) for m in index]
    weights = np.exp(logs) / (2 * index + 1)
    weights[_TERMS:] *= 0.5 * (high - low) * share * tail
    weights[-1] += math.pi / 2 - weights.sum()
    return tuple(zip((2 * index + 1).tolist(), weights.tolist(), strict=True))


def _correlations(cov: Covariance) -> tuple[Tensor, Tensor]:
    """Signs and logarithms of the sizes of the correlations."""
    root = cov.diagonal().sqrt()
    corr = (cov.dense() / torch.outer(root, root)).clamp_(-1, 1).fill_diagonal_(1.0)
    return corr.sign(), corr.abs().log()


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
