"""Hutchinson's estimate of the diagonal of a Hessian, with its own reliability."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Estimate of diag(H).

    Attributes:
        mean: Estimate, shape (d,).
        trace: Estimate of tr H.
        trace_stderr: Its standard error over the probes.
        reliability: Correlation between the estimates of the even and the odd probes: near 1 entries can be used one
            by one, near 0 only their sum can.
        sum_abs: sum_i |H_ii| from sign(even) x odd and back: without the upward bias of |noise|, biased down.
        sum_abs_by_layer: The same by layer.
    """

    mean: Tensor
    trace: float
    trace_stderr: float
    reliability: float
    sum_abs: float
    sum_abs_by_layer: tuple[float, ...]


@equation("signscope", "diagonal of the Hessian from random signs")
def hutchinson(
    product: Callable[[Tensor], Tensor], signs: Callable[[int], Tensor], *, num_probes: int, sizes: Sequence[int]
) -> Diagonal:
    r"""Estimate $H_{ii} = E[s_i (Hs)_i]$ with random signs.

    Args:
        product: H times a vector.
        signs: Probe number to sign vector.
        num_probes: Probes, at least 2. The error of an entry is $\sqrt{\sum_{j\ne i} H_{ij}^2 / K}$: exact for a
            diagonal H.
        sizes: Lengths of the layers.

    Notes:
        Memory: two vectors beyond the probe and its image.
    """
    halves, traces = [], []
    for half in range(2):
        mean: Tensor | None = None
        count = len(range(half, num_probes, 2))
        for probe in range(half, num_probes, 2):
            sign = signs(probe)
            part = product(sign).mul_(sign)
            traces.append(float(part.sum()))
            mean = part / count if mean is None else mean.add_(part, alpha=1 / count)
        assert mean is not None
        halves.append(mean)
    even, odd = halves
    crossed = (torch.sign(even) * odd + torch.sign(odd) * even) / 2
    by_layer = tuple(max(0.0, float(part.sum())) for part in crossed.split(list(sizes)))
    share = len(range(0, num_probes, 2)) / num_probes
    values = torch.tensor(traces, dtype=torch.float64)
    return Diagonal(
        even * share + odd * (1 - share),
        float(values.mean()),
        float(values.std()) / math.sqrt(num_probes),
        _correlation(even, odd),
        sum(by_layer),
        by_layer,
    )


def _correlation(left: Tensor, right: Tensor) -> float:
    left, right = left - left.mean(), right - right.mean()
    size = float(left.norm()) * float(right.norm())
    return float(torch.dot(left, right)) / size if size > 0 else math.nan
