"""The second moment V of the adaptive SDEs: its drift, its noise, its floor."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.sdes.setting import FLOOR, Setting


class SecondMoment:
    r"""$dV = \rho_2((\nabla f)^2 + \mathrm{diag}\,\Sigma - V)\,dt$, with or without its own noise.

    The older form leaves out the gradient. Where V is used it is at least a tenth of what the noise alone gives;
    ``floored`` counts how often that mattered, V itself runs on.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.floored: Tensor | int = 0
        self._with_gradient = setting.form != "older"

    def drift(self, second: Tensor, grad: Tensor, variance: Tensor) -> Tensor:
        """Rate of change of V."""
        target = variance + grad.square() if self._with_gradient else variance
        return (target - second).mul_(self.setting.rho2)

    def floor(self, second: Tensor, variance: Tensor, share: float) -> Tensor:
        """V, or its floor; ``share`` is the part i2 of the stationary value that V has reached."""
        if not self.setting.v_noise:
            return second
        least = variance * (FLOOR * share)
        self.floored = self.floored + (second < least).sum()
        return torch.maximum(second, least)

    @equation("signscope", "noise of the second moment, correlated with that of the position")
    def noise(self, kick: Tensor, other: Tensor, grad: Tensor, points: Tensor, time: float) -> Tensor:
        r"""$\sqrt\eta\rho_2\,[2\,\mathrm{diag}(\nabla f)\,\Sigma^{1/2} dW + (2\,\Sigma\circ\Sigma)^{1/2} d\tilde W]$.

        Args:
            kick: Sigma^(1/2) times the normals that also drive the position.
            other: Normals of their own, (num_paths, dim).
            grad: Gradient at ``points``.
            points: Positions.
            time: In lr*steps.
        """
        s = self.setting
        total = (2 * grad * kick).add_(s.gaussian_noise().coloured_squares(other, points, time))
        return total.mul_(math.sqrt(s.lr) * s.rho2)
