"""Array types with shapes, used by pure tensor functions and checked in tests."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

Scalar: TypeAlias = Float[Tensor, ""]
Vector: TypeAlias = Float[Tensor, "d"]
Matrix: TypeAlias = Float[Tensor, "d d"]
Rows: TypeAlias = Float[Tensor, "n d"]

ArrayLike: TypeAlias = "Tensor | np.ndarray | Sequence[float] | float"
