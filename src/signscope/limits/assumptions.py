"""What the limits of high dimension assume of a problem, measured: couplings, alignment, the bounds of spectra."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope.limits.coefficients import Setting, signum_moments
from signscope.limits.spectrum import arcsine_matrix, spectrum
from signscope.noise import batch_factor
from signscope.problems import LeastSquares
from signscope.problems.covariance import Covariance

DENSE_REACH = 1500  # beyond this dimension no d x d matrix is formed or decomposed
COLUMNS, DRAWN, FEWEST = 64, 16, 4  # of the resolvent, looked at beyond EVERY_COLUMN, DENSE_REACH, many dimensions
MANY = 250_000  # dimensions from which fewer columns are drawn
EVERY_COLUMN = 500
ANGLES = 5  # of the upper half of the circle, ends included; the lower half is its mirror image
_NOT_LINEAR, _FALLEN = 0.25, 0.5  # error of the mean step, and fall of the risk, from which it is said
SATURATED = 0.1
"""Share of Signum's mean step at the start that saturated signs may take; the risk is then up to 5% off."""
_FEW = 5  # coordinates: below, what else is of order 1 / dim counts as much
TERMS, REST = 24, 1e-2  # most terms of the Neumann series; what it may leave out, in units of d^-1/2
_TOL = 1e-3  # relative, of an extreme eigenvalue found by products alone


@dataclass(frozen=True)
class SpectrumBounds:
    """Ends of the spectrum of a covariance.

    Attributes:
        low: Smallest eigenvalue.
        high: Largest eigenvalue.
        rank: Number of eigenvalues above rounding; None where only products were used.
        exact: Whether all eigenvalues were computed; if not, ``high`` is accurate to 0.1% and ``low`` is an upper
            bound of the smallest eigenvalue.
    """

    low: float
    high: float
    rank: int | None
    exact: bool

    @property
    def condition_number(self) -> float:
        """Largest over smallest eigenvalue; infinite where the smallest is 0 to rounding."""
        floor = np.finfo(float).eps * self.high
        return self.high / self.low if self.low > floor else math.inf


def spectrum_bounds(cov: Covariance) -> SpectrumBounds:
    """Smallest and largest eigenvalue of K; by Lanczos beyond 1500 dimensions."""
    if cov.is_diagonal or cov.dim <= DENSE_REACH:
        eigvals, rank = cov.eigvals, cov.rank
        low = float(eigvals[0]) if rank == cov.dim else 0.0
        return SpectrumBounds(low, float(eigvals[-1]), rank, True)
    low, high = _ends(cov.matvec, cov.dim)
    return SpectrumBounds(max(low, 0.0), high, None, False)


@equation("xiao2024", "operator norm of Ksig")
def sign_noise_norm(cov: Covariance) -> float:
    r"""Operator norm of Ksig = arcsin(D^-1 K D^-1), pi/2 times the covariance of the signs of a row.

    Between pi/2 (independent signs) and d pi/2 (all signs equal). The theory wants it bounded as d grows: else the
    noise of a sign step lies in few directions.

    Notes:
        Lanczos, relative accuracy 0.1%. Beyond 1500 dimensions the value of the linearisation C + (pi/2 - 1) I,
        C the correlation matrix; the norm itself lies above it by at most the norm of arcsin(C) - C less pi/2 - 1.
    """
    if cov.is_diagonal:
        return math.pi / 2
    if cov.dim <= DENSE_REACH:
        matrix = arcsine_matrix(cov.dense())
        return _ends(lambda v: v @ matrix, cov.dim, both=False)[1]
    inverse = cov.diagonal().rsqrt()
    return _ends(lambda v: inverse * cov.matvec(inverse * v), cov.dim, both=False)[1] + math.pi / 2 - 1


@equation("xiao2024", "delocalisation of the resolvent")
def strongest_coupling(problem: LeastSquares) -> float:
    r"""Largest off-diagonal entry of the resolvent of Kbar = D^-1 K, on a circle around its spectrum.

    $$ \max_{|z| = 2\|\bar K\|} \max_{i \ne j} \bigl| z\,(\bar K - z)^{-1}_{ij} \bigr| $$

    with the spectral radius for the norm. The factor z makes it dimensionless; it is 0 for a diagonal K. The
    theory of sign methods wants it of order d^(-1/2).

    Notes:
        Five angles of the half circle. Up to 500 dimensions every entry; beyond, the columns of the 64 most
        correlated coordinates (up to 1500) or of 16 drawn ones (4 from 250,000), by a Neumann series of at most 24
        terms.
    """
    cov = problem.cov
    if cov.is_diagonal or cov.dim < 2:
        return 0.0
    angles = [complex(math.cos(a), math.sin(a)) for a in np.linspace(0, math.pi, ANGLES)]
    if cov.dim > DENSE_REACH:
        return _neumann_coupling(cov, angles)
    modes = spectrum(problem, "adam")  # the eigenvectors of D^-1/2 K D^-1/2, shared with signSGD
    assert modes.eigvecs is not None
    vectors, eigvals, scale = modes.eigvecs.numpy(), modes.eigvals.numpy(), modes.scale.numpy()
    columns = np.arange(cov.dim) if cov.dim <= EVERY_COLUMN else _most_correlated(cov)
    radius, worst = 2 * float(eigvals[-1]), 0.0
    for angle in angles:
        weights = radius * angle / (eigvals - radius * angle)
        chosen = vectors[columns].T
        size = np.hypot((vectors * weights.real) @ chosen, (vectors * weights.imag) @ chosen)
        worst = max(worst, _off_diagonal(size * scale[None, columns] / scale[:, None], columns))
    return worst


def participation(problem: LeastSquares, optimizer: str) -> float | None:
    r"""Number of eigenvectors that share the risk at the start, $(\sum_j r_j)^2 / \sum_j r_j^2$.

    The eigenvectors are those of K for SGD, of D^-1/2 K D^-1/2 for signSGD and Adam. None where they are out of
    reach (beyond 1500 dimensions, K not diagonal) or the start is the optimum.
    """
    if not problem.cov.is_diagonal and problem.dim > DENSE_REACH:
        return None
    shares = spectrum(problem, "sgd" if optimizer == "sgd" else "adam").start
    total = float(shares.sum())
    return total**2 / float(shares.square().sum()) if total > 0 else None


@equation("signscope", "exact drift of signs against its linearisation")
def linearisation_error(problem: LeastSquares, *, batch_size: int = 1) -> float:
    r"""Relative error of the predicted speed of sign descent at the start, from its largest single cause.

    The limit takes E sign(g_i) as linear in the correlation of coordinate i with the residual. Exactly, for Gaussian
    residuals of the same slope, with $\rho_i$ that correlation and T_B Student's distribution function,

    $$ E\,\mathrm{sign}(g_i) = 2\,T_B\bigl(\sqrt B\,\rho_i / \sqrt{1-\rho_i^2}\bigr) - 1
       \quad\text{against}\quad \tfrac2\pi c_B\,\rho_i $$

    (B = 1: arcsin against its argument). Both are averaged over coordinates with weights $|(Kv)_i|$.

    Returns:
        (exact - linear) / linear: above 0 where single coordinates carry the residual, below 0 where a large batch
        makes signs certain. 0 at the optimum.
    """
    from scipy.special import stdtr

    cov, v = problem.cov, problem.displacement
    pull = cov.matvec(v).abs()
    risk = problem.excess_risk(problem.start)
    if not float(risk) > 0:
        return 0.0
    slope = float(problem.noise.phi(risk, batch_size=batch_size))
    factor = float(batch_factor(batch_size)) * 2 / math.pi
    linear = slope * pull / cov.diagonal().sqrt()
    rho = (linear / factor).clamp(max=1 - 1e-12)
    exact = 2 * stdtr(batch_size, (math.sqrt(batch_size) * rho / (1 - rho**2).sqrt()).numpy()) - 1
    return float((pull * torch.from_numpy(exact)).sum() / (pull * linear).sum()) - 1


@equation("signscope", "exact drift of Signum against its linearisation")
def saturation(problem: LeastSquares, setting: Setting) -> float:
    r"""Relative error of the predicted speed of Signum at the start, 0 or less.

    With q_i the mean over the standard deviation of coordinate i of the average,
    $E\,\mathrm{sign}(m_i) = 2\Phi(q_i) - 1$ against $\sqrt{2/\pi}\,q_i$, both averaged over coordinates with weights
    $|(Kv)_i|$. 0 at the optimum.
    """
    from scipy.special import ndtr

    risk = problem.excess_risk(problem.start)
    if not float(risk) > 0:
        return 0.0
    pull = problem.cov.matvec(problem.displacement).abs()
    linear = signum_moments(problem, setting)(risk)[0] * pull / problem.cov.diagonal().sqrt()
    exact = 2 * torch.from_numpy(ndtr((math.sqrt(math.pi / 2) * linear).numpy())) - 1
    return float((pull * exact).sum() / (pull * linear).sum()) - 1


def saturated_start(problem: LeastSquares, setting: Setting) -> str:
    """Why a curve of Signum is inaccurate: too few coordinates carry the residual; empty where enough do."""
    error = -saturation(problem, setting)
    if not error > SATURATED:
        return ""
    return (
        f"at the start the mean step of Signum is {100 * error:.2g}% shorter than the linear theory says, as few of "
        f"the {problem.dim} coordinates carry the residual and their signs saturate. Use a smaller momentum or batch, "
        "or trust the simulation."
    )


def aligned_start(problem: LeastSquares, *, batch_size: int, risk: Tensor) -> str:
    """Why a curve of signSGD with the values ``risk`` is inaccurate: its descent is one of few coordinates; or empty.

    The signs' linear theory is then wrong while the risk falls, by a tenth to several times of it. A run in which noise
    fills the other coordinates soon is none of these: its risk does not fall by half.
    """
    seen = risk[torch.isfinite(risk)]
    if not len(seen) or not float(seen.min()) < _FALLEN * float(problem.excess_risk(problem.start)):
        return ""
    error = linearisation_error(problem, batch_size=batch_size)
    if not error * (1 + _FEW / problem.dim) > _NOT_LINEAR:
        return ""
    return (
        f"at the start the mean step of the signs is {100 * error:.2g}% longer than the linear theory says, as few of "
        f"the {problem.dim} coordinates carry the residual, and the risk falls by these steps. Trust the simulation."
    )


def _neumann_coupling(cov: Covariance, angles: list[complex]) -> float:
    """The same by products alone: z (Kbar - z)^-1 = -sum_k (Kbar / z)^k."""
    inverse = cov.diagonal().rsqrt()
    half = inverse.sqrt()
    radius = 2 * _ends(lambda v: half * cov.matvec(half * v), cov.dim, both=False)[1]
    phases = np.angle(np.array(angles))[:, None] * np.arange(1, TERMS)  # of z^-k, conjugated
    worst = 0.0
    drawn = min(DRAWN if cov.dim < MANY else FEWEST, cov.dim)
    for column in stream(0, "resolvent").choice(cov.dim, size=drawn, replace=False):
        power = torch.zeros(cov.dim, dtype=torch.float64)
        power[int(column)] = 1.0
        powers: list[np.ndarray] = []
        # D^1/2 (Kbar / |z|)^k e_j at least halves with every k, so that its norm bounds what is left out
        while len(powers) < TERMS - 1 and float(half.max() * (power / half).norm()) > REST * cov.dim**-0.5:
            power = inverse * cov.matvec(power) / radius
            powers.append(power.numpy())
        terms, turns = np.stack(powers), phases[:, : len(powers)]
        size = np.hypot(np.cos(turns) @ terms, np.sin(turns) @ terms)
        size[:, column] = 0.0
        worst = max(worst, float(size.max()))
    return worst


def _most_correlated(cov: Covariance) -> np.ndarray:
    """Coordinates with the largest correlation to another one."""
    inverse = cov.diagonal().rsqrt()
    size = (cov.dense() * inverse[:, None]).mul_(inverse).abs_().fill_diagonal_(0.0)
    return size.amax(0).topk(COLUMNS).indices.numpy()


def _off_diagonal(size: np.ndarray, columns: np.ndarray) -> float:
    """Largest entry of ``size`` (d, columns) off the diagonal of the square matrix it is cut from."""
    size[columns, np.arange(len(columns))] = 0.0
    return float(size.max())


def _ends(product: Callable[[Tensor], Tensor], dim: int, *, both: bool = True) -> tuple[float, float]:
    """Smallest (NaN unless ``both``) and largest eigenvalue of a symmetric matrix given by its products."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    def apply(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(np.ascontiguousarray(v.ravel()))).numpy()

    if dim < 3:
        matrix = np.stack([apply(column) for column in np.eye(dim)])
        eigvals = np.linalg.eigvalsh(matrix)
        return float(eigvals[0]), float(eigvals[-1])
    operator = LinearOperator((dim, dim), matvec=apply, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = stream(0, "lanczos").standard_normal(dim)
    options = {"k": 1, "v0": start, "tol": _TOL, "return_eigenvectors": False}
    high = float(eigsh(operator, which="LA", **options)[0])
    if not both:
        return math.nan, high
    try:
        return float(eigsh(operator, which="SA", maxiter=40, **options)[0]), high
    except ArpackNoConvergence:
        quotient = float(start @ apply(start)) / float(start @ start)  # an upper bound, if a poor one
        return quotient, high
