"""How a learning rate moves with the batch size, and from SGD to signs: rules of the SDE limits."""

import math
from typing import Literal

from signscope._core import checks
from signscope._core.equations import equation

Kind = Literal["sgd", "signsgd", "adam"]


@equation("compagnoni2024", "batch-size scaling of the learning rate")
def moved_lr(optimizer: Kind, lr: float, *, batch_size: float, new_batch_size: float) -> float:
    r"""Learning rate that keeps the loss as a function of samples seen, where noise dominates.

    SGD: $\eta' = \delta\eta$; signSGD, Signum, Adam: $\eta' = \sqrt\delta\,\eta$ with $\delta$ new over old batch.
    Decoupled weight decay of the latter moves by $\sqrt\delta$ as well, and $1 - \beta_j$ of Adam by $\delta$.

    Args:
        optimizer: "sgd", "signsgd" or "adam".
        lr: At the old batch size.
        batch_size: Old.
        new_batch_size: New.
    """
    checks.one_of("moved_lr", "optimizer", optimizer, ("sgd", "signsgd", "adam"))
    old, new = (
        checks.positive("moved_lr", name, value)
        for name, value in (("batch_size", batch_size), ("new_batch_size", new_batch_size))
    )
    factor = new / old
    return checks.positive("moved_lr", "lr", lr) * (factor if optimizer == "sgd" else math.sqrt(factor))


@equation("compagnoni2024", "equal asymptotic losses of SGD, SignSGD and Adam")
def matching_lr(sgd_lr: float, *, sigma1: float, sigma2: float, batch_size: float, momentum: float = 0.0) -> float:
    r"""Rate of signSGD whose loss near a minimum settles where SGD's does.

    Asymptotic losses are $\tfrac\eta4\sum_i s_i^2$ for SGD and $\tfrac\eta4\sqrt{\pi/2}\sum_i s_i$ for signSGD
    ($s_i$ of a batch), so

    $$ \eta_{sign} = \sqrt{\tfrac2\pi}\,\frac{\sigma_2^2}{\sigma_1\sqrt B}\,\eta_{SGD} $$

    It needs noise to dominate (phase 3) and rates small against noise over curvature.

    Args:
        sgd_lr: Rate of SGD.
        sigma1: Sum of per-sample standard deviations.
        sigma2: Root of the sum of per-sample variances.
        batch_size: Of both.
        momentum: Of SGD without dampening, whose rate counts 1 / (1 - momentum) times.
    """
    rate = checks.positive("matching_lr", "sgd_lr", sgd_lr) / (
        1 - checks.non_negative("matching_lr", "momentum", momentum)
    )
    return rate * math.sqrt(2 / math.pi) * sigma2**2 / (sigma1 * math.sqrt(batch_size))
