"""SignSGD on h x^2 / 2 under Gaussian noise in one dimension: its law, its SDEs and its flow, none of it sampled."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from signscope.sdes.moments import chain_law, chain_stationary, expectations, gaussian_up, stationary_density

Field = Callable[[Tensor], Tensor]
START, HORIZON = 1.5, 2.0
OBSERVABLES: dict[str, Field] = {
    "x": lambda x: x,
    "x^2": torch.square,
    "cos 2x": lambda x: torch.cos(2 * x),
    "x^4": lambda x: x**4,
}
_ROOT_TWO = math.sqrt(2)


def coefficients(*, lr: float, order: int = 1, curvature: float = 1.0, std: float = 1.0) -> tuple[Field, Field]:
    """Drift and variance per unit of time of the SDE of ``order`` 1 or 2."""

    def drift(x: Tensor) -> Tensor:
        y = curvature * x / (std * _ROOT_TWO)
        bend = math.sqrt(2 / math.pi) * curvature / std * torch.exp(-y * y)
        return -torch.erf(y) * (1 + (0.5 * lr * bend if order == 2 else 0.0))

    def variance(x: Tensor) -> Tensor:
        outside = torch.special.erfc((curvature * x / (std * _ROOT_TWO)).abs())
        return lr * outside * (2 - outside)

    return drift, variance


def of_optimizer(lr: float, observables: Sequence[Field], *, horizon: float = HORIZON) -> Tensor:
    """Exact expectations of the optimizer after ``horizon`` / lr steps."""
    x, p = chain_law(START, gaussian_up(1, 1), lr=lr, num_steps=round(horizon / lr))
    return torch.stack([(p * g(x)).sum() for g in observables])


def of_sde(lr: float, observables: Sequence[Field], *, order: int = 1, horizon: float = HORIZON) -> Tensor:
    """Expectations of the SDE by the backward equation."""
    return expectations(*coefficients(lr=lr, order=order), observables, START, horizon=horizon)


def flow(time: float, *, start: float = START, steps: int = 400) -> float:
    """x(t) of x' = -erf(x / sqrt 2), by the classical method of fourth order."""
    dt, x = time / steps, start
    for _ in range(steps):
        k1 = -math.erf(x / _ROOT_TWO)
        k2 = -math.erf((x + 0.5 * dt * k1) / _ROOT_TWO)
        k3 = -math.erf((x + 0.5 * dt * k2) / _ROOT_TWO)
        k4 = -math.erf((x + dt * k3) / _ROOT_TWO)
        x += dt * (k1 + 2 * k2 + 2 * k3 + k4) / 6
    return x


def stationary(lr: float, *, std: float = 1.0, reach: float | None = None) -> tuple[tuple[Tensor, Tensor], ...]:
    """Stationary laws of the optimizer and of its SDE for h = 1: positions and probabilities of each."""
    end = min(12 * math.sqrt(lr * std), 6 * std) if reach is None else reach
    end = max(end, 3 * lr)
    own = chain_stationary(gaussian_up(1, std), lr=lr, reach=end)
    return own, stationary_density(*coefficients(lr=lr, std=std), reach=min(end, 6 * std))
