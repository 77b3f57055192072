"""The SDE of SGD."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.equation import Spread
from signscope.sdes.setting import Setting, along_flow


@equation("compagnoni2024", "SDE of SGD")
class SgdEquation:
    r"""$dX = -u(\nabla f + \theta X)\,dt - u\sqrt\eta\, \Sigma^{1/2} dW$.

    Order 2 subtracts (eta/2)(grad b) b from the drift b: f becomes f + (eta/4)|grad f|^2.
    """

    is_diagonal: bool

    def __init__(self, setting: Setting) -> None:
        self.setting, self.num_noises = setting, setting.loss.dim
        self.is_diagonal = setting.noise.is_diagonal

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """Drift and diffusion at positions (num_paths, dim)."""
        s, u = self.setting, self.setting.u(time)
        size = -math.sqrt(s.lr) * u
        return u * self._drift(state), lambda normals: s.noise.coloured(normals, state, time) * size

    def _drift(self, points: Tensor) -> Tensor:
        s = self.setting
        if s.order == 1:
            return s.decayed(-s.loss.grad(points), points)
        value, turned = along_flow(lambda x: -s.loss.grad(x) - s.weight_decay * x, points)
        return torch.add(value, turned, alpha=-0.5 * s.lr)
