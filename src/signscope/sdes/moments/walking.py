"""The loop that every one-step moment rule is driven by."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from signscope._core import checks


def walked(
    step: Callable[..., tuple[Tensor, Tensor]],
    hessian: Tensor,
    cov: Tensor,
    mean: Tensor,
    rates: Iterator[tuple[float, float]],
    *,
    weight_decay: float = 0.0,
    drag: Tensor | float = 0.0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean and covariance before every step, from a point; ``rates`` gives (lr, factor on the noise std) of each."""
    hessian, cov, mean = checks.doubles("moments", hessian=hessian, cov=cov, mean=mean)
    spread = torch.zeros_like(hessian)
    for lr, factor in rates:
        yield mean, spread
        mean, spread = step(hessian, cov * factor**2, mean, spread, lr=lr, weight_decay=weight_decay, drag=drag)
