"""Stationary features on a line or a ring: Toeplitz and circulant covariances, multiplied by FFT."""

import math
from functools import cached_property
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.types import Vector
from signscope.problems.arrays import as_float64
from signscope.problems.covariance import DENSE_REACH
from signscope.problems.structured import Structured

_ROUNDING = 1e-10  # an eigenvalue this far below 0, against the largest one, is rounding


class Circulant(Structured):
    """Stationary features on a ring: K[i, j] = c[(j - i) mod d].

    Args:
        first_row: c, shape (d,), c[k] = c[d - k], with no negative Fourier coefficient.

    Raises:
        InvalidInput: Not a vector, not finite, not symmetric, a variance that is not positive, or a negative
            eigenvalue.

    Notes:
        A product costs O(d log d); eigenvalues are the Fourier coefficients, exact at any dimension.
    """

    def __init__(self, first_row: Any) -> None:
        self._row = _first_row("Circulant", first_row)
        mirrored = torch.cat([self._row[:1], self._row[1:].flip(0)])
        worst = (self._row - mirrored).abs()
        if not float(worst.max()) <= 1e-10 * float(self._row[0]):
            k = int(worst.argmax())
            raise InvalidInput(
                f"Circulant: `first_row` must satisfy c[k] = c[d - k], but c[{k}] = {float(self._row[k]):.6g} and "
                f"c[{len(self._row) - k}] = {float(mirrored[k]):.6g}."
            )
        self._spectrum = torch.fft.rfft(self._row).real
        if not float(self._spectrum.min()) >= -_ROUNDING * float(self._spectrum.max()):
            raise InvalidInput(
                f"Circulant: `first_row` has a negative Fourier coefficient, {float(self._spectrum.min()):.6g} (the "
                f"largest is {float(self._spectrum.max()):.6g}); no features have such a covariance."
            )

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self._row)

    @property
    def num_factors(self) -> int:
        """One standard normal number per coordinate."""
        return self.dim

    def diagonal(self) -> Vector:
        """The common variance, shape (d,)."""
        return self._row[0].repeat(self.dim)

    def matvec(self, v: Tensor) -> Tensor:
        """K v by FFT."""
        return _filtered(v, self._spectrum, self.dim)

    def colour(self, z: Tensor) -> Tensor:
        """``K^(1/2) z`` by FFT."""
        return _filtered(z, self._spectrum.clamp(min=0).sqrt(), self.dim)

    @cached_property
    def eigvals(self) -> Vector:
        """The Fourier coefficients, ascending; exact at any dimension."""
        return torch.fft.fft(self._row).real.clamp(min=0).sort().values

    @property
    def extremes(self) -> tuple[float, float]:
        """Smallest and largest Fourier coefficient."""
        return float(self.eigvals[0]), float(self.eigvals[-1])

    def squared_norm(self, scale: Vector | None = None) -> float | None:
        """Sum of squares of the entries of diag(scale) K diag(scale) for a constant ``scale``, else None."""
        factor = _constant(scale)
        return None if factor is None else float(self.dim * self._row.square().sum()) * factor**4

    def sign_matvec(self, v: Tensor) -> Tensor:
        """Ksig v, which is circulant again: exact."""
        return _filtered(v, torch.fft.rfft(_angles(self._row)).real, self.dim)


class Toeplitz(Structured):
    """Stationary features on a line: K[i, j] = c[|i - j|].

    Args:
        first_row: c, shape (d,); the symmetric Toeplitz matrix must be positive semi-definite.

    Raises:
        InvalidInput: Not a vector, not finite, a variance that is not positive, or a direction of negative
            variance.

    Notes:
        A product costs O(d log d), through a circulant matrix of twice the size. Rows are drawn from that matrix;
        where it has negative eigenvalues (slowly decaying c), `colour` needs dim <= 4,000.
    """

    def __init__(self, first_row: Any) -> None:
        self._row = _first_row("Toeplitz", first_row)
        self._length = int(next_fast_len(max(2 * len(self._row) - 1, 1), real=True) or 1)
        self._spectrum = self._embedded(self._row)
        self._embeds = float(self._spectrum.min()) >= -_ROUNDING * float(self._spectrum.max())
        if not self._embeds:
            self._check_positive()

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return len(self._row)

    @property
    def num_factors(self) -> int:
        """As many as the circulant matrix around K has coordinates; d where rows come from the matrix itself."""
        return self._length if self._embeds else self.dim

    def diagonal(self) -> Vector:
        """The common variance, shape (d,)."""
        return self._row[0].repeat(self.dim)

    def matvec(self, v: Tensor) -> Tensor:
        """K v by FFT."""
        return _filtered(v, self._spectrum, self._length)[..., : self.dim]

    def colour(self, z: Tensor) -> Tensor:
        """The first d coordinates of a stationary sequence on the larger ring."""
        if self._embeds:
            return _filtered(z, self._spectrum.clamp(min=0).sqrt(), self._length)[..., : self.dim]
        return z @ self._root.to(z)

    def squared_norm(self, scale: Vector | None = None) -> float | None:
        """Sum of squares of the entries of diag(scale) K diag(scale) for a constant ``scale``, else None."""
        factor = _constant(scale)
        if factor is None:
            return None
        counts = 2.0 * torch.arange(self.dim, 0, -1, dtype=torch.float64)
        counts[0] = self.dim
        return float((counts * self._row.square()).sum()) * factor**4

    def sign_matvec(self, v: Tensor) -> Tensor:
        """Ksig v, which is Toeplitz again: exact."""
        return _filtered(v, self._embedded(_angles(self._row)), self._length)[..., : self.dim]

    def _embedded(self, row: Tensor) -> Tensor:
        ring = torch.zeros(self._length, dtype=torch.float64)
        ring[: len(row)] = row
        if len(row) > 1:
            ring[-(len(row) - 1) :] = row[1:].flip(0)
        return torch.fft.rfft(ring).real

    @cached_property
    def _root(self) -> Tensor:
        if self.dim > DENSE_REACH:
            raise Unsupported(
                f"Toeplitz: rows of this covariance cannot be drawn at dim = {self.dim}: the circulant matrix around "
                f"it has negative eigenvalues, and its own root is formed up to dim = {DENSE_REACH} only. Predictions "
                "work; for a simulation let `first_row` fall to 0 more smoothly."
            )
        eigvals, eigvecs = self.eigh()
        return (eigvecs * eigvals.sqrt()) @ eigvecs.T


def _first_row(who: str, value: Any) -> Vector:
    row = as_float64(who, "first_row", value)
    if row.ndim != 1 or not len(row):
        raise InvalidInput(f"{who}: `first_row` must be a vector (d,), got shape {tuple(row.shape)}.")
    if not float(row[0]) > 0:
        raise InvalidInput(f"{who}: the variance first_row[0] must be above 0, got {float(row[0]):.6g}.")
    if not float(row.abs().max()) <= float(row[0]) * (1 + 1e-12):
        k = int(row.abs().argmax())
        raise InvalidInput(
            f"{who}: no covariance exceeds the variance {float(row[0]):.6g}, but first_row[{k}] = {float(row[k]):.6g}."
        )
    return row


def _filtered(v: Tensor, spectrum: Tensor, length: int) -> Tensor:
    """Circular convolution of ``v``, padded to ``length``, with the kernel whose Fourier coefficients are given."""
    gain = spectrum.to(device=v.device, dtype=v.dtype)
    return torch.fft.irfft(torch.fft.rfft(v, n=length) * gain, n=length)


def _angles(row: Tensor) -> Tensor:
    angles = (row / row[0]).clamp(-1, 1).arcsin()
    angles[0] = math.pi / 2
    return angles


def _constant(scale: Vector | None) -> float | None:
    if scale is None:
        return 1.0
    return float(scale[0]) if bool((scale == scale[0]).all()) else None
