"""Rules without memory: the direction depends on the current gradient alone."""

import torch
from torch import Tensor

from signscope._core.equations import equation


def sgd(grad: Tensor) -> Tensor:
    """Direction of SGD: the gradient itself; the step is ``theta - step_size * direction``.

    Args:
        grad: Gradient, any shape.

    Returns:
        ``grad`` (not a copy).
    """
    return grad


@equation("xiao2024", "signSGD update")
def signsgd(grad: Tensor) -> Tensor:
    """Direction of signSGD: the sign of every entry; the step is ``theta - step_size * direction``.

    Unchanged when the gradient, or one of its coordinates, is multiplied by a positive number.

    Args:
        grad: Gradient, any shape.

    Returns:
        -1, 0 or 1 in the shape and dtype of ``grad``; sign(0) is 0.
    """
    return torch.sign(grad)
