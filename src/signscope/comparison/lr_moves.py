"""Rate of signSGD that belongs to one of SGD, by their losses in the long run."""

import math

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput


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
        momentum: Of SGD without dampening, whose rate counts 1 / (1 - momentum) times; in [0, 1).
    """
    who = "matching_lr"
    first, second = checks.positive(who, "sigma1", sigma1), checks.positive(who, "sigma2", sigma2)
    if not 0 <= checks.finite(who, "momentum", momentum) < 1:
        raise InvalidInput(f"{who}: `momentum` must lie in [0, 1), got {momentum:g}.")
    rate = checks.positive(who, "sgd_lr", sgd_lr) / (1 - momentum)
    return (
        rate * math.sqrt(2 / math.pi) * second**2 / (first * math.sqrt(checks.positive(who, "batch_size", batch_size)))
    )
