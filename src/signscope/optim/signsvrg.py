"""SignSVRG as a torch optimizer."""

from torch import Tensor

from signscope.optim import lists
from signscope.optim.base import Group
from signscope.optim.blocks import Columns
from signscope.optim.resetting import ResettingOptimizer


class SignSVRG(ResettingOptimizer):
    r"""SignSVRG: component gradients corrected by the full gradient of the last checkpoint.

    ```text
    every ``period`` steps, from step 0:  x_tau = x;  h = full gradient at x;  v = h
    other steps, with one component batch i for both gradients:
        v = g_i(x) - g_i(x_tau) + h
    x = (1 - lr * weight_decay) * x - lr * sign(v)
    ```

    Source: `signscope.rules.signsvrg`. Memory: 2 floats per parameter (x_tau and h) and one more gradient during
    the step. Gradient calls: 2 per step (0 at a checkpoint) and a full gradient per period. sign(0) is 0.

    Differs from the paper: the update is written from its abstract's description; weight decay (decoupled) is ours;
    steps with NaN or infinite gradients change nothing.

    Args:
        params: Parameters or parameter groups.
        lr: Length of the step of every weight.
        full_gradient: A `FullGradient` over a loader, or a closure that leaves the full gradient in ``.grad``.
        period: Steps between two checkpoints (I); the theory takes the number of components.
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
        model: Module(s) whose buffers are guarded; ``None`` finds the modules called in the closure.
        check_every: Steps between tests that the closure is replayable; 0: only the first, ``None``: never.
        loss_scale: ``None``, a number or ``"dynamic"``; the closure then calls ``opt.scale(loss).backward()``.
        allow_changes: Accept parameters that something else changed between two steps.
    """

    buffers = ("x_tau", "h")
    points = ("x_tau",)

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        self._take_checkpoint(columns)
        if "full" in columns:
            return self._signs(columns["h"])
        directions = list(lists.sub(columns["grad"], columns["grad@x_tau"]))
        lists.add_(directions, columns["h"])
        lists.sign_(directions)
        return directions
