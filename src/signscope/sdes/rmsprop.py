"""The SDE of RMSprop(W)."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.equation import Spread
from signscope.sdes.second_moment import SecondMoment
from signscope.sdes.setting import Setting, second_order_drift


@equation("compagnoni2024", "SDE of RMSprop(W)")
class RmspropEquation:
    r"""State (X, V), shape (2, num_paths, dim), with P = diag(V)^(1/2) + eps.

    $$ dX = -u P^{-1}(\nabla f\,dt + \sqrt\eta\,\Sigma^{1/2}dW) - u\theta X\,dt, \qquad
       dV = \rho((\nabla f)^2 + \mathrm{diag}\,\Sigma - V)\,dt $$

    Forms: ``"published"`` is this; ``"recommended"`` lets V fluctuate with the same W, without which Var(X) is up to
    80% too large wherever the gradient is not small against the noise, however small the rate; ``"older"`` leaves
    the gradient out of V and holds only where noise dominates. The start is V = (grad f)^2 + diag Sigma: V = 0 makes
    a first step of eta / sqrt(1 - beta2), outside what an SDE can follow.
    """

    is_diagonal = False  # W moves X and V together

    def __init__(self, setting: Setting) -> None:
        self.setting, self.second = setting, SecondMoment(setting)
        self.num_noises = setting.loss.dim * (2 if setting.v_noise else 1)

    def begin(self, start: Tensor) -> Tensor:
        """The state before the first step, from positions (num_paths, dim)."""
        s = self.setting
        return torch.stack([start, s.loss.grad(start).square() + s.noise.variance(start, 0.0)])

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """Drift and diffusion of (X, V)."""
        s, u = self.setting, self.setting.u(time)
        x, v = state[0], state[1]
        grad, variance = s.loss.grad(x), s.noise.variance(x, time)
        precision = 1 / self.second.floor(v, variance, 1.0).sqrt().add_(s.eps)
        if s.order == 1:
            drift = torch.stack([s.decayed(-precision * grad, x).mul_(u), self.second.drift(v, grad, variance)])
        else:
            drift = self._corrected(state, grad, variance, time)

        def spread(normals: Tensor) -> Tensor:
            kick = s.noise.coloured(normals[:, : s.loss.dim], x, time)
            moved = (precision * kick).mul_(-math.sqrt(s.lr) * u)
            if not s.v_noise:
                return torch.stack([moved, torch.zeros_like(moved)])
            return torch.stack([moved, self.second.noise(kick, normals[:, s.loss.dim :], grad, x, time)])

        return drift, spread

    @equation("signscope", "second-order drift of RMSprop")
    def _corrected(self, state: Tensor, grad: Tensor, variance: Tensor, time: float) -> Tensor:
        """``b + lr (G - (grad b) b / 2)``, G the part of the step that the new V takes from its own gradient."""
        s, rho = self.setting, self.setting.rho2

        def drift(y: Tensor, when: float) -> Tensor:
            gradient, spread = s.loss.grad(y[0]), s.noise.variance(y[0], when)
            root = self.second.floor(y[1], spread, 1.0).sqrt() + s.eps
            moves = (-gradient / root - s.weight_decay * y[0]) * s.u(when)
            return torch.stack([moves, rho * (gradient.square() + spread - y[1])])

        corrected = second_order_drift(s, drift, state, time)
        root = self.second.floor(state[1], variance, 1.0).sqrt()
        extra = rho * grad * (grad.square() + 3 * variance - state[1]) / (2 * root * (root + s.eps).square())
        corrected[0] += s.lr * s.u(time) * extra
        return corrected
