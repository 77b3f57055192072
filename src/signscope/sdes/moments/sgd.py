"""SGD on a quadratic: exact mean and covariance of the algorithm and of its SDE."""

from functools import partial

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.sdes.moments.lyapunov import stationary_of
from signscope.sdes.moments.walking import walked


@equation("signscope", "mean and covariance of SGD on a quadratic")
def sgd_step(
    hessian: Tensor,
    cov: Tensor,
    mean: Tensor,
    spread: Tensor,
    *,
    lr: float,
    weight_decay: float = 0.0,
    drag: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor]:
    """``m' = A m``, ``V' = A V A' + lr^2 Sigma`` with A = I - lr (H + theta): exact for any noise of covariance Sigma.

    The mean is relative to the minimum c; ``drag`` = theta c is what decay pulls there.
    """
    keep = torch.eye(len(mean), dtype=mean.dtype) * (1 - lr * weight_decay) - lr * hessian
    return keep @ mean - lr * drag, keep @ spread @ keep.T + lr**2 * cov


sgd_moments = partial(walked, sgd_step)
"""`walked` by `sgd_step`."""


@equation("compagnoni2024", "mean and covariance of the SDE of SGD on a quadratic")
def sgd_sde_law(
    hessian: Tensor, cov: Tensor, mean: Tensor, times: Tensor, *, lr: float, weight_decay: float = 0.0
) -> tuple[Tensor, Tensor]:
    r"""Exact mean (n, d) and covariance (n, d, d) of dX = -(H + theta) X dt + sqrt(lr) Sigma^(1/2) dW at ``times``.

    In the eigenbasis of H, $V_{ij}(t) = \eta\,\Sigma_{ij}\,(1 - e^{-(h_i + h_j) t})/(h_i + h_j)$.
    """
    hessian, cov, mean, times = checks.doubles("sgd_sde_law", hessian=hessian, cov=cov, mean=mean, times=times)
    values, basis = torch.linalg.eigh(hessian)
    rates = values + weight_decay
    means = (torch.exp(-times[:, None] * rates) * (basis.T @ mean)) @ basis.T
    total = rates[:, None] + rates[None, :]
    safe = torch.where(total.abs() > 1e-12, total, torch.ones_like(total))
    grown = -torch.expm1(-safe * times[:, None, None]) / safe
    grown = torch.where(total.abs() > 1e-12, grown, times[:, None, None].expand_as(grown))
    return means, basis @ (lr * (basis.T @ cov @ basis) * grown) @ basis.T


def sgd_stationary(hessian: Tensor, cov: Tensor, *, lr: float, weight_decay: float = 0.0) -> Tensor:
    """Stationary covariance of the algorithm: the solution of V = A V A' + lr^2 Sigma."""
    hessian, cov = checks.doubles("sgd_stationary", hessian=hessian, cov=cov)
    lr = checks.positive("sgd_stationary", "lr", lr)
    change = -lr * (hessian + weight_decay * torch.eye(len(hessian), dtype=hessian.dtype))
    return stationary_of(change, lr**2 * cov)
