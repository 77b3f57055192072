"""What half precision does to steps of fixed length, and the warning with its numbers."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from signscope._core.errors import SignscopeWarning

HALF = frozenset((torch.bfloat16, torch.float16))


class StuckWeights(SignscopeWarning):
    """Weights in half precision are too coarse for the learning rate."""


def state_dtype(param: Tensor) -> torch.dtype:
    """Precision of optimizer state: float32 for half-precision parameters, else that of the parameter."""
    return torch.float32 if param.dtype in HALF else param.dtype


def stuck_fraction(params: Sequence[Tensor], lr: float) -> float:
    """Share of the non-zero weights that a step of ``lr`` in either direction leaves where they are."""
    stuck = total = 0
    for param in params:
        still = (param + lr == param) & (param - lr == param) & (param != 0)
        stuck += int(still.sum())
        total += int((param != 0).sum())
    return stuck / total if total else 0.0


def warn_if_stuck(who: str, params: Sequence[Tensor], lr: float) -> None:
    """Warns when ``lr`` is below half a unit in the last place of more than 1% of half-precision weights."""
    half = [p for p in params if p.dtype in HALF and p.numel()]
    share = stuck_fraction(half, lr) if half and lr > 0 else 0.0
    if share > 0.01:
        largest = max(float(p.abs().max()) for p in half)
        needed = largest * torch.finfo(half[0].dtype).eps / 2
        warnings.warn(
            f"{who}: lr={lr:g} is below half a unit in the last place of {share:.0%} of the {half[0].dtype} weights, "
            f"which therefore never move; the largest, {largest:.3g}, needs about {needed:.2g}. Pass "
            "master_weights=True or keep the weights in float32.",
            StuckWeights,
            stacklevel=2,
        )
