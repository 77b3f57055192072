"""Standard normals into rows with a given covariance, written into a buffer."""

from collections.abc import Callable

import torch
from torch import Tensor

from signscope.problems import Covariance, Dense

_PANEL = 96  # columns per product: narrow enough to skip the zeros of a triangular factor, wide enough for BLAS

Colour = Callable[[Tensor, Tensor], None]


def colouring(cov: Covariance, *, dtype: torch.dtype, device: torch.device) -> Colour:
    """The function ``colour(z, out)`` that writes rows with covariance K into ``out``.

    ``z`` has shape (n, num_factors), ``out`` (n, dim); both contiguous, of the given dtype and device.

    Notes:
        A dense K is multiplied panel by panel, leaving out the zeros of its Cholesky factor (a third of the
        time at d = 500). Every other covariance uses its own `Covariance.colour`.
    """
    if not isinstance(cov, Dense):
        return lambda z, out: _copy(cov.colour(z), out)
    identity = torch.eye(cov.num_factors, dtype=torch.float64)
    factor = cov.colour(identity).to(dtype=dtype, device=device)  # L', (k, d)
    panels = _panels(factor)
    return lambda z, out: _multiply(z, panels, out)


def _panels(factor: Tensor) -> list[tuple[int, int, Tensor]]:
    """Pieces (first column, number of leading rows that are not all 0, the piece) of ``factor``."""
    pieces = []
    for start in range(0, factor.shape[1], _PANEL):
        piece = factor[:, start : start + _PANEL]
        used = int(piece.any(dim=1).nonzero().max()) + 1
        pieces.append((start, used, piece[:used].contiguous()))
    return pieces


def _multiply(z: Tensor, panels: list[tuple[int, int, Tensor]], out: Tensor) -> None:
    for start, used, piece in panels:
        torch.mm(z[:, :used], piece, out=out[:, start : start + piece.shape[1]])


def _copy(rows: Tensor, out: Tensor) -> None:
    out.copy_(rows)
