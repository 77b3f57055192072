"""`Loss`: a differentiable loss on many points at once, from any torch function of one point."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput

_SWEEPS = 40  # power iterations for the largest curvature


class Loss(ABC):
    """A loss f on R^dim; points come in batches, and row i of every result depends on row i alone."""

    dim: int

    @abstractmethod
    def value(self, points: Tensor) -> Tensor:
        """The loss at ``points`` (n, dim), shape (n,)."""

    @abstractmethod
    def grad(self, points: Tensor) -> Tensor:
        """The gradient of f at ``points`` (n, dim), shape (n, dim)."""

    @property
    def minimum(self) -> float:
        """The smallest value of f; NaN where it is not known."""
        return float("nan")

    def placed(self, dtype: torch.dtype, device: torch.device) -> "Loss":
        """This loss with its own numbers in ``dtype`` on ``device``."""
        return self

    def curvature(self, point: Tensor, scale: Tensor) -> float:
        r"""Largest absolute eigenvalue of $D^{-1} H$ at ``point`` (dim,), D = diag(``scale``), by power iteration."""
        roots = scale.rsqrt()
        start = torch.linspace(1.0, 2.0, self.dim, dtype=point.dtype, device=point.device)
        vector, size = start / start.norm(), 0.0
        pull = torch.func.vjp(self.grad, point[None])[1]  # H is symmetric: its rows will do
        for _ in range(_SWEEPS):
            turned = roots * pull((roots * vector)[None])[0][0]
            size = float(turned.norm())
            if not size > 0:
                return size
            vector = turned / size
        return size


class FunctionLoss(Loss):
    """Any torch function of one point (dim,) that gives a number; its gradient is torch's unless one is given.

    Args:
        function: Written for one point, with torch operations that `torch.func.vmap` can batch: no ``.item()``, no
            branches on values, no random numbers.
        dim: Number of coordinates.
        grad: Gradient in closed form, from (n, dim) to (n, dim); several times quicker where it is known.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        dim: int,
        *,
        grad: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not callable(function):
            raise InvalidInput(f"FunctionLoss: `function` must be callable, got {type(function).__name__}.")
        self.dim = checks.integer("FunctionLoss", "dim", dim, minimum=1)
        self.function = function
        self._value = torch.func.vmap(function)
        self._grad = torch.func.vmap(torch.func.grad(function)) if grad is None else grad

    def value(self, points: Tensor) -> Tensor:
        """The function at every row."""
        return self._value(points)

    def grad(self, points: Tensor) -> Tensor:
        """The gradient at every row."""
        return self._grad(points)


def as_loss(who: str, loss: Any, start: Tensor) -> Loss:
    """The `Loss` behind an argument, tried at ``start`` (dim,).

    Raises:
        InvalidInput: Not callable, not differentiable by torch, random, of the wrong shape, or not finite at the start.
    """
    if not isinstance(loss, Loss):
        if not callable(loss):
            raise InvalidInput(f"{who}: `loss` must be a torch function or a Loss, got {type(loss).__name__}.")
        loss = FunctionLoss(cast("Callable[[Tensor], Tensor]", loss), len(start))
    if loss.dim != len(start):
        raise InvalidInput(f"{who}: `start` has {len(start)} coordinates, the loss has {loss.dim}.")
    points = start.repeat(2, 1)
    value, grad = _tried(who, loss, points)
    again, grad_again = _tried(who, loss, points)
    for name, found, wanted in (("value", value, (2,)), ("gradient", grad, (2, loss.dim))):
        if tuple(found.shape) != wanted:
            raise InvalidInput(f"{who}: the {name} of `loss` at 2 points must have shape {wanted}, got {found.shape}.")
        if not bool(torch.isfinite(found).all()):
            raise InvalidInput(f"{who}: the {name} of `loss` is not finite at the start. Check `start` and the loss.")
    if not (torch.equal(value, again) and torch.equal(grad, grad_again)):
        raise InvalidInput(
            f"{who}: `loss` gives different numbers at the same point. Switch off dropout and sampling: the noise of "
            "the gradient is what `noise` stands for."
        )
    return loss


def _tried(who: str, loss: Loss, points: Tensor) -> tuple[Tensor, Tensor]:
    try:
        with torch.no_grad():
            return loss.value(points), loss.grad(points)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        if "random" in str(error):
            raise InvalidInput(
                f"{who}: `loss` draws random numbers. Switch off dropout and sampling: the noise of the gradient is "
                "what `noise` stands for."
            ) from None
        raise InvalidInput(f"{who}: `loss` cannot be differentiated at the start ({reason}).") from None
