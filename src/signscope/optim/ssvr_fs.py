"""SSVR-FS as a torch optimizer."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope.optim import lists
from signscope.optim.averaging import share
from signscope.optim.base import Group, common_options
from signscope.optim.blocks import Columns
from signscope.optim.finite_sum import FiniteSumOptimizer, Full
from signscope.optim.gradients import Closure
from signscope.optim.two_point import Modules


class SSVRFS(FiniteSumOptimizer):
    r"""SSVR-FS: SSVR for a mean of finitely many components, tied to a full gradient every ``period`` steps.

    ```text
    step 0:  h = full gradient at x;  x_tau = x;  v = h
    every ``period`` steps:  x_tau = x;  h = full gradient at x       (with reset_at_checkpoint: v = h as well)
    each step, with one component batch i for all three gradients:
        v = (1 - beta) * (v - g_i(x_prev)) + g_i(x) + beta * (h - g_i(x_tau))
    x_prev, x = x, (1 - lr * weight_decay) * x - lr * sign(v)
    ```

    Source: `signscope.rules.ssvr_fs`. Memory: 4 floats per parameter (v, x_prev, x_tau, h) and two more gradients
    during the step. Gradient calls: 3 per step (2 at a checkpoint, 0 at a reset) and a full gradient per period.
    sign(0) is 0. With a single component v is the exact gradient.

    Differs from the paper: ``reset_at_checkpoint=True`` starts v anew at every checkpoint, which costs nothing and
    halves the error; weight decay (decoupled) is ours; steps with NaN or infinite gradients change nothing.

    Args:
        params: Parameters or parameter groups.
        lr: Length of the step of every weight.
        full_gradient: A `FullGradient` over a loader, or a closure that leaves the full gradient in ``.grad``.
        period: Steps between two checkpoints (I); the theory takes the number of components.
        beta: Weight of the checkpoint, in (0, 1]; by default 1 / period.
        reset_at_checkpoint: Set v to the full gradient at every checkpoint.
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
        model: Module(s) whose buffers are guarded; ``None`` finds the modules called in the closure.
        check_every: Steps between tests that the closure is replayable; 0: only the first, ``None``: never.
        loss_scale: ``None``, a number or ``"dynamic"``; the closure then calls ``opt.scale(loss).backward()``.
        allow_changes: Accept parameters that something else changed between two steps.
    """

    buffers = ("v", "x_prev", "x_tau", "h")
    points = ("x_prev", "x_tau")

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        full_gradient: Full,
        period: int,
        beta: float | None = None,
        reset_at_checkpoint: bool = False,
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
            {**common, "beta": 1 / period if beta is None and period else beta},
            full_gradient=full_gradient,
            period=period,
            model=model,
            check_every=check_every,
            loss_scale=loss_scale,
            allow_changes=allow_changes,
        )
        self.counters["reset_at_checkpoint"] = bool(reset_at_checkpoint)

    def _check_options(self, group: Group) -> None:
        share(self._who, "beta", group["beta"])

    def _advance(self, closures: Sequence[Closure]) -> Any:
        if self._at_checkpoint():
            if self.counters["steps"] == 0 or self.counters["reset_at_checkpoint"]:
                return self._reset()
            return self._refreshed_step(closures)
        return self._corrected(closures)

    def _refreshed_step(self, closures: Sequence[Closure]) -> Any:
        """The published step at a checkpoint: the current point is the anchor, so two gradients suffice."""
        loss, row = self._full()
        if row is None:
            return loss
        loss, grads = self._sweep(closures, ("x_prev",))
        if grads is not None:
            self._commit({**grads, "grad@x_tau": grads["grad"], "full": row["grad"]})
        return loss

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        v, full = columns["v"], columns["h"]
        self._take_checkpoint(columns)
        if "grad@x_prev" not in columns:
            lists.copy_(v, full)
        else:
            lists.sub_(v, columns["grad@x_prev"])
            lists.mul_(v, 1 - group["beta"])
            lists.add_(v, columns["grad"])
            lists.add_(v, lists.sub(full, columns["grad@x_tau"]), alpha=group["beta"])
        return self._signs(v)
