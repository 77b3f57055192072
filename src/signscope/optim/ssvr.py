"""SSVR as a torch optimizer."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope.optim import lists
from signscope.optim.averaging import share
from signscope.optim.base import Group, common_options
from signscope.optim.blocks import Columns
from signscope.optim.gradients import Closure
from signscope.optim.two_point import Modules, TwoPointOptimizer


class SSVR(TwoPointOptimizer):
    r"""SSVR: the sign of a variance-reduced estimate that compares one batch at two points.

    ```text
    v = mean of B_0 gradients at x_1                           (the first ``init_batches`` calls do not move)
    x = (1 - lr * weight_decay) * x - lr * sign(v)
    each later step, with one batch for both gradients:
        v = g(x) + (1 - beta) * (v - g(x_prev))
        x_prev, x = x, (1 - lr * weight_decay) * x - lr * sign(v)
    ```

    ```python
    for batch in loader:
        loss = opt.step(lambda: backward_on(batch))            # called twice, on the same batch
    ```

    Source: `signscope.rules.ssvr`. Memory: 2 floats per parameter (v and x_prev) and one more gradient during the
    step. Gradient calls: 2 per step. sign(0) is 0. ``beta=1`` is `SignSGD`; without noise v is the exact gradient.
    Unchanged when all gradients are multiplied by a positive number.

    Differs from the paper: weight decay (decoupled) is ours; a step with a NaN or infinite gradient changes nothing
    and is counted. Dropout, augmentation and batch norm see the same sample at both points.

    Args:
        params: Parameters or parameter groups.
        lr: Length of the step of every weight; the theory takes it proportional to T^(-2/3).
        beta: Weight of the new sample, in (0, 1]; the theory takes it proportional to T^(-2/3).
        init_batches: B_0, the number of batches averaged before the first move; the theory takes T^(1/3).
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
        model: Module(s) whose buffers are guarded; ``None`` finds the modules called in the closure.
        check_every: Steps between tests that the closure is replayable; 0: only the first, ``None``: never.
        max_grad_norm: Clips both gradients by one common factor. Never clip inside the closure.
        loss_scale: ``None``, a number or ``"dynamic"``; the closure then calls ``opt.scale(loss).backward()``.
        allow_changes: Accept parameters that something else changed between two steps.
    """

    buffers = ("v", "x_prev")
    points = ("x_prev",)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        beta: float = 0.1,
        init_batches: int = 1,
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
        master_weights: bool = False,
        model: Modules = None,
        check_every: int | None = 0,
        max_grad_norm: float | None = None,
        loss_scale: float | str | None = None,
        allow_changes: bool = False,
    ) -> None:
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=foreach, master_weights=master_weights
        )
        super().__init__(
            params,
            {**common, "beta": beta},
            model=model,
            check_every=check_every,
            max_grad_norm=max_grad_norm,
            loss_scale=loss_scale,
            allow_changes=allow_changes,
        )
        self.counters["init_batches"] = checks.integer(self._who, "init_batches", init_batches, minimum=1)

    @property
    def init_batches(self) -> int:
        """B_0, the number of batches averaged before the first move."""
        return self.counters["init_batches"]

    def _check_options(self, group: Group) -> None:
        share(self._who, "beta", group["beta"])

    def _advance(self, closures: Sequence[Closure]) -> Any:
        starting = self.counters["initial_batches"] < self.init_batches
        loss, grads = self._sweep(closures, () if starting else self.points)
        if grads is not None:
            self.counters["initial_batches"] += starting
            self._commit(grads, moving=self.counters["initial_batches"] == self.init_batches)
        return loss

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        v, grads = columns["v"], columns["grad"]
        if "grad@x_prev" in columns:
            lists.sub_(v, columns["grad@x_prev"])
            lists.mul_(v, 1 - group["beta"])
            lists.add_(v, grads)
        else:
            lists.add_(v, grads, alpha=1 / self.init_batches)
        return self._signs(v)

    def _gather(self, group: Group, table: Columns) -> None:
        for columns in self._blocks(group, table):
            lists.add_(columns["v"], columns["grad"], alpha=1 / self.init_batches)
