"""Exact solution of the linear flow dmu/dt = -(m + H(mu - mu_0)), dSigma/dt = -(H Sigma + Sigma H') + N.

H is diagonal (closed forms) or a general square matrix. For a matrix one short step comes from a Taylor series and
is then doubled: three matrix products a doubling, no eigenvectors (H need not have a well-conditioned basis), no
cancellation, for the integral of the noise is built as a sum of non-negative matrices.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.types import Matrix, Vector

DEGREE = 9  # of the Taylor series; with SHORT its relative error is below 1e-9
SHORT = 0.25  # largest norm of H times the short step
MAX_SINGLE = 8


@dataclass(frozen=True)
class Propagator:
    """The flow over one span of time.

    Attributes:
        decay: exp(-H h), shape (d, d), or its diagonal (d,).
        shift: Integral of exp(-H s) m over the span, shape (d,), or (d, k) for k drifts at once.
        added: Integral of exp(-H s) N exp(-H' s) over the span, shape (d, d).
    """

    decay: Tensor
    shift: Tensor
    added: Matrix

    def doubled(self) -> "Propagator":
        """The flow over twice the span."""
        grown = self._carried(self.added) + self.added
        if self.decay.ndim == 1:
            decayed = _along(self.decay, self.shift) * self.shift
            return Propagator(self.decay.square(), self.shift + decayed, grown)
        return Propagator(self.decay @ self.decay, self.shift + self.decay @ self.shift, grown)

    def variance(self, cov: Matrix) -> Matrix:
        """Sigma at the end of the span, made symmetric."""
        end = self._carried(cov) + self.added
        return 0.5 * (end + end.T)

    def _carried(self, cov: Matrix) -> Matrix:
        """exp(-H h) cov exp(-H' h)."""
        if self.decay.ndim == 1:
            return self.decay[:, None] * cov * self.decay
        return self.decay @ cov @ self.decay.T


def propagator(jacobian: Tensor, drift: Tensor, noise: Matrix, span: float, *, single: bool = False) -> Propagator:
    """The flow of ``jacobian`` H (matrix or diagonal), ``drift`` m and ``noise`` N over ``span``.

    Args:
        jacobian: H, shape (d, d), eigenvalues anywhere, or its diagonal (d,).
        drift: m, shape (d,), or several of them side by side, (d, k).
        noise: N, shape (d, d).
        span: Length of time.
        single: Whether float32 will do for a matrix; only taken up to MAX_SINGLE doublings, each of which doubles
            the rounding of the decay (to 10^-5 at most).

    Notes:
        Cost of a matrix: 15 + 3 log2(||H|| span / SHORT) products of d x d matrices.
    """
    if jacobian.ndim == 1:
        pairs = jacobian[:, None] + jacobian
        held = _held(jacobian, span)
        return Propagator(torch.exp(-span * jacobian), drift * _along(held, drift), noise * _held(pairs, span))
    reach = span * min(float(jacobian.abs().sum(0).max()), float(jacobian.abs().sum(1).max()))
    if not math.isfinite(reach):
        nothing = torch.full_like(jacobian, torch.nan)
        return Propagator(nothing, torch.full_like(drift, torch.nan), nothing)
    count = max(0, math.ceil(math.log2(reach / SHORT))) if reach > 0 else 0
    if single and count <= MAX_SINGLE:
        flow = _doubled(_short(jacobian.float(), drift.float(), noise.float(), span / 2**count), count)
        return Propagator(flow.decay.double(), flow.shift.double(), flow.added.double())
    return _doubled(_short(jacobian, drift, noise, span / 2**count), count)


def _doubled(flow: Propagator, count: int) -> Propagator:
    for _ in range(count):
        flow = flow.doubled()
    return flow


def _along(diagonal: Vector, columns: Tensor) -> Tensor:
    """``diagonal`` shaped so that it multiplies a vector, or every column of a matrix."""
    return diagonal if columns.ndim == 1 else diagonal[:, None]


def _held(rate: Tensor, span: float) -> Tensor:
    """Integral of exp(-rate s) over the span; rate may be zero."""
    safe = torch.where(rate.abs() * span > 1e-12, rate, 1.0)
    return torch.where(safe == rate, -torch.expm1(-safe * span) / safe, span)


def _short(jacobian: Matrix, drift: Tensor, noise: Matrix, span: float) -> Propagator:
    """The Taylor series; valid while the norm of ``jacobian`` times ``span`` is at most SHORT."""
    step = -span * jacobian
    shift, added = drift * span, noise * span
    shift_term, added_term = shift, added
    for k in range(2, DEGREE + 2):
        shift_term = step @ shift_term / k
        half = step @ added_term / k
        added_term = half + half.T
        shift, added = shift + shift_term, added + added_term
    return Propagator(_exponential(step), shift, added)


def _exponential(step: Tensor) -> Tensor:
    """Taylor polynomial of degree 9 of exp in four products (Paterson and Stockmeyer)."""
    eye = torch.eye(step.shape[0], dtype=step.dtype, device=step.device)
    square = step @ step
    cube = square @ step
    c = [1 / math.factorial(k) for k in range(DEGREE + 1)]
    low = c[0] * eye + c[1] * step + c[2] * square
    mid = c[3] * eye + c[4] * step + c[5] * square
    high = c[6] * eye + c[7] * step + c[8] * square + c[9] * cube
    return low + cube @ (mid + cube @ high)
