"""A covariance of the user's own: any product, its diagonal, and a sampler where simulations are wanted."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.random import stream
from signscope._core.types import Vector
from signscope.problems.arrays import as_float64
from signscope.problems.structured import Structured, check_diagonal

_TOLERANCE = 1e-6
_SAMPLED = 8  # coordinates whose variance is compared with the product


class _Symmetric(torch.autograd.Function):
    """A symmetric linear map of no differentiable parts: its gradient is the same map."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.product = product
        return product(v)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Symmetric.apply(grads[0], ctx.product), None


class MatrixFree(Structured):
    """K known by what it does to a vector.

    Args:
        matvec: ``matvec(v)`` gives K v for one vector v of shape (d,), a float64 tensor on the CPU; a tensor or an
            array comes back.
        diagonal: Variances of the coordinates, shape (d,), all above 0.
        colour: ``colour(z)`` turns independent standard normal numbers (n, num_factors) into n rows (n, d) with
            covariance K; needed by `simulate` alone.
        num_factors: Normals per row that ``colour`` wants; d by default.

    Raises:
        InvalidInput: A variance is not positive, or a product has the wrong shape, is not finite, is not symmetric,
            does not have the stated diagonal, or has a direction of negative variance (each seen on random vectors
            of a fixed seed; about 40 products).
    """

    def __init__(
        self,
        matvec: Callable[[Tensor], Any],
        diagonal: Any,
        *,
        colour: Callable[[Tensor], Any] | None = None,
        num_factors: int | None = None,
    ) -> None:
        who = "MatrixFree"
        self._diagonal = as_float64(who, "diagonal", diagonal)
        if self._diagonal.ndim != 1 or not len(self._diagonal):
            raise InvalidInput(f"{who}: `diagonal` must be a vector (d,), got shape {tuple(self._diagonal.shape)}.")
        check_diagonal(who, self._diagonal)
        self._product, self._colour = matvec, colour
        self._num_factors = self.dim
        if num_factors is not None:
            self._num_factors = checks.integer(who, "num_factors", num_factors, minimum=1)
        self._check_product()
        self._check_positive()

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self._diagonal)

    @property
    def num_factors(self) -> int:
        """Normals per row, as given."""
        return self._num_factors

    def diagonal(self) -> Vector:
        """The variances, shape (d,)."""
        return self._diagonal

    def matvec(self, v: Tensor) -> Tensor:
        """K v, one vector of ``v`` at a time; gradients flow through it, whatever the function is made of."""
        return _Symmetric.apply(v, self._each)  # pyright: ignore[reportReturnType]

    def colour(self, z: Tensor) -> Tensor:
        """Rows by the given function.

        Raises:
            Unsupported: No function was given.
            InvalidInput: What it returns has the wrong shape.
        """
        if self._colour is None:
            raise Unsupported(
                "MatrixFree: rows cannot be drawn without `colour=`, a function from standard normal numbers to rows. "
                "Predictions work without it."
            )
        rows = torch.as_tensor(self._colour(z.reshape(-1, self.num_factors)))
        wanted = (z.numel() // self.num_factors, self.dim)
        if tuple(rows.shape) != wanted:
            raise InvalidInput(f"MatrixFree: `colour` must return rows of shape {wanted}, got {tuple(rows.shape)}.")
        return rows.reshape(*z.shape[:-1], self.dim).to(z)

    def _each(self, v: Tensor) -> Tensor:
        flat = v.detach().reshape(-1, self.dim).to(device="cpu", dtype=torch.float64)
        return torch.stack([self._one(row) for row in flat]).reshape(v.shape).to(v)

    def _one(self, v: Tensor) -> Tensor:
        found = torch.as_tensor(self._product(v))
        if tuple(found.shape) != (self.dim,):
            raise InvalidInput(
                f"MatrixFree: `matvec` must return a vector of shape ({self.dim},), got {tuple(found.shape)}."
            )
        return found.detach().to(device="cpu", dtype=torch.float64)

    def _check_product(self) -> None:
        rng = stream(0, "matvec check")
        first, second = (torch.from_numpy(rng.standard_normal(self.dim)) for _ in range(2))
        given = first.clone()
        left, right = self._one(first), self._one(second)
        if not bool(torch.isfinite(left).all() and torch.isfinite(right).all()):
            raise InvalidInput("MatrixFree: `matvec` returned numbers that are not finite.")
        if not torch.equal(given, first):
            raise InvalidInput("MatrixFree: `matvec` changes its argument; let it work on a copy.")
        size = float(left.norm() * second.norm() + 1e-300)
        skew = float((left @ second - first @ right).abs()) / size
        if not skew <= _TOLERANCE:
            raise InvalidInput(
                f"MatrixFree: `matvec` is not symmetric: u'Kv and v'Ku differ by {skew:.2g} of |Ku||v| on random "
                "vectors. A covariance equals its transpose."
            )
        for i in rng.integers(self.dim, size=min(_SAMPLED, self.dim)):
            unit = torch.zeros(self.dim, dtype=torch.float64)
            unit[int(i)] = 1.0
            seen, stated = float(self._one(unit)[int(i)]), float(self._diagonal[int(i)])
            if not abs(seen - stated) <= _TOLERANCE * abs(stated) + 1e-300:
                raise InvalidInput(
                    f"MatrixFree: `diagonal`[{int(i)}] is {stated:.9g}, but the product gives {seen:.9g} there."
                )
