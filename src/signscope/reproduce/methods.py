"""The compared optimizers: how each is built, what its steps cost, and which learning rates are tried."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from signscope import optim
from signscope.optim import FullGradient
from signscope.reproduce.job import Job
from signscope.reproduce.together import MuonWithAdamW

SIGN_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
LARGE_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
COARSE_RATES = (1e-4, 1e-3, 1e-2)  # tao2026's grid
PUBLISHED_DECAY = 0.1


@dataclass(frozen=True)
class Method:
    """One optimizer of the comparison.

    Attributes:
        label: Name in tables and pictures.
        rates: Learning rates swept by default.
        make: (network, job, full gradient) -> optimizer.
        cost: (step, period) -> gradient calls of that step, in mini-batches; a full gradient costs ``period``.
        has_closure: Whether ``step`` evaluates the loss itself.
        beta: Default weight of the new sample; None where the method has none.
    """

    label: str
    rates: tuple[float, ...]
    make: Callable[[nn.Module, Job, FullGradient], torch.optim.Optimizer]
    cost: Callable[[int, int], int]
    has_closure: bool = False
    beta: float | None = None


def beta_of(job: Job) -> float | None:
    """Weight of the new sample in a run."""
    return METHODS[job.method].beta if job.beta is None else job.beta


def momentum_of(job: Job) -> float:
    """Weight of the past in a run; 0 without averaging."""
    beta = beta_of(job)
    return 0.0 if beta is None else 1 - beta


def _sgd(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=job.lr, momentum=momentum_of(job))


def _sgd_coupled(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=job.lr, momentum=momentum_of(job), weight_decay=PUBLISHED_DECAY)


def _adam(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=job.lr)


def _adamw(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=job.lr, betas=(momentum_of(job), 0.95), weight_decay=0.0)


def _muon(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return MuonWithAdamW(net, job.lr, momentum=momentum_of(job))


def _signsgd(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SignSGD(net.parameters(), lr=job.lr)


def _signsgd_decayed(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SignSGD(net.parameters(), lr=job.lr, weight_decay=PUBLISHED_DECAY)


def _signum(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return optim.Signum(net.parameters(), lr=job.lr, beta=beta_of(job))


def _signsvrg(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SignSVRG(net.parameters(), lr=job.lr, full_gradient=full, period=job.period, model=net)


def _ssvr(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    beta = beta_of(job)
    options: dict[str, Any] = {} if beta is None else {"beta": beta}
    return optim.SSVR(net.parameters(), lr=job.lr, model=net, **options)


def _ssvr_fs(net: nn.Module, job: Job, full: FullGradient) -> torch.optim.Optimizer:
    return optim.SSVRFS(
        net.parameters(), lr=job.lr, beta=beta_of(job), full_gradient=full, period=job.period, model=net
    )


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
    "sgd": Method("SGD (momentum 0.9)", (0.01, 0.03, 0.1, 0.3), _sgd, one_call, beta=0.1),
    "adam": Method("Adam", LARGE_RATES, _adam, one_call),
    "signsgd": Method("signSGD", LARGE_RATES, _signsgd, one_call),
    "signum": Method("Signum", SIGN_RATES, _signum, one_call, beta=0.1),
    "signsvrg": Method("SignSVRG", LARGE_RATES, _signsvrg, anchored, has_closure=True),
    "ssvr": Method("SSVR", SIGN_RATES, _ssvr, two_points, has_closure=True, beta=0.1),
    "ssvr_fs": Method("SSVR-FS", SIGN_RATES, _ssvr_fs, anchored_and_recursive, has_closure=True),
    "sgd_plain": Method("SGD", (0.1, 0.3, 1.0), _sgd, one_call),
    "adamw": Method("AdamW", SIGN_RATES, _adamw, one_call, beta=0.1),
    "muon": Method("Muon (with AdamW)", SIGN_RATES, _muon, one_call, beta=0.1),
    "sgd_coupled": Method("SGD (momentum 0.9, L2 0.1)", COARSE_RATES, _sgd_coupled, one_call, beta=0.1),
    "signsgd_decayed": Method("signSGD (decay 0.1)", COARSE_RATES, _signsgd_decayed, one_call),
}
"""SSVR-FS takes beta = 1 / period, as its theory does."""
VARIANCE_REDUCTION = ("sgd", "adam", "signsgd", "signum", "signsvrg", "ssvr", "ssvr_fs")
"""Compared in jiang2024-training, in the order of its tables."""
