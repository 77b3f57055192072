"""What the methods have in common whose estimate starts anew at every checkpoint."""

from collections.abc import Sequence
from typing import Any

from torch.optim.optimizer import ParamsT

from signscope.optim.base import common_options
from signscope.optim.finite_sum import FiniteSumOptimizer, Full
from signscope.optim.gradients import Closure
from signscope.optim.two_point import Modules


class ResettingOptimizer(FiniteSumOptimizer):
    """Base class: a step along the full gradient at a checkpoint, along corrected batches between two of them.

    The arguments are explained in the subclasses, which have no options of their own.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        full_gradient: Full,
        period: int,
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
        master_weights: bool = False,
        model: Modules = None,
        check_every: int | None = 0,
        loss_scale: float | str | None = None,
        allow_changes: bool = False,
    ) -> None:
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=foreach, master_weights=master_weights
        )
        super().__init__(
            params,
            common,
            full_gradient=full_gradient,
            period=period,
            model=model,
            check_every=check_every,
            loss_scale=loss_scale,
            allow_changes=allow_changes,
        )

    def _advance(self, closures: Sequence[Closure]) -> Any:
        return self._reset() if self._at_checkpoint() else self._corrected(closures)
