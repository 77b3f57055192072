"""Lion as a torch optimizer."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope.optim import lists
from signscope.optim.base import Group, SignOptimizer, common_options
from signscope.optim.blocks import Columns


class Lion(SignOptimizer):
    r"""Lion: the direction looks at the newest gradient with another weight than the average keeps.

    ```text
    s = sign(beta1 * m + (1 - beta1) * g)        (m = 0 before the first step)
    x = (1 - lr * weight_decay) * x - lr * s
    m = beta2 * m + (1 - beta2) * g
    ```

    Source: `signscope.rules.lion`. Memory: 1 float per parameter. Gradient calls: 1 per step. sign(0) is 0.
    Unchanged when all gradients are multiplied by a positive number. Equal betas: `Signum` started from zeros.

    Differs from the paper: nothing but the skipping of steps with NaN or infinite gradients.

    Args:
        params: Parameters or parameter groups.
        lr: Length of the step of every weight.
        betas: Weight of the past in the direction and in the average, both in [0, 1).
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
    """

    buffers = ("momentum_buffer",)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=foreach, master_weights=master_weights
        )
        super().__init__(params, {**common, "betas": betas})

    def _check_options(self, group: Group) -> None:
        checks.betas(self._who, group["betas"])

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        beta1, beta2 = group["betas"]
        buffers, grads = columns["momentum_buffer"], columns["grad"]
        room = self._room(buffers)
        if room is None:
            directions = list(lists.lerp(buffers, grads, 1 - beta1))
        else:
            directions = [torch.lerp(buffers[0], grads[0], 1 - beta1, out=room)]
        lists.sign_(directions)
        lists.lerp_(buffers, grads, 1 - beta2)
        return directions
