"""Covariance operators from a few words, for problems too large for a matrix file."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.problems.covariance import Covariance
from signscope.problems.low_rank import DiagonalPlusLowRank
from signscope.problems.toeplitz import Circulant, Toeplitz

_SHARE = 0.2  # of the variance that common factors hold


def parse_operator(text: str, dim: int, *, own: Tensor | None = None, seed: int = 0) -> Covariance:
    """The covariance behind a text such as ``"low-rank:16"``.

    Forms: ``low-rank:RANK`` (own variances plus RANK common factors that hold a fifth of the variance),
    ``toeplitz:RHO`` (neighbours correlated RHO, falling as RHO^k) and ``circulant:LENGTH`` (a ring whose correlation
    falls as exp(-k/LENGTH)).

    Args:
        text: The form.
        dim: Number of coordinates d.
        own: Own variances of ``low-rank``, shape (d,); ones by default. The others have variance 1.
        seed: Seed of the loadings.

    Raises:
        InvalidInput: An unknown name, a parameter out of range, or ``own`` for a form that has none.
    """
    name, _, rest = text.strip().partition(":")
    if name not in _FORMS or not rest:
        forms = ", ".join(f"{key}:{word}" for key, (word, _) in _FORMS.items())
        raise InvalidInput(f"problem: unknown operator {text!r}. Use one of {forms}.")
    dim = checks.integer("problem", "dim", dim, minimum=2)
    value = checks.finite("problem", name, rest)
    if own is not None and name != "low-rank":
        raise InvalidInput(f"problem: {name} has variance 1 everywhere; leave out the spectrum.")
    return _FORMS[name][1](dim, value, torch.ones(dim, dtype=torch.float64) if own is None else own, seed)


def _low_rank(dim: int, rank: float, own: Tensor, seed: int) -> Covariance:
    count = checks.integer("problem", "low-rank", rank, minimum=1)
    if count > dim:
        raise InvalidInput(f"problem: low-rank:{count} needs at least {count} coordinates, got {dim}.")
    strength = np.linspace(1, 0.2, count)
    size = np.sqrt(_SHARE / (1 - _SHARE) * float(own.mean()) / (strength**2).sum())
    return DiagonalPlusLowRank(own, stream(seed, "loadings").standard_normal((dim, count)) * (size * strength))


def _toeplitz(dim: int, rho: float, own: Tensor, seed: int) -> Covariance:
    if not -1 < rho < 1:
        raise InvalidInput(f"problem: toeplitz needs a correlation between -1 and 1, got {rho:g}.")
    return Toeplitz(np.power(rho, np.arange(dim)))


def _circulant(dim: int, length: float, own: Tensor, seed: int) -> Covariance:
    length = checks.positive("problem", "circulant", length)
    lags = np.arange(dim)
    return Circulant(np.exp(-np.minimum(lags, dim - lags) / length))


_FORMS: dict[str, tuple[str, Callable[[int, float, Tensor, int], Covariance]]] = {
    "low-rank": ("RANK", _low_rank),
    "toeplitz": ("RHO", _toeplitz),
    "circulant": ("LENGTH", _circulant),
}
