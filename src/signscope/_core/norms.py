"""How evenly a vector is spread over its coordinates, from its norms."""

import math

from signscope._core.equations import equation


@equation("tao2026", "density of a vector")
def density_of(l1: float, l2: float, dim: int) -> float:
    r"""Density $\phi(v) = \lVert v\rVert_1^2 / (d \lVert v\rVert_2^2)$, in [1/d, 1]; NaN for the zero vector.

    1 where all entries are equal in size, 1/d for a single entry. The density of one Gaussian vector is 2/pi; that of
    the standard deviations of isotropic Gaussian noise is 1.

    Args:
        l1: Norm l1 of the vector.
        l2: Norm l2 of the vector.
        dim: Its dimension d.
    """
    return (l1 / l2) ** 2 / dim if l2 > 0 else math.nan
