"""A separable problem carried over to matrices, where Muon does step by step what signSGD does."""

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.bounds.instances.base import Instance


@equation("tao2026", "diagonal embedding for Muon")
class Embedded(Instance):
    r"""$F(W) = \sum_i f_i((QWP^\top)_{ii})$ for a separable $f = \sum_i f_i$, Q orthogonal and $P = [I\;0]$.

    $$ \nabla F = Q^\top\operatorname{diag}(g)P, \quad \operatorname{msign}(\nabla F) = Q^\top\operatorname{diag}(
       \operatorname{sign} g)P, \quad \lVert\nabla F\rVert_* = \lVert g\rVert_1, \quad
       \Sigma = Q^\top\operatorname{diag}(\sigma)Q $$

    F has $L_* = L$, $\Delta$ and $\lVert\Sigma\rVert_* = \sigma_1$ of f, so lower bounds carry over.

    Args:
        inner: A separable instance with d coordinates; made by `Groove`, or a `Quadratic` with a diagonal.
        columns: Columns n of the matrices, at least d.
        seed: Of Q.

    Raises:
        InvalidInput: The instance is not separable, or there are too few columns.
    """

    def __init__(self, inner: Instance, *, columns: int, seed: int = 0) -> None:
        self.inner, self.constants, self.stated = inner, inner.constants, inner.stated
        dim = inner.start.numel()
        self.columns = checks.integer("Embedded", "columns", columns, minimum=dim)
        if inner.constants.noise_curvature is None:
            raise InvalidInput("Embedded: `inner` must be separable; give a Groove or a Quadratic with a diagonal.")
        normal = torch.from_numpy(stream(seed, "embedding").standard_normal((dim, dim)))
        self.rotation = torch.linalg.qr(normal)[0]
        self.start = self.embed(inner.start[None])[0]

    def embed(self, diagonal: Tensor) -> Tensor:
        """Q' diag(v) P, (runs, d, columns), of vectors (runs, d)."""
        padding = torch.zeros(*diagonal.shape, self.columns - diagonal.size(-1), dtype=diagonal.dtype)
        return self.rotation.T @ torch.cat([torch.diag_embed(diagonal), padding], -1)

    def diagonal(self, matrices: Tensor) -> Tensor:
        """Diagonal of Q W P', (runs, d)."""
        return torch.diagonal(self.rotation @ matrices[..., : len(self.rotation)], dim1=-2, dim2=-1)

    def value(self, x: Tensor) -> Tensor:
        """Values, (runs,)."""
        return self.inner.value(self.diagonal(x))

    def gradient(self, x: Tensor) -> Tensor:
        """Matrices (runs, d, columns)."""
        return self.embed(self.inner.gradient(self.diagonal(x)))

    def draw(self, rng: np.random.Generator, num_runs: int, *, batch_size: int = 1) -> Tensor:
        """A mini-batch of the inner problem."""
        return self.inner.draw(rng, num_runs, batch_size=batch_size)

    def sampled(self, x: Tensor, sample: Tensor) -> Tensor:
        """The inner stochastic gradient, embedded."""
        return self.embed(self.inner.sampled(self.diagonal(x), sample))

    def norm(self, gradient: Tensor) -> Tensor:
        """Nuclear norm, (runs,)."""
        return torch.linalg.matrix_norm(gradient, "nuc")
