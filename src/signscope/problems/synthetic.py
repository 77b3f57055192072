"""Gaussian problems from a few words: a spectrum, a basis, a noise law."""

from typing import Any

from torch import Tensor

from signscope._core import checks
from signscope.problems import spectra
from signscope.problems.least_squares import LeastSquares


def gaussian_problem(
    dim: int,
    *,
    spectrum: str | Tensor = "log:0.01,1",
    rotated: bool = False,
    noise: Any = None,
    seed: int = 0,
    start: Any = None,
    target: Any = None,
) -> LeastSquares:
    """Least squares on Gaussian rows with a named spectrum: what ``signscope compare --problem gaussian`` runs.

    Args:
        dim: Number of coordinates d.
        spectrum: Text as in `parse_spectrum`, or eigenvalues of shape (d,).
        rotated: Whether the eigenvectors are a random orthogonal basis (of ``seed``) or the coordinates.
        noise: As in `LeastSquares`.
        seed: Seed of the basis and of the default target, which are independent.
        start: First iterate; zeros by default.
        target: Optimum; N(0, I/d) by default.

    Raises:
        InvalidInput: An unknown spectrum or noise, or a vector of the wrong length.
    """
    dim = checks.integer("gaussian_problem", "dim", dim, minimum=1)
    if isinstance(spectrum, str):
        eigvals = spectra.parse_spectrum(spectrum, dim)
    else:
        eigvals = spectra.as_vector("gaussian_problem", "spectrum", spectrum, dim=dim)
    cov = spectra.rotated(eigvals, seed) if rotated else eigvals
    return LeastSquares(cov, start=start, target=target, noise=noise, seed=seed)
