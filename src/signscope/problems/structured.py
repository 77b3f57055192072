"""What covariances share that are known by their products: nothing of size d x d is formed beyond a stated size."""

from abc import abstractmethod

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.random import stream
from signscope._core.types import Matrix, Vector
from signscope.problems.covariance import Covariance
from signscope.problems.lanczos import lanczos

MATRIX_REACH = 20_000  # a d x d matrix of float64 takes 3.2 GB here
_NEGATIVE = 1e-7  # against the largest eigenvalue: what is further below 0 is no rounding
_BLOCK = 2**24  # numbers in one block of unit vectors


class Structured(Covariance):
    """A covariance given by its product, its diagonal and a sampler.

    Subclasses write ``dim``, ``num_factors``, ``diagonal``, ``matvec``, ``colour``. Up to dim = 4,000 predictions
    use the matrix itself; beyond it they use Lanczos quadrature, and `extremes`, ``condition_number`` and
    ``rank`` are estimates. ``dense``, ``eigh`` and ``eigvals`` are refused beyond dim = 20,000.
    """

    @abstractmethod
    def matvec(self, v: Tensor) -> Tensor:
        """K v for every vector of ``v``, shape (..., d), in the dtype and on the device of ``v``."""

    def dense(self) -> Matrix:
        """K itself, shape (d, d), by products with the unit vectors.

        Raises:
            Unsupported: dim is beyond 20,000.
        """
        if self.dim > MATRIX_REACH:
            raise Unsupported(
                f"{type(self).__name__}: the matrix of {self.dim} x {self.dim} numbers would take "
                f"{8e-9 * self.dim**2:.3g} GB, so neither it nor its eigenvalues are formed beyond dim = "
                f"{MATRIX_REACH}. Use `matvec`, `diagonal`, `columns` or `extremes`; predictions need no matrix."
            )
        width = max(1, _BLOCK // self.dim)
        blocks = [self.columns(torch.arange(at, min(at + width, self.dim))) for at in range(0, self.dim, width)]
        matrix = torch.cat(blocks)
        return (matrix + matrix.T) / 2

    def _check_positive(self) -> None:
        """Raise `InvalidInput` if a direction of negative variance shows up: a Ritz value is the variance of one."""
        start = torch.from_numpy(stream(0, "extremes").standard_normal((1, self.dim)))
        found = lanczos(self.matvec, start, num_steps=30)
        steps = int((found.beside[0] > 0).sum()) + 1
        values = found.ritz(min(steps, found.diagonal.shape[1]))[0][0]
        low, high = float(values[0]), float(values[-1])
        if not low >= -_NEGATIVE * abs(high):
            raise InvalidInput(
                f"{type(self).__name__}: the matrix must be positive semi-definite, but there is a direction of "
                f"variance {low:.6g} (the largest seen is {high:.6g}). No data have such a covariance."
            )


def memory_text(numbers: float) -> str:
    """How much ``numbers`` float64 numbers take."""
    return f"{8e-9 * numbers:.3g} GB"


def check_diagonal(who: str, diagonal: Vector) -> Vector:
    """``diagonal`` if every variance is above 0, or `InvalidInput`."""
    bad = (~(diagonal > 0)).nonzero().flatten()
    if len(bad):
        first = int(bad[0])
        raise InvalidInput(
            f"{who}: every variance must be above 0, but {len(bad)} of {len(diagonal)} are not (the first is "
            f"K[{first}, {first}] = {float(diagonal[first]):.6g}). Drop coordinates that never vary."
        )
    return diagonal
