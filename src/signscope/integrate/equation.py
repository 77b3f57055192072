"""`Equation`: what the integrators ask of a stochastic differential equation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Spread = Callable[[Tensor], Tensor]
"""From standard normals (num_paths, num_noises) to the diffusion applied to them, in the shape of the state."""


@dataclass(frozen=True)
class DiagonalSpread:
    """The diffusion ``size * scale``, one Brownian motion per coordinate."""

    scale: Tensor
    size: float

    def __call__(self, normals: Tensor) -> Tensor:
        """Coordinate by coordinate."""
        return (normals * self.scale).mul_(self.size)


def kicked_(state: Tensor, spread: Spread, normals: Tensor, root: float) -> Tensor:
    """``state + root * spread(normals)``, in place; in one pass where the diffusion is diagonal."""
    if isinstance(spread, DiagonalSpread):
        return state.addcmul_(normals, spread.scale, value=spread.size * root)
    return state.add_(spread(normals), alpha=root)


class Equation(Protocol):
    """dY = a(t, Y) dt + B(t, Y) dW for many paths at once.

    Attributes:
        num_noises: Brownian motions per path.
    """

    num_noises: int

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """The drift a, and the function that applies B, at ``state`` (..., num_paths, dim)."""
        ...


Step = Callable[[Equation, float, Tensor, float, Tensor], Tensor]
"""``step(equation, time, state, dt, normals)`` gives the state at ``time + dt``; inputs stay as they are."""
