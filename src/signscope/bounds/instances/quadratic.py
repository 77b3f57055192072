"""Quadratics with additive noise, whose constants are exact."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants
from signscope.bounds.geometry import lipschitz_constant
from signscope.bounds.instances.base import Instance

Law = Literal["gaussian", "laplace", "two-point", "skewed"]
_DRAWS = {
    "gaussian": lambda rng, size: rng.standard_normal(size),
    "laplace": lambda rng, size: rng.laplace(scale=math.sqrt(0.5), size=size),
    "two-point": lambda rng, size: 2.0 * rng.integers(2, size=size) - 1,
    "skewed": lambda rng, size: 1 - rng.standard_exponential(size),
}


class Quadratic(Instance):
    r"""$f(x) = \frac12 x^\top Hx$ with a positive semidefinite H and stochastic gradients $Hx + \sigma\odot\xi$.

    Args:
        hessian: H as a matrix (d, d) with d at most 20, or its diagonal (d,) of any length.
        start: First point (d,).
        noise: $\sigma_i$ of every coordinate, or one number for all.
        law: Of $\xi_i$, with mean 0 and variance 1, independent: "gaussian", "laplace", "two-point" ($\pm1$), or
            "skewed" (one minus an exponential, whose median is $1 - \ln 2$).

    Attributes:
        constants: Exact; L by enumeration for a matrix, and M the sum of $\lVert H_i\rVert_1$.

    Raises:
        InvalidInput: H has a negative eigenvalue, so that f has no infimum.
    """

    def __init__(
        self,
        hessian: Sequence[float] | np.ndarray | Tensor,
        *,
        start: Sequence[float] | np.ndarray | Tensor,
        noise: Sequence[float] | np.ndarray | Tensor | float = 0.0,
        law: Law = "gaussian",
    ) -> None:
        self.law = checks.one_of("Quadratic", "law", law, _DRAWS)
        self.hessian = torch.as_tensor(hessian, dtype=torch.float64)
        self.start = torch.as_tensor(start, dtype=torch.float64)
        self.noise = torch.as_tensor(noise, dtype=torch.float64).expand_as(self.start)
        gap, noises = float(self.value(self.start[None])), self.noise.tolist()
        if self.hessian.ndim == 1:
            if bool((self.hessian < 0).any()):
                raise InvalidInput("Quadratic: `hessian` must be positive semidefinite, got a negative diagonal entry.")
            self.constants = Constants.separable(gap, self.hessian.tolist(), noise=noises)
            return
        largest = torch.linalg.eigvalsh(self.hessian)
        if not largest[0] >= -1e-12 * largest[-1]:
            raise InvalidInput(
                f"Quadratic: `hessian` must be positive semidefinite, got the eigenvalue {float(largest[0]):.3g}."
            )
        self.constants = Constants(
            gap,
            lipschitz_constant(self.hessian.numpy()),
            math.fsum(noises),
            float(self.hessian.abs().sum()),
            dim=len(noises),
            noise_l2=math.hypot(*noises),
            smoothness_l2=float(largest[-1]),
        )

    def value(self, x: Tensor) -> Tensor:
        """Values, (runs,)."""
        return (x * self.gradient(x)).sum(-1) / 2

    def gradient(self, x: Tensor) -> Tensor:
        """Hx, (runs, dim)."""
        return self.hessian * x if self.hessian.ndim == 1 else x @ self.hessian

    def draw(self, rng: np.random.Generator, num_runs: int, *, batch_size: int = 1) -> Tensor:
        """Mean noise of the batch, (runs, dim); quiet coordinates draw nothing."""
        loud = self.noise != 0
        mean = np.zeros((num_runs, len(self.noise)))
        raw = _DRAWS[self.law](rng, (batch_size, num_runs, int(loud.sum())))
        mean[:, loud.numpy()] = raw.mean(0)
        return torch.from_numpy(mean) * self.noise

    def sampled(self, x: Tensor, sample: Tensor) -> Tensor:
        """Gradient plus noise."""
        return self.gradient(x) + sample


def sharp_coordinates(
    dim: int, *, num_sharp: int = 1, noise: float = 0.0, start: float | np.ndarray = 1.15
) -> Quadratic:
    r"""The quadratic on which SGD pays for density: few sharp, noisy coordinates and many flat, quiet ones.

    $$ L_i = \frac1{2k},\; \sigma_i = \frac{\sigma_2}{\sqrt k} \text{ for } i \le k, \qquad
       L_i = \frac1{2(d-k)},\; \sigma_i = 0 \text{ else} $$

    L is 1 and $\phi(\sigma) = k/d$. SGD's step is held down by the sharp coordinates while the flat ones wait, so its
    calls grow like d; signSGD's depend on $\sigma_1^2 = k\sigma_2^2$ alone.

    Args:
        dim: Coordinates d.
        num_sharp: Sharp ones k, below d.
        noise: $\sigma_2$.
        start: First point (d,), or one number for all coordinates.
    """
    dim = checks.integer("sharp_coordinates", "dim", dim, minimum=2)
    few = checks.integer("sharp_coordinates", "num_sharp", num_sharp, minimum=1)
    if not few < dim:
        raise InvalidInput(f"sharp_coordinates: `num_sharp` must be below `dim` = {dim}, got {few}.")
    sharp = np.arange(dim) < few
    return Quadratic(
        np.where(sharp, 0.5 / few, 0.5 / (dim - few)),
        start=np.broadcast_to(np.asarray(start, dtype=float), (dim,)).copy(),
        noise=np.where(sharp, noise / math.sqrt(few), 0.0),
    )
