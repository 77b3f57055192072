"""Mean loss in the long run on any quadratic, to leading order in lr, with and without decay."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput

RULES = ("sgd", "signsgd", "rmsprop", "adam")
Decay = Literal["decoupled", "coupled"]


@dataclass(frozen=True)
class AsymptoticLoss:
    """Mean of f - f* in the long run.

    Attributes:
        variance: The part that noise keeps up, of order lr.
        bias: The part that decay costs by moving the mean off the minimum; 0 where that is the origin.
    """

    variance: float
    bias: float

    @property
    def total(self) -> float:
        """Both."""
        return self.variance + self.bias


@equation("signscope", "asymptotic losses for any Hessian and any noise covariance")
def asymptotic_loss(
    optimizer: str,
    hessian: Tensor,
    cov: Tensor,
    *,
    lr: float,
    weight_decay: float = 0.0,
    decay: Decay = "decoupled",
    centre: Tensor | None = None,
    beta1: float = 0.0,
) -> AsymptoticLoss:
    r"""Mean of $f - f^*$ in the long run, $f = \tfrac12(x - x^*)'H(x - x^*)$, Gaussian noise.

    Without decay, whatever H and the correlations are: $\tfrac\eta4\mathrm{tr}\,\Sigma$ (SGD),
    $\tfrac\eta4\sqrt{\pi/2}\sum\sigma_i$ (signSGD), $\tfrac\eta4\sum\sigma_i$ (RMSprop, Adam). With decay the law
    solves $(AH + \theta)S + S(\cdot)' = \eta Q$, and the mean goes to $(AH + \theta)^{-1}AHx^*$, A = 1,
    $\sqrt{2/\pi}D^{-1}$ or $D^{-1}$. Decoupled decay bounds the loss under strong noise because the iterate collapses
    to 0, which is no gain unless $x^* = 0$; coupled (L2) decay leaves it linear in the noise.

    Args:
        optimizer: "sgd", "signsgd", "rmsprop" or "adam", with or without a final w.
        hessian: H, (d, d), positive definite.
        cov: Sigma of one stochastic gradient, (d, d), positive diagonal.
        lr: eta.
        weight_decay: theta.
        decay: "decoupled" (AdamW) or "coupled" (added to the gradient: L2).
        centre: x*, (d,); the origin by default.
        beta1: Of Adam, in [0, 1): decoupled decay divides the variance by 1 + lr theta / (1 - beta1).

    Raises:
        InvalidInput: A number is out of range, or H is not positive definite: then there is no long run.

    Notes:
        O(d^3). Relative error of order lr h / sigma; V is taken as sigma^2.
    """
    who, rule = "asymptotic_loss", optimizer.removesuffix("w")
    checks.one_of(who, "optimizer", rule, RULES)
    checks.one_of(who, "decay", decay, ("decoupled", "coupled"))
    eta, theta = checks.positive(who, "lr", lr), checks.non_negative(who, "weight_decay", weight_decay)
    beta1, _ = checks.betas(who, (beta1, 0.0))
    least, largest = torch.linalg.eigvalsh(hessian)[[0, -1]].tolist()
    if not least > len(hessian) * torch.finfo(hessian.dtype).eps * largest:
        raise InvalidInput(f"{who}: `hessian` must be positive definite, its least eigenvalue is {least:g}.")
    std = cov.diagonal().sqrt()
    if not bool((std > 0).all()):
        raise InvalidInput(f"{who}: `cov` needs a positive diagonal, got {float(cov.diagonal().min()):g}.")
    eye = torch.eye(len(std), dtype=torch.float64)
    factor, source = _linear(rule, cov, std)
    ridge = theta * eye
    pull = factor @ hessian + ridge if decay == "decoupled" else factor @ (hessian + ridge)
    memory = 1 + eta * theta / (1 - beta1) if rule == "adam" and decay == "decoupled" else 1.0
    spread = _lyapunov(pull, eta * source) / memory
    bias = 0.0
    if centre is not None and theta:
        away = torch.linalg.solve(pull, factor @ hessian @ centre) - centre
        bias = float(0.5 * away @ hessian @ away)
    return AsymptoticLoss(float(0.5 * (hessian * spread).sum()), bias)


@equation("compagnoni2024", "asymptotic upper bounds with decoupled and with L2 decay")
def decayed_loss_bound(
    *, lr: float, mu: float, smoothness: float, trace: float, std_max: float, weight_decay: float, decay: Decay
) -> float:
    r"""Bound on the loss of RMSprop(W)/Adam(W) in the long run, minimum at the origin, $\mu I \le H \le LI$.

    Decoupled: $\tfrac\eta2L_\tau\sigma\,L/(2\mu L + \theta\sigma(L + \mu))$; coupled: the same with $\theta$ for
    $\theta\sigma$ in the denominator. Nearly attained for $H = \mu I$, loose by up to $L/\mu$ otherwise.

    Args:
        lr: eta.
        mu: Least eigenvalue of H.
        smoothness: L, the largest.
        trace: At least tr H.
        std_max: Largest sigma_i.
        weight_decay: theta.
        decay: "decoupled" or "coupled".
    """
    who = "decayed_loss_bound"
    checks.one_of(who, "decay", decay, ("decoupled", "coupled"))
    for name, value in (("lr", lr), ("mu", mu), ("smoothness", smoothness), ("trace", trace), ("std_max", std_max)):
        checks.positive(who, name, value)
    if not smoothness >= mu:
        raise InvalidInput(f"{who}: `smoothness` is {smoothness:g}, below `mu` = {mu:g}.")
    theta = checks.non_negative(who, "weight_decay", weight_decay) * (std_max if decay == "decoupled" else 1.0)
    return 0.5 * lr * trace * std_max * smoothness / (2 * mu * smoothness + theta * (smoothness + mu))


def _linear(rule: str, cov: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """What multiplies the gradient, and the covariance of a step over lr^2, near the minimum."""
    corr = cov / torch.outer(std, std)
    if rule == "sgd":
        return torch.eye(len(std), dtype=torch.float64), cov
    if rule == "signsgd":
        signs = 2 / math.pi * torch.arcsin(corr.clamp(-1, 1))
        return math.sqrt(2 / math.pi) * torch.diag(1 / std), signs.fill_diagonal_(1.0)  # arcsin(1 - 1e-16) is 1e-8 off
    return torch.diag(1 / std), corr


def _lyapunov(matrix: Tensor, source: Tensor) -> Tensor:
    from scipy.linalg import solve_continuous_lyapunov

    return torch.from_numpy(solve_continuous_lyapunov(matrix.numpy(), source.numpy()))
