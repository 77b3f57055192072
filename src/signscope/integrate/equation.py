"""`Equation`: what the integrators ask of a stochastic differential equation."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

Spread = Callable[[Tensor], Tensor]
"""From standard normals (num_paths, num_noises) to the diffusion applied to them, in the shape of the state."""


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
