"""Sign rules that remember what the compression threw away."""

import torch
from torch import Tensor

from signscope._core.equations import equation


@equation("karimireddy2019", "Algorithm 1 (EF-signSGD)")
def ef_signsgd(grad: Tensor, error: Tensor, *, lr: float) -> tuple[Tensor, Tensor]:
    r"""Update and new error of EF-signSGD; the step is ``theta - update``.

    $$ p = \gamma g + e, \qquad D = \operatorname{mean}|p| \, \operatorname{sign}(p), \qquad e \leftarrow p - D $$

    The learning rate is inside, so the memory survives a change of it. ``theta_t - e_t = theta_0 - gamma sum g``
    holds exactly for constant gamma: nothing is lost, it only comes later.

    Args:
        grad: Gradient g of one parameter tensor; the mean runs over all its entries.
        error: What earlier steps left undone, in units of the parameter; zeros before the first.
        lr: Learning rate gamma.

    Returns:
        The update D (in units of the parameter) and the new e, in the shape of ``grad``.
    """
    wanted = torch.add(error, grad, alpha=lr)
    update = torch.sign(wanted) * wanted.abs().mean()
    return update, wanted - update
