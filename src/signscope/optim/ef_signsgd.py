"""EF-signSGD as a torch optimizer."""

from torch import Tensor

from signscope.optim import lists
from signscope.optim.base import Group
from signscope.optim.blocks import Columns
from signscope.optim.signsgd import SignSGD


class EFSignSGD(SignSGD):
    r"""EF-signSGD: a scaled sign per tensor, with the remainder fed back at the next step.

    ```text
    p = lr * g + e                               (e = 0 before the first step)
    D = mean(|p|) * sign(p)                      per parameter tensor
    x = (1 - lr * weight_decay) * x - D
    e = p - D
    ```

    Source: `signscope.rules.ef_signsgd`. Memory: 1 float per parameter. Gradient calls: 1 per step. sign(0) is 0.
    ``lr`` has the meaning and the default it has for SGD, because the step scales with the gradient. Without weight
    decay ``x_t - e_t = x_0 - lr * (sum of gradients)``.

    Differs from the paper: the scale is taken per tensor; weight decay (decoupled, outside the feedback) is ours.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate, inside the feedback, so that it may change between steps.
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        foreach: Lists of tensors (True), one at a time (False), or by device and size (None).
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
    """

    buffers = ("error",)
    elementwise = False

    def _length(self, group: Group) -> float:
        return 1.0

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        wanted = columns["error"]
        lists.add_(wanted, columns["grad"], alpha=float(group["lr"]))
        scales = [w.abs().mean() for w in wanted]
        updates = list(lists.sign(wanted))
        lists.mul_(updates, scales)
        lists.sub_(wanted, updates)
        return updates
