"""Stationary covariance of the optimizers on a quadratic around the origin, as fixed points of their moments."""

import math

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.sdes.moments.adaptive import Averaged, step_changes
from signscope.sdes.moments.lyapunov import stationary_of
from signscope.sdes.moments.sgd import sgd_stationary
from signscope.sdes.moments.signs import sign_covariance_matrix

_SWEEPS = 200
_SETTLED = 1e-11  # of the gradient's second moment, all that a sweep hands to the next


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
        Lyapunov's equation, O(d^3), and up to 200 of them, until the second moment of the gradient stands still to
        1e-11. The covariance itself need not: under strong noise it is known to fewer digits (its own rounding grows
        with how slowly the position is forgotten) and matters less for the next sweep by the same factor.
    """
    hessian, cov = checks.doubles("stationary_covariance", hessian=hessian, cov=cov)
    lr = checks.positive("stationary_covariance", "lr", lr)
    if rule == "sgd":
        return sgd_stationary(hessian, cov, lr=lr, weight_decay=weight_decay)
    total = cov
    for _ in range(_SWEEPS):
        if rule == "signsgd":
            found = _signs(hessian, total - cov, total, lr=lr, weight_decay=weight_decay)
        else:
            averages = Averaged(betas if rule == "adam" else (0.0, betas[1]), weight_decay, eps)
            found = _adaptive(hessian, cov, total.diagonal(), averages, lr=lr)
        if not bool(torch.isfinite(found).all()) or not bool((found.diagonal() >= 0).all()):
            break
        before, total = total, hessian @ found @ hessian + cov
        std = total.diagonal().sqrt()
        if bool(((total - before).abs() <= _SETTLED * torch.outer(std, std)).all()):
            return found
    raise InvalidInput(
        f"stationary_covariance: {rule} has no stationary law that this iteration finds; lower `lr`, or check that the "
        "Hessian is positive definite."
    )


def _signs(hessian: Tensor, moved: Tensor, total: Tensor, *, lr: float, weight_decay: float) -> Tensor:
    """The covariance that solves the closure's equation with the standard deviations and signs of ``total``.

    ``moved`` is H V H, the part of ``total`` that the position's own spread V makes.
    """
    std = total.diagonal().sqrt()
    slope = math.sqrt(2 / math.pi) / std
    signs = sign_covariance_matrix(torch.zeros_like(std), total / torch.outer(std, std))
    change = -lr * (weight_decay * torch.eye(len(std), dtype=std.dtype) + slope[:, None] * hessian)
    return stationary_of(change, lr**2 * (signs - moved * torch.outer(slope, slope)))


def _adaptive(hessian: Tensor, cov: Tensor, second: Tensor, averages: Averaged, *, lr: float) -> Tensor:
    change, kick = step_changes(hessian, 1 / (second.sqrt() + averages.eps), averages, lr=lr)
    return stationary_of(change, kick @ cov @ kick.T)[: len(second), : len(second)]
