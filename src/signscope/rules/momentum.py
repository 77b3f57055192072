"""Sign rules with one running average of gradients."""

import torch
from torch import Tensor

from signscope._core.equations import equation


@equation("bernstein2018", "Algorithm 2 (Signum)")
def signum(grad: Tensor, buffer: Tensor, *, momentum: float) -> tuple[Tensor, Tensor]:
    r"""Direction and new momentum buffer of Signum.

    $$ v \leftarrow \mu v + (1 - \mu) g, \qquad s = \operatorname{sign}(v) $$

    There is no bias correction: the sign ignores a positive scale. Momentum 0 is signSGD.

    Args:
        grad: Gradient g, any shape.
        buffer: Average v before this step. The first gradient itself starts the theory's form (v_1 = g_1);
            zeros start the form of Lion with equal betas.
        momentum: Weight mu of the past, in [0, 1); the theory's beta is 1 - mu.

    Returns:
        The direction (-1, 0 or 1; sign(0) is 0) and the new v, in the shape of ``grad``.
    """
    buffer = torch.lerp(buffer, grad, 1 - momentum)
    return torch.sign(buffer), buffer


@equation("chen2023", "Algorithm 2 (Lion)")
def lion(grad: Tensor, buffer: Tensor, *, betas: tuple[float, float]) -> tuple[Tensor, Tensor]:
    r"""Direction and new momentum buffer of Lion.

    $$ s = \operatorname{sign}(\beta_1 m + (1 - \beta_1) g), \qquad m \leftarrow \beta_2 m + (1 - \beta_2) g $$

    With equal betas it is Signum started from zeros.

    Args:
        grad: Gradient g, any shape.
        buffer: Average m before this step; zeros before the first.
        betas: Weight of the past in the direction and in the average, both in [0, 1).

    Returns:
        The direction (-1, 0 or 1; sign(0) is 0) and the new m, in the shape of ``grad``.
    """
    direction = torch.sign(torch.lerp(buffer, grad, 1 - betas[0]))
    return direction, torch.lerp(buffer, grad, 1 - betas[1])
