"""The SDE of signSGD: any noise; correlated Gaussian noise with the exact covariance of the signs."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.equation import DiagonalSpread, Spread
from signscope.problems.oracle_noise import GaussianNoise
from signscope.sdes.moments.signs import sign_covariance_matrix, sign_moments
from signscope.sdes.setting import Setting, second_order_drift


@equation("compagnoni2024", "SDE of signSGD")
class SignSgdEquation:
    r"""$dX = -u\,(E\,\mathrm{sign}\,g + \theta X)\,dt - u\sqrt\eta\,\bar S^{1/2} dW$, Sbar = Cov(sign g).

    Unchanged when gradient and noise are multiplied by the same positive number. Order 2 subtracts (eta/2)(grad b) b
    from the drift b. Correlated noise gives correlated signs, in one of two ways:

    - ``"root"``: Cholesky factor of Sbar, exact to 6e-8 for correlations up to 0.999; O(dim^3) per path.
    - ``"coin"``: increments eps (sign(grad + Z) - E sign) with a fair coin eps = +-1: mean, covariance and third moment
      of the Gaussian ones, O(dim^2) per path, but no Brownian motion.
    """

    is_diagonal: bool

    def __init__(self, setting: Setting, *, correlated: str = "coin") -> None:
        self.setting = setting
        self.is_diagonal = setting.noise.is_diagonal
        self._coin = not self.is_diagonal and correlated == "coin"
        self.num_noises = setting.loss.dim + (1 if self._coin else 0)

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """Drift and diffusion at positions (num_paths, dim)."""
        s, u = self.setting, self.setting.u(time)
        grad = s.loss.grad(state)
        mean, variance = sign_moments(s.noise, grad, state, time)
        size = -math.sqrt(s.lr) * u
        if s.order == 2:
            drift = second_order_drift(s, self._scheduled, state, time)
        else:
            drift = s.decayed(mean.neg_() if self.is_diagonal else -mean, state)
            drift = drift if u == 1 else drift.mul_(u)
        if self.is_diagonal:
            return drift, DiagonalSpread(variance.sqrt_(), size)
        return drift, self._correlated(time, state, grad, mean, size)

    def _scheduled(self, points: Tensor, time: float) -> Tensor:
        s = self.setting
        ratio = s.loss.grad(points) / s.gaussian_noise().std(points, time)
        return (-torch.erf(ratio * math.sqrt(0.5)) - s.weight_decay * points) * s.u(time)

    def _correlated(self, time: float, state: Tensor, grad: Tensor, mean: Tensor, size: float) -> Spread:
        noise = self.setting.noise
        if self._coin:

            def toss(normals: Tensor) -> Tensor:
                coin = torch.where(normals[:, -1:] >= 0, size, -size)
                signs = torch.sign(noise.coloured(normals[:, :-1], state, time).add_(grad))
                return signs.sub_(mean).mul_(coin)

            return toss
        assert isinstance(noise, GaussianNoise)
        std = noise.std(state, time)
        corr = noise.covariance(state, time) / (std[..., :, None] * std[..., None, :])
        factor = pivoted_root(sign_covariance_matrix(grad / std, corr.expand(*grad.shape, grad.shape[-1])))
        return lambda normals: (factor @ normals[..., None])[..., 0] * size


def pivoted_root(cov: Tensor) -> Tensor:
    """A root of positive semi-definite matrices (..., d, d); rounding below zero counts as zero."""
    factor, failed = torch.linalg.cholesky_ex(cov)
    if not bool(failed.any()):
        return factor
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt()[..., None, :]
