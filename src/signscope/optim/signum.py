"""Signum as a torch optimizer."""

from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope.optim import lists
from signscope.optim.averaging import past, share
from signscope.optim.base import Group, SignOptimizer, common_options
from signscope.optim.blocks import Columns


class Signum(SignOptimizer):
    r"""Signum: signSGD on a running average of the gradients (also known as signSGD-SIM, beta = 1 - momentum).

    ```text
    v = momentum * v + (1 - momentum) * g        (first step: v = g)
    x = (1 - lr * weight_decay) * x - lr * sign(v)
    ```

    Source: `signscope.rules.signum`. Memory: 1 float per parameter. Gradient calls: 1 per step. sign(0) is 0.
    Unchanged when all gradients are multiplied by a positive number. Momentum 0 is `SignSGD`.

    Differs from the paper: the average starts with the first gradient (``start="gradient"``, as the theory's
    v_1 = g_1) or with zeros (``start="zeros"``, which makes it Lion with equal betas); weight decay is decoupled.

    Args:
        params: Parameters or parameter groups.
        lr: Length of the step of every weight.
        momentum: Weight of the past, in [0, 1).
        beta: The theory's name for the same option, 1 - momentum, in (0, 1]; overrides ``momentum``.
        start: "gradient" or "zeros".
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
    """

    buffers = ("momentum_buffer",)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        momentum: float = 0.9,
        beta: float | None = None,
        start: str = "gradient",
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        if beta is not None:
            momentum = 1 - share(self._who, "beta", beta)
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=foreach, master_weights=master_weights
        )
        super().__init__(params, {**common, "momentum": momentum, "start": start})

    def _check_options(self, group: Group) -> None:
        past(self._who, "momentum", group["momentum"])
        checks.one_of(self._who, "start", group["start"], ("gradient", "zeros"))

    def _new_buffer(self, name: str, param: Tensor, grad: Tensor, group: Group) -> Tensor:
        zeros = super()._new_buffer(name, param, grad, group)
        return zeros.copy_(grad) if group["start"] == "gradient" else zeros  # averaging g with g is g

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        buffers = columns["momentum_buffer"]
        lists.lerp_(buffers, columns["grad"], 1 - group["momentum"])
        return self._signs(buffers)
