"""Gradient differences too fine for half precision: refused at the start, a warning when the rate falls later."""

import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import SignscopeWarning, Unsupported
from signscope.optim.precision import HALF

LOWEST_HALF_LR = 1e-3
"""Below this rate the rounding of half-precision gradients exceeds their difference between two points."""
Groups = Sequence[Mapping[str, Any]]


class CoarseDifferences(SignscopeWarning):
    """Differences of half-precision gradients have become smaller than their rounding."""


class DifferenceWatch:
    """Looks for half precision in the weights and, once per run, in what the closure computes.

    What it saw lives in the optimizer's counters, so that it is saved with them.

    Args:
        who: Name of the optimizer, for messages.
    """

    def __init__(self, who: str) -> None:
        self.who = who

    def look(self, groups: Groups, counters: MutableMapping[str, Any], *, refuse: bool) -> None:
        """Refuses a rate that is too low for half precision, or warns of it once.

        Raises:
            Unsupported: ``refuse`` is set, because the run has only begun.
        """
        autocast = counters.get("autocast")
        for group in groups:
            lr, half = float(group["lr"]), [p.dtype for p in group["params"] if p.dtype in HALF]
            if not 0 < lr < LOWEST_HALF_LR or not (half or autocast) or counters.get("coarse"):
                continue
            text = (
                f"{self.who}: the parameters are {half[0]} and lr={lr:g}."
                if half
                else f"{self.who}: the closure computes in {autocast} (autocast) with lr={lr:g}."
            )
            text += (
                f" Below lr={LOWEST_HALF_LR:g} the rounding of the gradients exceeds their difference between two "
                "points. Keep the parameters in float32, leave autocast off, or raise lr."
            )
            if refuse:
                raise Unsupported(text)
            counters["coarse"] = True
            warnings.warn(text, CoarseDifferences, stacklevel=3)

    @contextmanager
    def watching(self, groups: Groups, counters: MutableMapping[str, Any]) -> Iterator[None]:
        """Context of an evaluation; the first one shows whether the closure switches autocast on.

        Autograd then saves half-precision tensors though the parameters are in full precision.
        """
        if "autocast" in counters or any(p.dtype in HALF for group in groups for p in group["params"]):
            yield
            return
        seen: list[torch.dtype] = []

        def pack(tensor: Tensor) -> Tensor:
            if tensor.dtype in HALF:
                seen.append(tensor.dtype)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield
        self.look(groups, {"autocast": str(seen[0]) if seen else None}, refuse=True)
        counters["autocast"] = str(seen[0]) if seen else None
