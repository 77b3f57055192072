"""The compared optimizers: how each is built, what its steps cost, and which learning rates are tried."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from signscope import optim
from signscope.optim import FullGradient

SIGN_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
LARGE_RATES = (1e-3, 3e-3, 1e-2, 3e-2)


@dataclass(frozen=True)
class Method:
    """One optimizer of the comparison.

    Attributes:
        label: Name in tables and pictures.
        rates: Learning rates swept by default.
        make: (network, lr, beta, period, full gradient) -> optimizer.
        cost: (step, period) -> gradient calls of that step, in mini-batches; a full gradient costs ``period``.
        has_closure: Whether ``step`` evaluates the loss itself.
        beta: Default weight of the new sample; None where the method has none.
    """

    label: str
    rates: tuple[float, ...]
    make: Callable[[nn.Module, float, float | None, int, FullGradient], torch.optim.Optimizer]
    cost: Callable[[int, int], int]
    has_closure: bool = False
    beta: float | None = None


def _sgd(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)


def _adam(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=lr)


def _signsgd(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SignSGD(net.parameters(), lr=lr)


def _signum(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    return optim.Signum(net.parameters(), lr=lr, beta=beta)


def _signsvrg(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SignSVRG(net.parameters(), lr=lr, full_gradient=full, period=period, model=net)


def _ssvr(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    options: dict[str, Any] = {} if beta is None else {"beta": beta}
    return optim.SSVR(net.parameters(), lr=lr, model=net, **options)


def _ssvr_fs(net: nn.Module, lr: float, beta: float | None, period: int, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SSVRFS(net.parameters(), lr=lr, beta=beta, full_gradient=full, period=period, model=net)


def one_call(step: int, period: int) -> int:
    """A single gradient."""
    return 1


def two_points(step: int, period: int) -> int:
    """The first step knows one point only."""
    return 1 if step == 0 else 2


def anchored(step: int, period: int) -> int:
    """A full gradient at checkpoints, else the current point and the anchor."""
    return period if step % period == 0 else 2


def anchored_and_recursive(step: int, period: int) -> int:
    """Three points; at a checkpoint the anchor is the current point, and the first step is the full gradient."""
    if step == 0:
        return period
    return period + 2 if step % period == 0 else 3


METHODS: dict[str, Method] = {
    "sgd": Method("SGD (momentum 0.9)", (0.01, 0.03, 0.1, 0.3), _sgd, one_call),
    "adam": Method("Adam", LARGE_RATES, _adam, one_call),
    "signsgd": Method("signSGD", LARGE_RATES, _signsgd, one_call),
    "signum": Method("Signum", SIGN_RATES, _signum, one_call, beta=0.1),
    "signsvrg": Method("SignSVRG", LARGE_RATES, _signsvrg, anchored, has_closure=True),
    "ssvr": Method("SSVR", SIGN_RATES, _ssvr, two_points, has_closure=True, beta=0.1),
    "ssvr_fs": Method("SSVR-FS", SIGN_RATES, _ssvr_fs, anchored_and_recursive, has_closure=True),
}
"""The order is that of tables. SSVR-FS takes beta = 1 / period, as its theory does."""
