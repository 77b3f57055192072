"""SignSGD as a torch optimizer."""

from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope.optim.base import Group, SignOptimizer, common_options
from signscope.optim.blocks import Columns


class SignSGD(SignOptimizer):
    r"""signSGD: every weight moves by exactly ``lr``, against the sign of its gradient.

    ```text
    s = sign(g)
    x = (1 - lr * weight_decay) * x - lr * s
    ```

    Source: `signscope.rules.signsgd`. Memory: none. Gradient calls: 1 per step. sign(0) is 0. ``lr`` is in the
    unit of the weights. Unchanged when the gradient, or one of its coordinates, is multiplied by a positive number.

    Differs from the paper: weight decay (decoupled) is ours; a step with a NaN or infinite gradient is skipped and
    counted in ``skipped_steps``. With batch 1 and skewed gradient noise signSGD stops where the *median* gradient is
    zero; use momentum or variance reduction there.

    Args:
        params: Parameters or parameter groups.
        lr: Length of the step of every weight.
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        foreach: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=foreach, master_weights=master_weights
        )
        super().__init__(params, common)

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        return self._signs(columns["grad"])
