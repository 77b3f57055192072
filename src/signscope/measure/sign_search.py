r"""Lower bounds on the l-infinity smoothness of a Hessian, by moves over sign vectors."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation

Product = Callable[[Tensor], Tensor]
_GAIN = 1e-6  # relative increase below which a search has arrived


@dataclass(frozen=True, eq=False)
class Found:
    """Where a search ended.

    Attributes:
        lipschitz: max of t'Hs found, a lower bound of L_lip.
        bregman: Largest |u'Hu| found with entries of u in [-1, 1], a lower bound of L_B.
        left: t, a sign vector.
        right: s, a sign vector.
        values: ||Hs||_1 along the way, increasing.
    """

    lipschitz: float
    bregman: float
    left: Tensor
    right: Tensor
    values: tuple[float, ...]


@equation("signscope", "l-infinity smoothness by moves over sign vectors")
def climb(product: Product, start: Tensor, *, num_iterations: int) -> Found:
    r"""Climb $\lVert Hs\rVert_1$ over sign vectors by $s \leftarrow \mathrm{sign}(Hs)$ from ``start``.

    $$ L_{lip} = \max_{s,t} t^\top H s = \max_s \lVert Hs\rVert_1, \qquad L_B = \max_{|u_i|\le 1} |u^\top H u|,
       \qquad L_B \le L_{lip} \le 2 L_B $$

    The value never falls for a symmetric H, and ends at a local maximum: a lower bound of the Lipschitz form. For the
    Bregman form u and w = (s + t)/2, (s - t)/2 are tried as well as s and t, so that its value is at least half of it.

    Args:
        product: H times a vector.
        start: A sign vector, shape (d,).
        num_iterations: Most moves; one product more is taken.
    """
    best: Found | None = None
    right, image = start, product(start)
    values = [float(image.abs().sum())]
    while best is None:
        left = torch.where(image == 0, right, torch.sign(image))
        last = len(values) >= num_iterations
        ahead = image if bool((left == right).all()) else product(left)
        value = float(ahead.abs().sum())
        if last or not value > values[-1] * (1 + _GAIN):
            best = Found(values[-1], _bregman(right, image, left, ahead), left, right, tuple(values))
        right, image = left, ahead
        values.append(value)
    return best


def _bregman(right: Tensor, right_image: Tensor, left: Tensor, left_image: Tensor) -> float:
    own, cross, other = (
        float(torch.dot(a, b)) for a, b in ((right, right_image), (left, right_image), (left, left_image))
    )
    return max(abs(own), abs(other), abs(own + 2 * cross + other) / 4, abs(own - 2 * cross + other) / 4)
