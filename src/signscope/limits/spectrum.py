"""The mode form of a problem: eigenvalues, starting modes and noise sources of each optimizer's risk equation."""

import math
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.types import Matrix
from signscope.problems import LeastSquares
from signscope.problems.covariance import decomposed


@dataclass(frozen=True)
class Spectrum:
    """Modes of R = sum_j r_j for one preconditioner.

    Attributes:
        eigvals: lambda_j of S, ascending, shape (d,).
        start: r_j at time 0, shape (d,).
        sources: g_sj, shape (sources, d).
        eigvecs: q_j as columns, shape (d, d); None when S is diagonal (then q_j are unit vectors).
        scale: Diagonal of the map y = scale * v, shape (d,).
    """

    eigvals: Tensor
    start: Tensor
    sources: Tensor
    eigvecs: Tensor | None
    scale: Tensor


_ROWS_AT_ONCE = 256  # of Ksig: 4 MB at d = 2000, and enough for a product at full speed
_CACHE: "WeakKeyDictionary[LeastSquares, dict[str, Spectrum]]" = WeakKeyDictionary()


def spectrum(problem: LeastSquares, optimizer: str) -> Spectrum:
    """Spectrum of ``problem`` for ``optimizer``, computed once per problem and kept with it."""
    kept = _CACHE.setdefault(problem, {})
    if optimizer not in kept:
        kept[optimizer] = _BUILDERS[optimizer](problem)
    return kept[optimizer]


@equation("sheppard1899", "orthant probability")
def arcsine_matrix(cov: Matrix) -> Matrix:
    r"""Ksig, pi/2 times the covariance of the signs of a Gaussian row.

    $$ (K_\sigma)_{ij} = \arcsin\bigl(K_{ij} / \sqrt{K_{ii} K_{jj}}\bigr) $$

    Args:
        cov: K, shape (d, d), positive diagonal.

    Returns:
        Ksig, entries in [-pi/2, pi/2]. The diagonal is pi/2 exactly: arcsin has infinite slope at 1, so that
        rounding of the quotient alone would cost 1e-8.
    """
    return _arcsines(cov, cov.diagonal().rsqrt(), slice(0, len(cov)), slice(0, len(cov)))


def _arcsines(cov: Tensor, inverse: Tensor, rows: slice, columns: slice) -> Tensor:
    """A block of Ksig whose first row and column are the same coordinate, from K and 1 / standard deviations."""
    angles = (cov[rows, columns] * inverse[rows, None]).mul_(inverse[columns]).clamp_(-1, 1).arcsin_()
    angles.diagonal().fill_(math.pi / 2)
    return angles


def noise_matrices(problem: LeastSquares, optimizer: str) -> list[Tensor]:
    """N_s of equation (4.3), one per source, as (d, d) or as its diagonal (d,) in the basis of y."""
    cov = problem.cov
    if optimizer == "sgd":
        return [cov.diagonal() if cov.is_diagonal else cov.dense()]
    if optimizer == "signum":
        return noise_matrices(problem, "signsgd") + noise_matrices(problem, "adam")[:1]
    root = cov.diagonal().sqrt()
    if optimizer == "signsgd":
        if cov.is_diagonal:
            return [root * (math.pi / 2)]
        half = root.sqrt()
        return [arcsine_matrix(cov.dense()).mul_(half[:, None]).mul_(half)]
    if cov.is_diagonal:
        return [root, root]
    return [_outer_scaled(cov.dense(), root.rsqrt()), torch.diag(root)]


def _outer_scaled(matrix: Tensor, scale: Tensor) -> Tensor:
    return (matrix * scale[:, None]).mul_(scale)


@equation("xiao2024", "risk ODE, SGD modes")
def _sgd(problem: LeastSquares) -> Spectrum:
    cov, v = problem.cov, problem.displacement
    ones = torch.ones(cov.dim, dtype=torch.float64)
    if cov.is_diagonal:
        eigvals = cov.diagonal()
        return Spectrum(eigvals, 0.5 * eigvals * v**2, (eigvals**2)[None], None, ones)
    eigvals, eigvecs = cov.eigh()
    eigvals = eigvals.clamp(min=0)
    start = 0.5 * eigvals * (eigvecs.T @ v) ** 2
    return Spectrum(eigvals, start, (eigvals**2)[None], eigvecs, ones)


@equation("xiao2024", "risk ODE, signSGD modes")
def _signsgd(problem: LeastSquares) -> Spectrum:
    """S = D^-1/2 K D^-1/2 is similar to D^-1 K and symmetric: left and right eigenvectors come out together."""
    base = _preconditioned(problem)
    if base.eigvecs is None:
        return Spectrum(base.eigvals, base.start, (math.pi / 2 * base.eigvals**2)[None], None, base.scale)
    return Spectrum(base.eigvals, base.start, _sign_sources(problem, base)[None], base.eigvecs, base.scale)


@equation("signscope", "(9.1) modes of Adam at any beta2")
def _adam(problem: LeastSquares) -> Spectrum:
    base = _preconditioned(problem)
    squares = base.eigvals**2
    if base.eigvecs is None:
        return Spectrum(base.eigvals, base.start, torch.stack([squares, squares]), None, base.scale)
    root = problem.cov.diagonal().sqrt()
    own = base.eigvals * (base.eigvecs**2 * root[:, None]).sum(0)
    return Spectrum(base.eigvals, base.start, torch.stack([squares, own]), base.eigvecs, base.scale)


@equation("signscope", "modes of Signum")
def _signum(problem: LeastSquares) -> Spectrum:
    """The source of signSGD, then the first of Adam: as correlated as signs, and as the gradients."""
    base = spectrum(problem, "signsgd")
    return replace(base, sources=torch.stack([base.sources[0], base.eigvals**2]))


def _preconditioned(problem: LeastSquares) -> Spectrum:
    """Eigenvalues and start of S = D^-1/2 K D^-1/2, shared by signSGD and Adam; no sources yet."""
    kept = _CACHE.setdefault(problem, {})
    if "preconditioned" not in kept:
        cov, v = problem.cov, problem.displacement
        root = cov.diagonal().sqrt()
        nothing = torch.zeros(0, cov.dim, dtype=torch.float64)
        if cov.is_diagonal:
            kept["preconditioned"] = Spectrum(root, 0.5 * root**2 * v**2, nothing, None, root.sqrt())
        else:
            eigvals, eigvecs = decomposed(_outer_scaled(cov.dense(), root.rsqrt()))
            eigvals = eigvals.clamp(min=0)
            start = 0.5 * eigvals * (eigvecs.T @ (root.sqrt() * v)) ** 2
            kept["preconditioned"] = Spectrum(eigvals, start, nothing, eigvecs, root.sqrt())
    return kept["preconditioned"]


def _sign_sources(problem: LeastSquares, base: Spectrum) -> Tensor:
    """g_j = lambda_j q_j' N q_j, shape (d,), with N = D^1/2 Ksig D^1/2.

    Ksig is made and used some rows at a time, from the diagonal on: the rows stay in cache, the d x d matrix is
    never stored, and symmetry halves the product.
    """
    assert base.eigvecs is not None
    cov, inverse = problem.cov.dense(), problem.cov.diagonal().rsqrt()
    scaled = base.eigvecs * base.scale[:, None]
    forms = torch.zeros_like(base.eigvals)
    for first in range(0, problem.dim, _ROWS_AT_ONCE):
        rows, columns = slice(first, min(first + _ROWS_AT_ONCE, problem.dim)), slice(first, problem.dim)
        block = _arcsines(cov, inverse, rows, columns)
        block[:, : len(block)] *= 0.5  # both triangles of the square on the diagonal are here
        forms += (block @ scaled[columns]).mul_(scaled[rows]).sum(0)
    return 2 * base.eigvals * forms


_BUILDERS = {"sgd": _sgd, "signsgd": _signsgd, "adam": _adam, "signum": _signum}
