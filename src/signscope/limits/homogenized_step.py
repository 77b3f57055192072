"""The homogenized SDE of an optimizer in eigen-coordinates: its drift, its diffusion factors, one step of it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope.integrate.collocation import Coefficients
from signscope.limits.coefficients import Setting, coefficients, memory_rate
from signscope.limits.gaussian import risk_scale
from signscope.limits.spectrum import noise_matrices, spectrum
from signscope.problems import LeastSquares
from signscope.schedules import Schedule

_LARGEST = 4000  # coordinates of a covariance that is not diagonal
_SILENT = 1e-13  # of the largest variance: below, rounding
_DIAGONAL = 1e-11  # off-diagonal entries below this share of the largest entry are rounding


@dataclass(frozen=True)
class ModeSde:
    r"""The SDE of the coordinates c = Q'y of y (y = v for SGD, D^(1/2) v for signSGD and Adam).

    $$ dc_j = -\tfrac{\alpha}{2}\lambda_j c_j\,dt + \sum_s \sqrt{2 b_s}\,(F_s\,dW_s)_j, \qquad
       F_s F_s' = Q'N_sQ, \qquad R = \tfrac12\sum_j \lambda_j c_j^2 $$

    with the scalars alpha, b_s of the risk equation, functions of the path's own R.

    Attributes:
        eigvals: lambda_j, shape (d,).
        start: c at time 0, shape (d,).
        factors: F_s, shape (d, d), or (d,) where F_s is diagonal.
        strength: sum_j g_sj with g_sj = lambda_j (Q'N_sQ)_jj, shape (sources,).
        pace: sum_j lambda_j g_sj / sum_j g_sj, the mean eigenvalue at which noise is forgotten, shape (sources,).
        coefficients: (time, risk, memory, lanes) -> (alpha, b).
        memory_rate: rho of Adam's second moment, per unit time; None where it has no lag.
        second_moment: E eps^2.
        scale: A typical risk.
        eigvecs: Q, shape (d, d); None for the identity.
        root: Diagonal of the map y = root * v, shape (d,).
        inverse: (Q'NQ)^-1, shape (d, d) or (d,); only with the diffusion of one update of signSGD.
    """

    eigvals: Tensor
    start: Tensor
    factors: tuple[Tensor, ...]
    strength: Tensor
    pace: Tensor
    coefficients: Coefficients
    memory_rate: float | None
    second_moment: float
    scale: float
    eigvecs: Tensor | None
    root: Tensor
    inverse: Tensor | None = None

    def risk(self, modes: Tensor) -> Tensor:
        """R of every path, shape (p,), for ``modes`` c of shape (p, d)."""
        return 0.5 * (modes.square() @ self.eigvals)

    def displacement(self, modes: Tensor) -> Tensor:
        """V = theta - target of every path, shape (p, d)."""
        y = modes if self.eigvecs is None else modes @ self.eigvecs.T
        return y / self.root

    def shocks(self, normals: Tensor) -> Tensor:
        """F_s z_s for standard normal ``normals`` of shape (..., sources, d)."""
        parts: list[Tensor] = []
        for factor, z in zip(self.factors, normals.unbind(-2), strict=True):
            parts.append(z * factor if factor.ndim == 1 else z @ factor.T)
        return torch.stack(parts, dim=-2)

    def scalars(self, time: float, risk: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Alpha, shape (p,), and b, shape (p, sources)."""
        lanes = torch.zeros(len(risk), dtype=torch.long)
        at = torch.full((len(risk), 1), time, dtype=risk.dtype)
        floor = 1e-30 * self.scale
        told = None if memory is None else memory[:, None].clamp(min=2 * floor)
        alpha, force = self.coefficients(at, risk[:, None].clamp(min=floor), told, lanes)
        return alpha[:, 0], force[:, 0]


@equation("xiao2024", "signHSGD, HSGD, homogenized Adam (3.1)-(3.3)")
def mode_sde(problem: LeastSquares, setting: Setting, schedule: Schedule, *, diffusion: str = "homogenized") -> ModeSde:
    r"""The homogenized SDE of ``setting.optimizer`` in the eigenbasis of S.

    $$ d\Theta = -\eta\varphi_B \bar K(\Theta-\theta^*)dt + \eta\sqrt{2K_\sigma/(\pi d)}\,dW, \qquad
       d\Theta = -\eta K(\Theta-\theta^*)dt + \eta\sqrt{2PK/(dB)}\,dW $$

    for signSGD and SGD; Adam has two constants per risk (see ``docs/theory/adam.md``), which tend to (3.3) as
    beta2 tends to 1.

    With ``diffusion="update"`` the noise of signSGD is the covariance of one update at the path's own displacement,
    $\tfrac2\pi K_\sigma - \varphi^2\bar Kvv'\bar K'$: one direction less. That changes the mean by O(1/d) alone, and
    the spread of R at leading order.

    Raises:
        Unsupported: A covariance of more than 4,000 coordinates that is not diagonal; the diffusion of one
            update for any setting but signSGD at batch size 1.

    Notes:
        One eigendecomposition; for signSGD one factorisation of N besides. SGD's and Adam's main noise are diagonal
        in this basis, because it is that of their drift.
    """
    if problem.dim > _LARGEST and not problem.cov.is_diagonal:
        raise Unsupported(
            f"homogenized_paths: needs all eigenvectors of the covariance, and dim = {problem.dim} is beyond "
            f"{_LARGEST}. Use predict for the mean, or a diagonal covariance."
        )
    if diffusion == "update" and (setting.kernel != "signsgd" or setting.batch_size > 1):
        raise Unsupported(
            "homogenized_paths: diffusion 'update' is known for signsgd at batch_size 1 alone; use 'homogenized', "
            "whose mean is the same."
        )
    modes = spectrum(problem, setting.kernel)
    y0 = modes.scale * problem.displacement
    rates = schedule(torch.zeros((), dtype=torch.float64)).detach()
    scale = risk_scale(problem, 0.0 if setting.optimizer == "sgd" else float(rates))
    factors = tuple(_factor(n, modes.eigvecs) for n in noise_matrices(problem, setting.kernel))
    return ModeSde(
        eigvals=modes.eigvals,
        start=y0 if modes.eigvecs is None else modes.eigvecs.T @ y0,
        factors=factors,
        strength=modes.sources.sum(1),
        pace=(modes.sources * modes.eigvals).sum(1) / modes.sources.sum(1),
        coefficients=coefficients(problem, setting, schedule, scale=scale),
        memory_rate=memory_rate(setting, problem),
        second_moment=problem.noise.second_moment,
        scale=scale,
        eigvecs=modes.eigvecs,
        root=modes.scale,
        inverse=_inverse(factors[0]) if diffusion == "update" else None,
    )


def _factor(noise: Tensor, eigvecs: Tensor | None) -> Tensor:
    """F with FF' = Q'NQ: a vector where that is diagonal, else a Cholesky factor or, if singular, a root."""
    if eigvecs is None:
        return noise.sqrt()
    inside = eigvecs.T @ (noise @ eigvecs)
    inside = (inside + inside.T) / 2
    diagonal = inside.diagonal()
    if float((inside - torch.diag(diagonal)).abs().max()) <= _DIAGONAL * float(diagonal.abs().max()):
        return diagonal.clamp(min=0).sqrt()
    factor, failed = torch.linalg.cholesky_ex(inside)
    if not int(failed):
        return factor
    eigvals, vectors = torch.linalg.eigh(inside)
    return vectors * eigvals.clamp(min=0).sqrt()


def _inverse(factor: Tensor) -> Tensor:
    """(FF')^-1, as a vector where F is one; 0 in directions without noise, which no mean step has either."""
    if factor.ndim == 1:
        square = factor.square()
        return torch.where(square > _SILENT * square.max(), 1 / square.clamp(min=1e-300), torch.zeros_like(square))
    return torch.linalg.pinv(factor @ factor.T, hermitian=True, rtol=_SILENT)


@equation("signscope", "exponential midpoint step of the homogenized SDE")
def step(
    sde: ModeSde, modes: Tensor, memory: Tensor | None, time: float, length: float, shocks: Tensor
) -> tuple[Tensor, Tensor | None]:
    r"""Coordinates and memory after ``length``, with alpha and b frozen at the risk half-way.

    $$ c_j \leftarrow e^{-z_j} c_j + \sum_s \sqrt{2 b_s h\,\tfrac{1-e^{-2z_j}}{2z_j}}\;(F_s\xi_s)_j,
       \qquad z_j = \tfrac12\alpha\lambda_j h $$

    Args:
        sde: The equation.
        modes: c, shape (p, d), one row per path.
        memory: Unnormalised average u of 2P, shape (p,), or None.
        time: Start of the step, in steps/dim.
        length: h, in steps/dim.
        shocks: F_s xi_s with standard normal xi, shape (p, sources, d).

    Returns:
        New c and u.

    Notes:
        Under frozen scalars the mean and the variance of every mode, hence E R, are exact, for stiff modes too;
        correlations between modes differ from the exact ones by O((alpha h (lambda_j - lambda_k))^2). Half-way, b is
        that of the expected risk (noise must not look ahead), alpha that of the geometric mean of the path's risks
        at both ends. The weak error is O(h^2) + O(h/d): see ``docs/theory/homogenized.md``.
    """
    square = modes.square()
    risk = 0.5 * (square @ sde.eigvals)
    speed = 0.5 * (square @ sde.eigvals.square()) / risk.clamp(min=1e-300)
    alpha, force = sde.scalars(time, risk, _average(sde, memory, time))
    half = 0.5 * length
    kept = risk * torch.exp(-alpha * speed * half)
    middle = kept + half * (force * _relaxed(alpha[:, None] * half * sde.pace) * sde.strength).sum(1)
    at_middle = _remembered(sde, memory, risk, middle, half)
    alpha, force = sde.scalars(time + half, middle, _average(sde, at_middle, time + half))
    if sde.inverse is not None:
        shocks = _without_mean(sde, modes, alpha, force, shocks)
    pushed = ((2 * length * force).clamp(min=0).sqrt()[:, None, :] @ shocks).squeeze(1)
    moved = _moved(sde, modes, alpha, length, pushed)
    between = (risk * sde.risk(moved)).sqrt()  # what the path itself did: only the drift may know of it
    alpha, _ = sde.scalars(time + half, between, _average(sde, at_middle, time + half))
    moved = _moved(sde, modes, alpha, length, pushed)
    return moved, _remembered(sde, memory, risk, sde.risk(moved), length)


def _without_mean(sde: ModeSde, modes: Tensor, alpha: Tensor, force: Tensor, shocks: Tensor) -> Tensor:
    """Shocks whose covariance is the second moment of signs less the square of their mean.

    A shock's component along m = lambda c, in the metric of N^-1, is shrunk so that the variance lost is that of the
    mean step.
    """
    assert sde.inverse is not None
    mean = sde.eigvals * modes
    dual = mean * sde.inverse if sde.inverse.ndim == 1 else mean @ sde.inverse
    size = (mean * dual).sum(1).clamp(min=1e-300)
    lost = (0.5 * alpha).square() / len(sde.eigvals) / (2 * force[:, 0]).clamp(min=1e-300) * size
    shrink = 1 - (1 - lost.clamp(max=1)).sqrt()
    part = (shocks[:, 0] * dual).sum(1) / size
    return shocks - ((shrink * part)[:, None] * mean)[:, None]


def _moved(sde: ModeSde, modes: Tensor, alpha: Tensor, length: float, pushed: Tensor) -> Tensor:
    """Modes after ``length`` at a frozen alpha."""
    z = (0.5 * length) * alpha[:, None] * sde.eigvals
    return torch.exp(-z) * modes + _relaxed(2 * z).sqrt_() * pushed


def _relaxed(z: Tensor) -> Tensor:
    """(1 - exp(-z)) / z for z >= 0."""
    z = z.clamp(min=1e-12)
    return -torch.expm1(-z) / z


def first_memory(sde: ModeSde, num_paths: int) -> Tensor | None:
    """The memory at time 0: nothing is averaged yet."""
    return None if sde.memory_rate is None else torch.zeros(num_paths, dtype=torch.float64)


def _average(sde: ModeSde, memory: Tensor | None, time: float) -> Tensor | None:
    """Bias-corrected average w = u / (1 - exp(-rho t)); None at t = 0, where it is 2P itself."""
    if memory is None or sde.memory_rate is None or time <= 0:
        return None
    return memory / -math.expm1(-sde.memory_rate * time)


def _remembered(sde: ModeSde, memory: Tensor | None, first: Tensor, last: Tensor, length: float) -> Tensor | None:
    """The solution u of u' = rho (2P - u) over ``length``, with P linear in between."""
    if memory is None or sde.memory_rate is None:
        return None
    span = sde.memory_rate * length
    gone = -math.expm1(-span)
    start, rise = 2 * first + sde.second_moment, 2 * (last - first)
    return (1 - gone) * memory + gone * start + (1 - gone / span) * rise
