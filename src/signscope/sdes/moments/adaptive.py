"""RMSprop(W) and Adam(W) on a quadratic, and their SDEs, with V replaced by its mean: linear moments, no sampling."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.sdes.moments.lyapunov import stationary_of


@dataclass(frozen=True)
class Averaged:
    """Hyperparameters; ``betas[0]`` = 0 is RMSprop."""

    betas: tuple[float, float]
    weight_decay: float = 0.0
    eps: float = 1e-8
    bias_correction: bool = True


@equation("signscope", "one step of Adam(W) as a linear map for given V")
def step_changes(
    hessian: Tensor, precision: Tensor, setting: Averaged, *, lr: float, correction: float = 1.0
) -> tuple[Tensor, Tensor]:
    """G (2d, 2d) and B (2d, d) of (x, m)' = (x, m) + G (x, m) + B Z.

    Args:
        hessian: H.
        precision: 1 / (sqrt(v / i2) + eps), (d,).
        setting: Averages and decay.
        lr: eta of this step.
        correction: i1 of this step.
    """
    eye = torch.eye(len(precision), dtype=precision.dtype)
    beta = setting.betas[0]
    scaled = torch.diag(precision * (lr / correction))
    top = torch.cat([-lr * setting.weight_decay * eye - (1 - beta) * scaled @ hessian, -beta * scaled], 1)
    matrix = torch.cat([top, torch.cat([(1 - beta) * hessian, -(1 - beta) * eye], 1)])
    return matrix, torch.cat([-(1 - beta) * scaled, (1 - beta) * eye])


def step_matrices(
    hessian: Tensor, precision: Tensor, setting: Averaged, *, lr: float, correction: float = 1.0
) -> tuple[Tensor, Tensor]:
    """A = 1 + G and B of `step_changes`."""
    change, kick = step_changes(hessian, precision, setting, lr=lr, correction=correction)
    return torch.eye(len(change), dtype=change.dtype) + change, kick


@equation("signscope", "moments of Adam(W) on a quadratic with deterministic V")
def adaptive_moments(
    hessian: Tensor,
    cov: Tensor,
    mean: Tensor,
    rates: Iterator[tuple[float, float]],
    setting: Averaged,
    *,
    drag: Tensor | float = 0.0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean (d,) and covariance (d, d) of the position before every step of RMSprop(W) or Adam(W).

    Without bias correction m starts at H x, v at (H x)^2 + diag Sigma. ``rates`` gives (lr, factor on the noise std);
    ``drag`` = theta times the minimum's place is what decay pulls at the minimum.

    Notes:
        V is replaced by its mean: right for the mean loss (0.1% to 2%), too wide for Var(x) in a transient where the
        gradient is not small against the noise. O(d^3) per step.
    """
    hessian, cov, mean = checks.doubles("adaptive_moments", hessian=hessian, cov=cov, mean=mean)
    d, first = len(mean), setting.betas[0]
    z, w = torch.cat([mean, torch.zeros_like(mean)]), torch.zeros(2 * d, 2 * d, dtype=mean.dtype)
    v = torch.zeros_like(mean)
    if not setting.bias_correction:
        z[d:] = hessian @ mean
    for k, (lr, factor) in enumerate(rates):
        yield z[:d].clone(), w[:d, :d]
        noise = cov * factor**2
        if k == 0 and not setting.bias_correction:
            v = z[d:].square() + noise.diagonal()
        square = (hessian @ z[:d]).square() + (hessian @ w[:d, :d] @ hessian).diagonal() + noise.diagonal()
        v = setting.betas[1] * v + (1 - setting.betas[1]) * square
        i1, i2 = (1 - b ** (k + 1) for b in setting.betas) if setting.bias_correction else (1.0, 1.0)
        precision = 1 / ((v / i2).sqrt() + setting.eps)
        matrix, kick = step_matrices(hessian, precision, setting, lr=lr, correction=i1 if first else 1.0)
        z, w = matrix @ z, matrix @ w @ matrix.T + kick @ noise @ kick.T
        z[:d] -= lr * drag


@equation("signscope", "the SDE of Adam(W) as a linear equation for given V")
def sde_matrices(
    hessian: Tensor, precision: Tensor, setting: Averaged, *, lr: float, form: str
) -> tuple[Tensor, Tensor]:
    """A (2d, 2d) and B (2d, d) of d(x, m) = A (x, m) dt + B Sigma^(1/2) dW for one of the forms of Adam."""
    eye = torch.eye(len(precision), dtype=precision.dtype)
    scaled = torch.diag(precision)
    rho, ahead = (1 - setting.betas[0]) / lr, 1 - setting.betas[0]
    drift = ahead if form in ("published", "augmented") else 0.0
    noise = ahead if form == "augmented" else 0.0
    top = torch.cat([-setting.weight_decay * eye - drift * scaled @ hessian, -(1 - drift) * scaled], 1)
    matrix = torch.cat([top, torch.cat([rho * hessian, -rho * eye], 1)])
    return matrix, lr**0.5 * torch.cat([-noise * scaled, rho * eye])


@equation("signscope", "moments of the SDE of Adam(W) on a quadratic with deterministic V")
def sde_moments(
    hessian: Tensor,
    cov: Tensor,
    mean: Tensor,
    setting: Averaged,
    *,
    lr: float,
    form: str,
    num_steps: int,
    substeps: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean and covariance of the position at t = 0, lr, 2 lr, ...: Heun's method with dt = lr / substeps.

    No bias correction; the start is that of `adaptive_moments` without it.
    """
    hessian, cov, mean = checks.doubles("sde_moments", hessian=hessian, cov=cov, mean=mean)
    d, dt, rho = len(mean), lr / substeps, (1 - setting.betas[1]) / lr
    state = (torch.cat([mean, hessian @ mean]), torch.zeros(2 * d, 2 * d, dtype=mean.dtype))
    v = (hessian @ mean).square() + cov.diagonal()

    def slope(z: Tensor, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        matrix, kick = sde_matrices(hessian, 1 / (v.sqrt() + setting.eps), setting, lr=lr, form=form)
        square = (hessian @ z[:d]).square() + (hessian @ w[:d, :d] @ hessian).diagonal()
        target = cov.diagonal() + (0 if form == "older" else square)
        half = matrix @ w
        return matrix @ z, half + half.T + kick @ cov @ kick.T, rho * (target - v)

    z, w = state
    for _ in range(num_steps + 1):
        yield z[:d], w[:d, :d]
        for _ in range(substeps):
            one = slope(z, w, v)
            two = slope(z + dt * one[0], w + dt * one[1], v + dt * one[2])
            z, w, v = (old + 0.5 * dt * (a + b) for old, a, b in zip((z, w, v), one, two, strict=True))


def frozen_variance(
    curvature: float, *, lr: float, beta1: float, weight_decay: float = 0.0, form: str = "discrete"
) -> float:
    """Stationary variance of x over sigma^2 = V, one coordinate, alpha = ``curvature`` / sigma, V frozen.

    ``form`` is ``"discrete"`` (the algorithm) or that of an SDE. By the linear maps above and Lyapunov's equation.
    """
    from scipy.linalg import solve_continuous_lyapunov

    curvature, lr = (checks.finite("frozen_variance", n, v) for n, v in (("curvature", curvature), ("lr", lr)))
    one = torch.ones(1, 1, dtype=torch.float64)
    setting = Averaged(betas=(beta1, 0.0), weight_decay=weight_decay, eps=0.0)
    if form == "discrete":
        change, kick = step_changes(curvature * one, one[0], setting, lr=lr)
        return float(stationary_of(change, kick @ kick.T)[0, 0])
    matrix, kick = sde_matrices(curvature * one, one[0], setting, lr=lr, form=form)
    return float(solve_continuous_lyapunov(matrix.numpy(), -(kick @ kick.T).numpy())[0, 0])
