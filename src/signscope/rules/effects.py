"""The algorithms between SGD and signSGD on least squares, each with one more effect of taking signs."""

import math

import torch
from torch import Tensor

from signscope._core.equations import equation

EFFECTS = ("frozen_rate", "effective_rate", "compression", "preconditioner", "reshaping")
"""SGD at a frozen rate; at the effective rate; its drift compressed; preconditioned; its noise reshaped (signSGD)."""

PRECONDITIONED = "preconditioned_sgd"
"""SGD with drift and noise divided by the feature standard deviations, at the effective rate: beside the five."""


@equation("xiao2024", "effective learning rate")
def effective_scale(population_risk: Tensor, *, batch_size: int = 1) -> Tensor:
    r"""Factor by which SGD's gradient is scaled so that its noise has the size of signSGD's.

    $$ s(P) = \frac{2}{\pi}\sqrt{\frac{B}{2P}} $$

    Args:
        population_risk: P = R + E eps^2 / 2, above 0, any shape.
        batch_size: Rows per gradient, B.

    Returns:
        s in the shape of P; SGD with rate lr s(P) is the SGD that signSGD with rate lr is compared with.
    """
    return 2 / math.pi * torch.sqrt(batch_size / (2 * population_risk))


@equation("signscope", "discrete algorithms of the four effects")
def effect_direction(
    effect: str, grad: Tensor, mean_grad: Tensor, *, scale: Tensor, compression: Tensor, std: Tensor
) -> Tensor:
    r"""Direction of one of the algorithms between SGD and signSGD; the step is ``theta - step_size * direction``.

    | effect | direction |
    |---|---|
    | frozen_rate, effective_rate | $s\,g$ |
    | compression | $s\,(\psi \bar g + (g - \bar g))$ |
    | preconditioner | $s\,(\psi D^{-1}\bar g + (g - \bar g))$ |
    | reshaping | $\mathrm{sign}(g)$ |
    | preconditioned_sgd | $s\,D^{-1}g$ |

    The mean and the fluctuation of the gradient are scaled apart, so that an effect on the drift leaves the noise
    alone. Only a simulator knows the mean gradient: these are thought experiments made concrete.

    Args:
        effect: Its name.
        grad: g, shape (..., d).
        mean_grad: Kv, the expectation of g, shape (..., d).
        scale: s, shape (..., 1): at the first risk for ``frozen_rate``, at the present one otherwise.
        compression: psi at the present risk, shape (..., 1).
        std: Diagonal of D, shape (d,).

    Returns:
        Shape (..., d).
    """
    if effect == "reshaping":
        return torch.sign(grad)
    if effect == "compression":
        return scale * (grad + (compression - 1) * mean_grad)
    if effect == "preconditioner":
        return scale * (grad + (compression / std - 1) * mean_grad)
    return scale * (grad / std if effect == PRECONDITIONED else grad)
