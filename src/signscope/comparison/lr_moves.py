"""Rate of signSGD that belongs to one of SGD, by their losses in the long run."""

import math

from signscope._core import checks
from signscope._core.equations import equation


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
