"""Stationary covariance of the optimizers on a quadratic around the origin, as fixed points of their moments."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.sdes.moments.adaptive import Averaged, step_matrices
from signscope.sdes.moments.sgd import sgd_stationary
from signscope.sdes.moments.signs import sign_covariance_matrix

_SWEEPS = 200


@equation("signscope", "stationary covariance of the Gaussian closure and of the mean-V recursion")
def stationary_covariance(
    rule: str,
    hessian: Tensor,
    cov: Tensor,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    eps: float = 1e-8,
) -> Tensor:
    """Covariance (d, d) of the position in the long run, under Gaussian noise of covariance ``cov``.

    Args:
        rule: ``"sgd"`` (exact), ``"signsgd"`` (closure), ``"rmsprop"`` or ``"adam"`` (V at its mean).
        hessian: H, positive definite.
        cov: Sigma, positive diagonal.
        lr: eta.
        betas: Adam's averages.
        weight_decay: theta, towards the origin, which is the minimum.
        eps: Added to the root of V.

    Raises:
        InvalidInput: The iteration does not settle: the rate is too large or H is not positive definite.

    Notes:
        Lyapunov's equation, O(d^3), and up to 200 of them until the variances agree to 1e-10.
    """
    if rule == "sgd":
        return sgd_stationary(hessian, cov, lr=lr, weight_decay=weight_decay)
    spread = torch.zeros_like(hessian)
    for _ in range(_SWEEPS):
        total = hessian @ spread @ hessian + cov
        if rule == "signsgd":
            found = _signs(hessian, spread, total, lr=lr, weight_decay=weight_decay)
        else:
            averages = Averaged(betas if rule == "adam" else (0.0, betas[1]), weight_decay, eps)
            found = _adaptive(hessian, cov, total.diagonal(), averages, lr=lr)
        if not bool(torch.isfinite(found).all()) or not bool((found.diagonal() >= 0).all()):
            break
        if bool((found - spread).abs().max() <= 1e-10 * found.abs().max()):
            return found
        spread = found
    raise InvalidInput(
        f"stationary_covariance: {rule} has no stationary law that this iteration finds; lower `lr`, or check that the "
        "Hessian is positive definite."
    )


def _signs(hessian: Tensor, spread: Tensor, total: Tensor, *, lr: float, weight_decay: float) -> Tensor:
    """The covariance that solves the closure's equation with the standard deviations and signs of ``total``."""
    std = total.diagonal().sqrt()
    pull = (math.sqrt(2 / math.pi) / std)[:, None] * hessian
    signs = sign_covariance_matrix(torch.zeros_like(std), total / torch.outer(std, std))
    keep = (1 - lr * weight_decay) * torch.eye(len(std), dtype=std.dtype) - lr * pull
    return _discrete(keep, lr**2 * (signs - pull @ spread @ pull.T))


def _adaptive(hessian: Tensor, cov: Tensor, second: Tensor, averages: Averaged, *, lr: float) -> Tensor:
    matrix, kick = step_matrices(hessian, 1 / (second.sqrt() + averages.eps), averages, lr=lr)
    return _discrete(matrix, kick @ cov @ kick.T)[: len(second), : len(second)]


def _discrete(matrix: Tensor, source: Tensor) -> Tensor:
    from scipy.linalg import solve_discrete_lyapunov

    return torch.from_numpy(solve_discrete_lyapunov(matrix.numpy(), source.numpy()))
