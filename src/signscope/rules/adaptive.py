"""Rules that divide by a running average of squared gradients."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation


@equation("kingma2015", "Algorithm 1")
def adam(
    grad: Tensor, first: Tensor, second: Tensor, step: int, *, betas: tuple[float, float], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Direction and new moments of Adam; the step is ``theta - step_size * direction``.

    $$ m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad s \leftarrow \beta_2 s + (1 - \beta_2) g^2, \quad
       u = \frac{m / (1 - \beta_1^k)}{\sqrt{s / (1 - \beta_2^k)} + \epsilon} $$

    Unchanged when all gradients are multiplied by the same positive number and ``eps`` is 0. With both betas 0
    and ``eps`` 0 it is signSGD, except at g = 0, where it is NaN.

    Args:
        grad: Gradient g, any shape.
        first: Average m of gradients before this step, shape of ``grad``; zeros before the first.
        second: Average s of squared gradients before this step, shape of ``grad``; zeros before the first.
        step: Number k of this step, counted from 1, for the bias correction.
        betas: Decay of the two averages, both in [0, 1).
        eps: Added to the root, in the unit of the gradient (as in torch.optim.Adam).

    Returns:
        The direction u (dimensionless), the new m and the new s.
    """
    beta1, beta2 = betas
    first = torch.lerp(first, grad, 1 - beta1)
    second = torch.addcmul(beta2 * second, grad, grad, value=1 - beta2)
    root = (second.sqrt() / math.sqrt(1 - beta2**step)).add_(eps)
    return (first / (1 - beta1**step)).div_(root), first, second
