"""What the methods with checkpoints share: a full gradient every ``period`` steps."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.base import Group
from signscope.optim.blocks import Columns
from signscope.optim.full_gradient import FullGradient
from signscope.optim.gradients import Closure, mean_gradient
from signscope.optim.replay import RandomState, full_precision
from signscope.optim.two_point import TwoPointOptimizer

Full = FullGradient | Callable[[], Any]


class FiniteSumOptimizer(TwoPointOptimizer):
    """Base class: before step 0, ``period``, 2 ``period``, ... the full gradient is evaluated at the current point.

    Module buffers and random states are as before after that evaluation.

    Args:
        params: Parameters or parameter groups.
        defaults: Options of a group.
        full_gradient: A `FullGradient`, or a closure that leaves the full gradient in ``.grad``.
        period: Steps between two checkpoints (I).
        **shared: Options of `TwoPointOptimizer`. Clipping is not among them: the full and the component gradients
            would be clipped by different factors.
    """

    carried = (*TwoPointOptimizer.carried, "full_gradient")

    def __init__(
        self, params: ParamsT, defaults: dict[str, Any], *, full_gradient: Full, period: int, **shared: Any
    ) -> None:
        super().__init__(params, defaults, max_grad_norm=None, **shared)
        if not callable(full_gradient) and not isinstance(full_gradient, FullGradient):
            raise InvalidInput(
                f"{self._who}: `full_gradient` must be a FullGradient(loader, batch_loss) or a function that leaves "
                f"the full gradient in .grad, got {full_gradient!r}."
            )
        self.full_gradient = full_gradient
        self.counters["period"] = checks.integer(self._who, "period", period, minimum=1)

    @property
    def period(self) -> int:
        """Steps between two checkpoints."""
        return self.counters["period"]

    def _at_checkpoint(self) -> bool:
        return self.counters["steps"] % self.period == 0

    def _full(self) -> tuple[Any, dict[str, list[Tensor]] | None]:
        """Mean loss and full gradient at the current point; None instead of one that is not finite."""
        random = RandomState({p.device for p in self._params()})
        full = self.full_gradient
        parts = full.parts(self.scale) if isinstance(full, FullGradient) else [(1.0, full)]
        with self._guard.hold(), full_precision():
            loss, grads = mean_gradient(self._who, self._params(), parts)
        random.restore()
        self.counters["full_gradients"] = self.counters.get("full_gradients", 0) + 1
        row = {"grad": grads}
        return loss, row if self._usable(row) else None

    def _reset(self) -> Any:
        """A step along the full gradient itself."""
        loss, row = self._full()
        if row is not None:
            self._commit({**row, "full": row["grad"]})
        return loss

    def _corrected(self, closures: Sequence[Closure]) -> Any:
        """A step along the estimate that the batch corrects."""
        loss, grads = self._sweep(closures, self.points)
        if grads is not None:
            self._commit(grads)
        return loss

    def _take_checkpoint(self, columns: Columns) -> None:
        """Where a new full gradient came, it and the point it belongs to become the checkpoint."""
        if "full" in columns:
            lists.copy_(columns["h"], columns["full"])
            lists.copy_(columns["x_tau"], columns["param"])

    def _gather(self, group: Group, table: Columns) -> None:
        raise AssertionError("methods with checkpoints move at every step")
