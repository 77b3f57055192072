"""The SDE of SGD."""

import math

from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.equation import Spread
from signscope.sdes.setting import Setting, second_order_drift


@equation("compagnoni2024", "SDE of SGD")
class SgdEquation:
    r"""$dX = -u(\nabla f + \theta X)\,dt - u\sqrt\eta\, \Sigma^{1/2} dW$.

    Order 2 subtracts (eta/2)(grad b) b from the drift b: f becomes f + (eta/4)|grad f|^2. Under a
    schedule see `second_order_drift`.
    """

    is_diagonal: bool

    def __init__(self, setting: Setting) -> None:
        self.setting, self.num_noises = setting, setting.loss.dim
        self.is_diagonal = setting.noise.is_diagonal

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """Drift and diffusion at positions (num_paths, dim)."""
        s, u = self.setting, self.setting.u(time)
        size = -math.sqrt(s.lr) * u
        drift = u * self._drift(state) if s.order == 1 else second_order_drift(s, self._scheduled, state, time)
        return drift, lambda normals: s.noise.coloured(normals, state, time) * size

    def _drift(self, points: Tensor) -> Tensor:
        return self.setting.decayed(-self.setting.loss.grad(points), points)

    def _scheduled(self, points: Tensor, time: float) -> Tensor:
        s = self.setting
        return (-s.loss.grad(points) - s.weight_decay * points) * s.u(time)
