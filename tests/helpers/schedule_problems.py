"""The problem of section 7 of the specification, and an isotropic one with closed forms."""

import math

import torch

from signscope import LeastSquares


def section_seven(noise="gaussian:0.1", dim=500) -> LeastSquares:
    """Diagonal K with eigenvalues logspace(-3, 0) and v_i^2 = 2/d."""
    variances = torch.logspace(-3, 0, dim, dtype=torch.float64)
    return LeastSquares(variances, start=torch.full((dim,), math.sqrt(2 / dim)), target=torch.zeros(dim), noise=noise)


def isotropic(noise, dim=200, risk=0.5) -> LeastSquares:
    """K = I, starting at the given risk."""
    start = torch.full((dim,), math.sqrt(2 * risk / dim), dtype=torch.float64)
    return LeastSquares(torch.ones(dim, dtype=torch.float64), start=start, target=torch.zeros(dim), noise=noise)
