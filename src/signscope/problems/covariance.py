"""Covariance operators: what the theory and the simulations need to know about K, and nothing else."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope._core.types import Matrix, Vector
from signscope.problems.arrays import as_float64, json_number
from signscope.problems.cost import computed
from signscope.problems.lanczos import lanczos

_SYMMETRY, _SYMMETRY_SINGLE = 1e-8, 1e-5  # largest |K - K'| against max |K|, in float64 and below it
_NEGATIVE = 1e-10  # an eigenvalue this far below 0, against the largest one, is rounding
_BLOCK = 2**23  # numbers in one block of rows
DENSE_REACH = 4_000  # largest dimension at which an eigendecomposition is the default
_EXTREME_STEPS = 32
_MATRIX_ADVICE = "Products alone are far cheaper: leave `method` at its default, or use a structured covariance."


class Covariance(ABC):
    """A symmetric positive semi-definite matrix K with positive diagonal, as an operator.

    Subclasses give the product, the diagonal, the matrix and a sampler; everything else follows. Tensors that
    a covariance hands out are its own: do not change them in place.
    """

    is_diagonal: bool = False

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of coordinates d."""

    @property
    @abstractmethod
    def num_factors(self) -> int:
        """Number k of standard normal numbers that `colour` turns into one row."""

    @abstractmethod
    def diagonal(self) -> Vector:
        """Variances of the coordinates, shape (d,), float64."""

    @abstractmethod
    def dense(self) -> Matrix:
        """K itself, shape (d, d), float64."""

    @abstractmethod
    def matvec(self, v: Tensor) -> Tensor:
        """K v for every vector of ``v``, shape (..., d), in the dtype and on the device of ``v``."""

    @abstractmethod
    def colour(self, z: Tensor) -> Tensor:
        """Rows with covariance K from standard normal ``z``.

        Args:
            z: Independent standard normal numbers, shape (..., k) with k = ``num_factors``.

        Returns:
            Rows of shape (..., d), in the dtype and on the device of ``z``.
        """

    @property
    def shape(self) -> tuple[int, int]:
        """``(d, d)``."""
        return (self.dim, self.dim)

    def eigh(self) -> tuple[Vector, Matrix]:
        """Eigenvalues, ascending, shape (d,), and eigenvectors as columns, shape (d, d); computed once."""
        return self._eigh

    @cached_property
    def eigvals(self) -> Vector:
        """Eigenvalues of K, ascending, shape (d,), at least 0."""
        return self.eigh()[0]

    @property
    def extremes(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue; beyond dim = 4,000 the ends of 32 Lanczos steps, which lie inside."""
        if self._has_eigvals:
            return float(self.eigvals[0]), float(self.eigvals[-1])
        return self._ritz_ends

    @property
    def trace(self) -> float:
        """Sum of the variances, tr K."""
        return float(self.diagonal().sum())

    @property
    def condition_number(self) -> float:
        """Largest over smallest eigenvalue; infinite where K is singular to rounding."""
        low, high = self.extremes
        return high / low if self.rank == self.dim and low > 0 else float("inf")

    @property
    def rank(self) -> int:
        """Number of eigenvalues above d eps times the largest one; beyond dim = 4,000 an upper bound."""
        if not self._has_eigvals:
            return self._rank_bound()
        eps = torch.finfo(torch.float64).eps
        return int((self.eigvals > self.dim * eps * self.eigvals[-1]).sum())

    def quadratic(self, v: Tensor) -> Tensor:
        """The form v'Kv for every vector of ``v``: shape (..., d) gives (...,)."""
        return (v * self.matvec(v)).sum(-1)

    def columns(self, indices: Tensor) -> Tensor:
        """The columns of K with the given indices, shape (len(indices), d), float64."""
        units = torch.zeros(len(indices), self.dim, dtype=torch.float64)
        units[torch.arange(len(indices)), indices] = 1.0
        return self.matvec(units)

    def squared_norm(self, scale: Vector | None = None) -> float | None:
        """Sum of squares of the entries of diag(scale) K diag(scale); None where that costs more than a few products.

        Args:
            scale: Shape (d,); ones by default.
        """
        return None

    def sign_matvec(self, v: Tensor) -> Tensor | None:
        """Ksig v, Ksig = arcsin of the correlations, for every vector of ``v``; None where it is not cheap."""
        return None

    def describe(self) -> dict[str, Any]:
        """Kind, dimension, trace and condition number (None if infinite), ready for JSON."""
        return {
            "kind": type(self).__name__.lower(),
            "dim": self.dim,
            "trace": self.trace,
            "condition_number": json_number(self.condition_number),
        }

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.dense().numpy()
        return array.astype(array.dtype if dtype is None else dtype, copy=copy is not False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim}, trace={self.trace:.6g})"

    @property
    def _has_eigvals(self) -> bool:
        """Whether the eigenvalues are cheap, or known."""
        return self.is_diagonal or self.dim <= DENSE_REACH or "_eigh" in self.__dict__

    def _rank_bound(self) -> int:
        return self.dim

    @cached_property
    def _ritz_ends(self) -> tuple[float, float]:
        start = torch.from_numpy(stream(0, "extremes").standard_normal((1, self.dim)))
        values = lanczos(self.matvec, start, num_steps=_EXTREME_STEPS).ritz()[0][0]
        return max(float(values[0]), 0.0), float(values[-1])

    @cached_property
    def _eigh(self) -> tuple[Tensor, Tensor]:
        eigvals, eigvecs = decomposed(self.dense())
        return eigvals.clamp(min=0), eigvecs


def decomposed(matrix: Matrix) -> tuple[Vector, Matrix]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix; what takes minutes is announced.

    Raises:
        Unsupported: The memory of this machine is too small.
    """
    dim = len(matrix)
    return computed(
        lambda: torch.linalg.eigh(matrix),
        who=f"the eigendecomposition of {dim} x {dim} numbers",
        operations=12.0 * dim**3,
        numbers=4.0 * dim**2,
        advice=_MATRIX_ADVICE,
    )


class Diagonal(Covariance):
    """Independent coordinates: K = diag(variances). Every product costs O(d), also at d = 10^6.

    Args:
        diagonal: Variances, shape (d,), all above 0.

    Raises:
        InvalidInput: A variance is zero, negative or not finite.
    """

    is_diagonal = True

    def __init__(self, diagonal: Any) -> None:
        self._diagonal = as_float64("covariance", "cov", diagonal)
        if self._diagonal.ndim != 1 or not len(self._diagonal):
            raise InvalidInput(
                f"covariance: `cov` needs a vector of variances, got shape {tuple(self._diagonal.shape)}."
            )
        _check_variances(self._diagonal)

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self._diagonal)

    @property
    def num_factors(self) -> int:
        """One standard normal number per coordinate."""
        return self.dim

    def diagonal(self) -> Vector:
        """The variances, shape (d,)."""
        return self._diagonal

    def dense(self) -> Matrix:
        """The full matrix, shape (d, d)."""
        return torch.diag(self._diagonal)

    def matvec(self, v: Tensor) -> Tensor:
        """``diagonal * v``, in the dtype and on the device of ``v``."""
        return v * self._diagonal.to(v)

    def colour(self, z: Tensor) -> Tensor:
        """``sqrt(diagonal) * z``, in the dtype and on the device of ``z``."""
        return z * self._diagonal.sqrt().to(z)

    @cached_property
    def eigvals(self) -> Vector:
        """The sorted variances; no (d, d) matrix is formed."""
        return self._diagonal.sort().values

    @cached_property
    def _eigh(self) -> tuple[Tensor, Tensor]:
        order = self._diagonal.argsort(stable=True)
        eigvecs = torch.eye(self.dim, dtype=torch.float64)[:, order]
        return self._diagonal[order], eigvecs


class Dense(Covariance):
    """A covariance given as a matrix. It may be singular, as long as every coordinate varies.

    Args:
        matrix: K, shape (d, d); symmetric up to rounding (the average with its transpose is used).

    Raises:
        InvalidInput: Not square, not finite, not symmetric (relative tolerance 1e-8, 1e-5 for float32 input),
            a variance that is not positive, or an eigenvalue below 0 by more than rounding.

    Notes:
        Construction costs one Cholesky factorisation and holds four matrices at a time, the given one included; only
        a matrix on which that fails is decomposed. Beyond dim = 4,000 `extremes`, ``condition_number`` and ``rank`` are
        estimates.
        `colour` uses the Cholesky factor, or the symmetric root of a singular K, converted once per dtype.
    """

    def __init__(self, matrix: Any) -> None:
        values = as_float64("covariance", "cov", matrix)
        _check_symmetric(values, tolerance=_symmetry_tolerance(matrix))
        self._matrix = (values + values.T) / 2
        self._diagonal = self._matrix.diagonal().clone()
        _check_variances(self._diagonal)
        self._factor = self._root()
        self._casts: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self._matrix)

    @property
    def num_factors(self) -> int:
        """One standard normal number per coordinate."""
        return self.dim

    def diagonal(self) -> Vector:
        """Variances of the coordinates, shape (d,)."""
        return self._diagonal

    def dense(self) -> Matrix:
        """K itself, shape (d, d)."""
        return self._matrix

    def matvec(self, v: Tensor) -> Tensor:
        """K v, in the dtype and on the device of ``v``, shape (..., d)."""
        return v @ self._like("_matrix", v)

    def colour(self, z: Tensor) -> Tensor:
        """``z L'`` with L L' = K, in the dtype and on the device of ``z``, shape (..., d)."""
        return z @ self._like("_factor", z).T

    def squared_norm(self, scale: Vector | None = None) -> float:
        """Sum of squares of the entries of diag(scale) K diag(scale)."""
        matrix = self._matrix.square()
        return float(matrix.sum() if scale is None else scale.square() @ matrix @ scale.square())

    def sign_matvec(self, v: Tensor) -> Tensor:
        """Ksig v, a block of rows of arcsin at a time; exact."""
        root = self._diagonal.sqrt()
        found = torch.empty_like(v)
        for block in torch.arange(self.dim).split(max(1, _BLOCK // self.dim)):
            angles = (self._matrix[block] / root[block, None] / root).clamp_(-1, 1).arcsin_()
            angles[torch.arange(len(block)), block] = torch.pi / 2
            found[..., block] = v @ angles.T.to(v)
        return found

    def _root(self) -> Tensor:
        factor, failed = computed(
            lambda: torch.linalg.cholesky_ex(self._matrix),
            who=f"the Cholesky factor of {self.dim} x {self.dim} numbers",
            operations=1.0 * self.dim**3,
            numbers=4.0 * self.dim**2,
            advice="A structured covariance needs none.",
        )
        if not int(failed):
            return factor
        eigvals, eigvecs = decomposed(self._matrix)
        if not float(eigvals[0]) >= -_NEGATIVE * float(eigvals[-1]):
            raise InvalidInput(
                f"covariance: `cov` must be positive semi-definite, but its smallest eigenvalue is "
                f"{float(eigvals[0]):.6g} (the largest is {float(eigvals[-1]):.6g}). No data have such a "
                "covariance; add at least that much to the diagonal, or look for a wrong entry."
            )
        eigvals = eigvals.clamp(min=0)
        self._eigh = eigvals, eigvecs  # fills the cache of `eigh`
        return (eigvecs * eigvals.sqrt()) @ eigvecs.T

    def _like(self, name: str, like: Tensor) -> Tensor:
        key = (name, like.dtype, like.device)
        if key not in self._casts:
            self._casts[key] = getattr(self, name).to(like)
        return self._casts[key]


def as_covariance(value: Any) -> Covariance:
    """The covariance behind a ``cov=`` argument.

    Args:
        value: A covariance operator, a vector of variances, or a square matrix (array, tensor or DataFrame).
            A matrix whose off-diagonal entries are all 0 becomes a `Diagonal`.

    Raises:
        InvalidInput: It is none of these, or not a covariance.
    """
    if isinstance(value, Covariance):
        return value
    tensor = as_float64("covariance", "cov", value)
    if tensor.ndim == 1:
        return Diagonal(tensor)
    if tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1]:
        variances = tensor.diagonal()
        if len(variances) and int(tensor.count_nonzero()) == int(variances.count_nonzero()):
            return Diagonal(variances)
    return Dense(value)


def _symmetry_tolerance(matrix: Any) -> float:
    single = str(getattr(matrix, "dtype", "")).endswith(("float32", "float16"))
    return _SYMMETRY_SINGLE if single else _SYMMETRY


def _check_symmetric(values: Tensor, *, tolerance: float) -> None:
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not len(values):
        raise InvalidInput(
            f"covariance: `cov` must be a square matrix (d, d) or a vector of variances (d,), "
            f"got shape {tuple(values.shape)}."
        )
    skew = (values - values.T).abs()
    if not float(skew.max()) <= tolerance * float(values.abs().max()):
        i, j = divmod(int(skew.argmax()), len(values))
        raise InvalidInput(
            f"covariance: `cov` must be symmetric, but cov[{i}, {j}] = {float(values[i, j]):.6g} and "
            f"cov[{j}, {i}] = {float(values[j, i]):.6g}. Symmetrise it with (K + K.T) / 2 if that is what you mean."
        )


def _check_variances(variances: Tensor) -> None:
    if bool((variances > 0).all()):
        return
    bad = (variances <= 0).nonzero().flatten()
    first = int(bad[0])
    raise InvalidInput(
        f"covariance: every variance must be above 0, but {len(bad)} of {len(variances)} are not "
        f"(the first is cov[{first}, {first}] = {float(variances[first]):.6g}). Drop coordinates that never vary."
    )
