"""The SDE of Adam(W) in its four forms."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.equation import Spread
from signscope.sdes.second_moment import SecondMoment
from signscope.sdes.setting import Setting, second_order_drift


@equation("compagnoni2024", "SDE of Adam(W)")
class AdamEquation:
    r"""State (X, M, V), shape (3, num_paths, dim), with P = i1 ((V / i2)^(1/2) + eps), i_j = 1 - beta_j^(t / eta).

    $$ dX = -u P^{-1} A\,dt - u\theta X\,dt, \quad
       dM = \rho_1(\nabla f - M)\,dt + \sqrt\eta\rho_1\Sigma^{1/2}dW, \quad
       dV = \rho_2((\nabla f)^2 + \mathrm{diag}\,\Sigma - V)\,dt $$

    Forms, c = 1 - beta1:

    - ``"recommended"``: A = M, and V fluctuates with the same W. The most accurate where noise plays no part, too.
    - ``"published"``: A = M + c (grad f - M). Its stationary variance is beta1^2 times what it should be (0.81 at 0.9):
      the look-ahead is in the drift, its noise is not.
    - ``"augmented"``: that noise added, -c sqrt(eta) P^{-1} Sigma^(1/2) dW in dX.
    - ``"older"``: A = M and no gradient in V; wrong in the transient.

    With bias correction the coefficients are 0/0 at t = 0. The first step is the optimizer's own with V = (1 - beta2)
    E g^2, not random: 1/|g| has no mean, and the SDE would forget a random V only at rate rho2.
    """

    is_diagonal = False

    def __init__(self, setting: Setting) -> None:
        self.setting, self.second = setting, SecondMoment(setting)
        self.num_noises = setting.loss.dim * (2 if setting.v_noise else 1)
        self._ahead = 1 - setting.betas[0] if setting.form in ("published", "augmented") else 0.0

    def begin(self, start: Tensor) -> Tensor:
        """The state before the first step where there is no bias correction, from positions (num_paths, dim)."""
        grad = self.setting.loss.grad(start)
        return torch.stack([start, grad, grad.square() + self.setting.noise.variance(start, 0.0)])

    def first_step(self, start: Tensor, normals: Tensor) -> Tensor:
        """The state after the first step of the bias-corrected optimizer, at time lr."""
        s = self.setting
        grad = s.loss.grad(start)
        square = grad.square() + s.noise.variance(start, 0.0)
        sample = grad + s.noise.coloured(normals, start, 0.0)
        moved = start - s.lr * s.u(0.0) * (sample / (square.sqrt() + s.eps) + s.weight_decay * start)
        return torch.stack([moved, (1 - s.betas[0]) * sample, (1 - s.betas[1]) * square])

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """Drift and diffusion of (X, M, V)."""
        s, u = self.setting, self.setting.u(time)
        x, m, v = state[0], state[1], state[2]
        first, share = (1 - beta ** (time / s.lr) for beta in s.betas) if s.bias_correction else (1.0, 1.0)
        grad, variance = s.loss.grad(x), s.noise.variance(x, time)
        root = self.second.floor(v, variance, share).sqrt()
        precision = 1 / (root.mul_(first / math.sqrt(share)).add_(s.eps * first))
        if s.order == 1:
            pull = grad - m
            average = m + self._ahead * pull if self._ahead else m
            parts = [s.decayed(-precision * average, x).mul_(u), pull.mul_(s.rho1)]
            drift = torch.stack([*parts, self.second.drift(v, grad, variance)])
        else:
            drift = self._corrected(state, grad, variance, time)

        def spread(normals: Tensor) -> Tensor:
            kick = s.noise.coloured(normals[:, : s.loss.dim], x, time)
            result = torch.zeros_like(state)
            torch.mul(kick, math.sqrt(s.lr) * s.rho1, out=result[1])
            if s.form == "augmented":
                torch.mul(precision * kick, -self._ahead * math.sqrt(s.lr) * u, out=result[0])
            if s.v_noise:
                result[2] = self.second.noise(kick, normals[:, s.loss.dim :], grad, x, time)
            return result

        return drift, spread

    @equation("signscope", "second-order drift of Adam")
    def _corrected(self, state: Tensor, grad: Tensor, variance: Tensor, time: float) -> Tensor:
        """``b + lr (G - (grad b) b / 2)``, G what the new averages add to the step."""
        s = self.setting

        def drift(y: Tensor, when: float) -> Tensor:
            gradient, spread = s.loss.grad(y[0]), s.noise.variance(y[0], when)
            root = self.second.floor(y[2], spread, 1.0).sqrt() + s.eps
            moves = (-y[1] / root - s.weight_decay * y[0]) * s.u(when)
            return torch.stack([moves, s.rho1 * (gradient - y[1]), s.rho2 * (gradient.square() + spread - y[2])])

        corrected = second_order_drift(s, drift, state, time)
        root = self.second.floor(state[2], variance, 1.0).sqrt()
        change = s.rho2 * (grad.square() + variance - state[2])
        extra = state[1] * change / (2 * root * (root + s.eps).square()) - s.rho1 * (grad - state[1]) / (root + s.eps)
        corrected[0] += s.lr * s.u(time) * extra
        return corrected
