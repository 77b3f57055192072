"""The covariance of a data matrix that is too wide for X'X to be formed."""

from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.types import Vector
from signscope.problems.arrays import as_float64
from signscope.problems.structured import Structured, check_diagonal

_GRAM = 2_000  # rows up to which the sum of squares of K is found by the n x n products


class DataMatrix(Structured):
    """K = X'X / n, plus a ridge if asked for; X itself is kept, K is not formed.

    Args:
        X: Rows by columns, shape (n, d), centred by the caller if that is wanted. A float32 tensor or array is
            used as it is; anything else becomes float64.
        ridge: Added to every variance, 0 or more.

    Raises:
        InvalidInput: Not a matrix, entries that are not finite, a negative ridge, or a column that is 0 throughout.

    Notes:
        A product costs O(n d). With n < d the matrix is singular unless ``ridge`` is above 0.
    """

    def __init__(self, X: Any, *, ridge: float = 0.0) -> None:
        who = "DataMatrix"
        single = str(getattr(X, "dtype", "")).endswith("float32")
        values = torch.as_tensor(X).detach() if single else as_float64(who, "X", X)
        if values.ndim != 2 or not values.numel():
            raise InvalidInput(f"{who}: `X` must have shape (n, d), got {tuple(values.shape)}.")
        if not ridge >= 0:
            raise InvalidInput(f"{who}: `ridge` must be 0 or more, got {ridge}.")
        squares = torch.linalg.vector_norm(values, dim=0, dtype=torch.float64).square()
        if not bool(torch.isfinite(squares).all()):
            raise InvalidInput(
                f"{who}: `X` must be finite, but {int((~torch.isfinite(squares)).sum())} columns are not."
            )
        self._rows, self._ridge = values, float(ridge)
        self._diagonal = check_diagonal(who, squares / len(values) + self._ridge)

    @property
    def dim(self) -> int:
        """Number of columns d."""
        return self._rows.shape[1]

    @property
    def num_factors(self) -> int:
        """One standard normal per row of X, and one per column where there is a ridge."""
        return len(self._rows) + (self.dim if self._ridge else 0)

    def diagonal(self) -> Vector:
        """Mean squares of the columns plus the ridge, shape (d,)."""
        return self._diagonal

    def matvec(self, v: Tensor) -> Tensor:
        """``X' (X v) / n + ridge v``, in the precision of X at best."""
        rows = self._rows.to(v.device)
        inner = (v.to(rows.dtype) @ rows.T) / len(rows)
        return (inner @ rows).to(v.dtype) + self._ridge * v

    def colour(self, z: Tensor) -> Tensor:
        """``z X / sqrt(n)``: rows with covariance K, whatever the law of the data."""
        rows = self._rows.to(z.device)
        found = (z[..., : len(rows)].to(rows.dtype) @ rows / len(rows) ** 0.5).to(z.dtype)
        return found + self._ridge**0.5 * z[..., len(rows) :] if self._ridge else found

    def squared_norm(self, scale: Vector | None = None) -> float | None:
        """Sum of squares of the entries of diag(scale) K diag(scale), O(n^2 d); None for more than 2,000 rows."""
        if len(self._rows) > _GRAM:
            return None
        weight = torch.ones(self.dim, dtype=torch.float64) if scale is None else scale.square()
        gram = (self._rows.double() * weight) @ self._rows.double().T / len(self._rows)
        own = self._diagonal - self._ridge
        return float(gram.square().sum() + (weight**2 * (2 * self._ridge * own + self._ridge**2)).sum())

    def _rank_bound(self) -> int:
        return self.dim if self._ridge else min(self._rows.shape)
