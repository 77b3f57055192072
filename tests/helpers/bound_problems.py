"""Random problems whose constants are known: quadratics, sums of waves, and a quadratic of matrices."""

import numpy as np
import torch

from signscope.bounds import Constants
from signscope.bounds.instances import Instance, Quadratic


def random_quadratic(rng, *, law="gaussian", diagonal=False) -> Quadratic:
    """2 to 5 coordinates, lognormal noise; not separable unless asked for."""
    dim = int(rng.integers(2, 6))
    half = rng.standard_normal((dim, dim)) * np.exp(rng.normal(size=dim) / 2)
    hessian = rng.lognormal(size=dim) if diagonal else half @ half.T / dim
    start, noise = 2 * rng.standard_normal(dim), rng.lognormal(size=dim)
    return Quadratic(hessian, start=start, noise=noise, law=law)


class Waves(Instance):
    """Mean of m components c cos(a.x + b): smooth, not convex, not separable, sampled with replacement."""

    def __init__(self, rng, *, num_components=12):
        dim = int(rng.integers(2, 6))
        self.heights = torch.from_numpy(rng.normal(size=num_components))
        self.ways = torch.from_numpy(rng.normal(size=(num_components, dim)))
        self.phases = torch.from_numpy(rng.uniform(0, 6.28, num_components))
        self.start = torch.from_numpy(rng.normal(size=dim))
        squares, lengths = self.heights**2, self.ways.abs().sum(1)
        gap = float(self.value(self.start[None]) + self.heights.abs().mean())
        curve = self.heights.abs()
        noise = (squares[:, None] * self.ways**2).mean(0).sqrt()
        rough = (squares[:, None] * self.ways**2 * lengths[:, None] ** 2).mean(0).sqrt()
        self.constants = Constants(
            gap,
            float((curve * lengths**2).mean()),
            float(noise.sum()),
            float(rough.sum()),
            dim=dim,
            noise_l2=float(noise.norm()),
            smoothness_l2=float((curve * self.ways.norm(dim=1) ** 2).mean()),
        )

    def value(self, x):
        return (self.heights * torch.cos(x @ self.ways.T + self.phases)).mean(-1)

    def component(self, x, index):
        """Gradient of the components ``index``, (runs, batch), at x (runs, dim): (runs, batch, dim)."""
        angle = torch.einsum("rd,rbd->rb", x, self.ways[index]) + self.phases[index]
        return -(self.heights[index] * torch.sin(angle))[..., None] * self.ways[index]

    def gradient(self, x):
        return self.component(x, torch.arange(len(self.phases)).expand(len(x), -1)).mean(1)

    def draw(self, rng, num_runs, *, batch_size=1):
        return torch.from_numpy(rng.integers(len(self.phases), size=(num_runs, batch_size)))

    def sampled(self, x, sample):
        return self.component(x, sample).mean(1)


class MatrixQuadratic(Instance):
    """tr(W' A W)/2 with noise S Z/sqrt(n), Z standard: L* = tr A, and Sigma = S has E N N' = S^2."""

    def __init__(self, rng, *, law="gaussian"):
        rows, columns = int(rng.integers(2, 4)), int(rng.integers(4, 7))
        half, spread = rng.standard_normal((2, rows, rows))
        self.curvature = torch.from_numpy(half @ half.T / rows)
        self.spread = torch.from_numpy(spread @ spread.T / rows)
        self.start = torch.from_numpy(rng.standard_normal((rows, columns)))
        self.law = law
        gap = float(self.value(self.start[None]))
        self.constants = Constants(gap, float(self.curvature.trace()), float(self.spread.trace()))

    def value(self, x):
        return (x * self.gradient(x)).flatten(1).sum(1) / 2

    def gradient(self, x):
        return self.curvature @ x

    def draw(self, rng, num_runs, *, batch_size=1):
        size = (batch_size, num_runs, *self.start.shape)
        raw = rng.standard_normal(size) if self.law == "gaussian" else 2.0 * rng.integers(2, size=size) - 1
        return self.spread @ torch.from_numpy(raw.mean(0)) / self.start.shape[1] ** 0.5

    def sampled(self, x, sample):
        return self.gradient(x) + sample

    def norm(self, gradient):
        return torch.linalg.matrix_norm(gradient, "nuc")
