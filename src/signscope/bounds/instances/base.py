"""What a runnable problem offers: value, gradient, stochastic gradients of stored samples, and its constants."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from signscope.bounds.constants import Constants


class Instance(ABC):
    r"""A function with a stochastic gradient, whose $\Delta$, L and $\sigma$ are known.

    Points have shape (runs, \*shape), where ``shape`` is that of ``start``. One drawn sample can be evaluated at
    several points, as variance reduction asks.

    Attributes:
        start: First point $x_0$, float64.
        constants: Of this function from this point.
        stated: Norm of the gradient that theory states for the run it was built for; NaN where none is stated.
    """

    start: Tensor
    constants: Constants
    stated: float = float("nan")

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Values at every point, (runs,)."""

    @abstractmethod
    def gradient(self, x: Tensor) -> Tensor:
        """Exact gradient, in the shape of ``x``."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, num_runs: int, *, batch_size: int = 1) -> Tensor:
        """One mini-batch for every run, to be passed to `sampled`."""

    @abstractmethod
    def sampled(self, x: Tensor, sample: Tensor) -> Tensor:
        """Mean stochastic gradient of the mini-batch ``sample`` at ``x``, in the shape of ``x``."""

    def norm(self, gradient: Tensor) -> Tensor:
        """l1 norm of gradients, (runs,)."""
        return gradient.abs().flatten(1).sum(1)
