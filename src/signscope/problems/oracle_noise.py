"""The noise Z of a stochastic gradient g = grad f + Z: Gaussian of any covariance, or any law per coordinate."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise import Gaussian, NoiseLaw, NoNoise, StudentT, as_noise
from signscope.problems.arrays import as_float64

Scale = Callable[[float], float]


class GradientNoise(ABC):
    """Noise of the gradient at points (n, dim) and times (lr*steps), independent from step to step.

    Attributes:
        dim: Number of coordinates.
        batch_size: Draws that one gradient averages.
        scale: Factor on the noise as a function of time (lr*steps); None is 1 at all times.
    """

    is_gaussian: bool
    is_diagonal: bool
    depends_on_point = False

    def __init__(self, dim: int, *, batch_size: int = 1, scale: Scale | None = None) -> None:
        self.dim = checks.integer("noise", "dim", dim, minimum=1)
        self.batch_size = checks.integer("noise", "batch_size", batch_size, minimum=1)
        self.scale = scale

    def factor(self, time: float) -> float:
        """What multiplies one unit of noise at ``time``: scale(t) / sqrt(batch size)."""
        size = 1.0 if self.scale is None else float(self.scale(time))
        if not (size >= 0 and math.isfinite(size)):
            raise InvalidInput(f"noise: `scale` must be 0 or more and finite, but it is {size:g} at time {time:g}.")
        return size / math.sqrt(self.batch_size)

    @abstractmethod
    def has_moment(self, order: float) -> bool:
        """Whether E |Z_i|^order is finite."""

    @abstractmethod
    def variance(self, points: Tensor, time: float) -> Tensor:
        """Diagonal of Cov Z, shape (dim,) or (n, dim)."""

    @abstractmethod
    def coloured(self, normals: Tensor, points: Tensor, time: float) -> Tensor:
        """Sigma^(1/2) times standard normals (n, dim)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray | None:
        """Raw numbers of one step, to be passed to `shaped`; None where they are standard normals."""

    @abstractmethod
    def shaped(self, raw: Tensor, points: Tensor, time: float) -> Tensor:
        """Z (n, dim) from raw numbers (n, dim)."""

    @abstractmethod
    def effective_std(self, points: Tensor, time: float) -> Tensor:
        r"""$\sqrt{2/\pi} / (2 p(0))$ per coordinate: the Gaussian std with the same slope of the mean sign at 0."""

    @abstractmethod
    def placed(self, dtype: torch.dtype, device: torch.device) -> "GradientNoise":
        """This noise with its own numbers in ``dtype`` on ``device``."""


class GaussianNoise(GradientNoise):
    """Z ~ N(0, Sigma).

    Args:
        dim: Number of coordinates.
        std: Standard deviations of independent coordinates, a number or (dim,).
        cov: Covariance instead: a matrix (dim, dim), or a torch function from one point (dim,) to the variances (dim,)
            or the covariance (dim, dim) there.
        batch_size: Draws that one gradient averages; Sigma is divided by it.
        scale: Factor on the standard deviation as a function of time (lr*steps).
    """

    is_gaussian = True

    def __init__(
        self, dim: int, *, std: Any = None, cov: Any = None, batch_size: int = 1, scale: Scale | None = None
    ) -> None:
        super().__init__(dim, batch_size=batch_size, scale=scale)
        if (std is None) == (cov is None):
            raise InvalidInput("GaussianNoise: give either `std` or `cov`.")
        self.depends_on_point = callable(cov)
        self._std: Tensor | None = None
        self._root = self._square_root = None
        if callable(cov):
            self._cov: Any = torch.func.vmap(cov)
            self.is_diagonal = torch.as_tensor(cov(torch.zeros(dim, dtype=torch.float64))).ndim == 1
        elif std is not None:
            found = _by_coordinate("GaussianNoise", "std", std, dim)
            if not bool((found >= 0).all()):
                raise InvalidInput("GaussianNoise: `std` must be 0 or more.")
            self._cov, self._std, self.is_diagonal = found.square(), found, True
        else:
            self._set_matrix(as_float64("GaussianNoise", "cov", cov))

    def _set_matrix(self, cov: Tensor) -> None:
        if tuple(cov.shape) != (self.dim, self.dim) or not bool((cov - cov.T).abs().max() <= 1e-10 * cov.abs().max()):
            raise InvalidInput(f"GaussianNoise: `cov` must be symmetric ({self.dim}, {self.dim}).")
        self.is_diagonal = not bool((cov - torch.diag(cov.diagonal())).any())
        if self.is_diagonal:
            cov = cov.diagonal().clone()
            if not bool((cov >= 0).all()):
                raise InvalidInput("GaussianNoise: `cov` has a negative variance.")
            self._cov, self._std = cov, cov.sqrt()
            return
        self._cov, self._root, self._square_root = cov, _root(cov), _root(2 * cov * cov)

    def has_moment(self, order: float) -> bool:
        """All moments exist."""
        return True

    def covariance(self, points: Tensor, time: float) -> Tensor:
        """Cov Z: variances (dim,) or (n, dim) where it is diagonal, else (dim, dim) or (n, dim, dim)."""
        unit = self._cov(points) if self.depends_on_point else self._cov
        factor = self.factor(time) ** 2
        return unit if factor == 1 else unit * factor

    def unit_covariance(self) -> Tensor:
        """Sigma of one draw at scale 1, (dim,) where it is diagonal, else (dim, dim); not for noise that moves."""
        assert not self.depends_on_point
        return self._cov

    def variance(self, points: Tensor, time: float) -> Tensor:
        """Diagonal of the covariance."""
        cov = self.covariance(points, time)
        return cov if self.is_diagonal else cov.diagonal(dim1=-2, dim2=-1)

    def std(self, points: Tensor, time: float) -> Tensor:
        """Root of the variances."""
        if self._std is None:
            return self.variance(points, time).clamp(min=0).sqrt()
        factor = self.factor(time)
        return self._std if factor == 1 else self._std * factor

    def coloured(self, normals: Tensor, points: Tensor, time: float) -> Tensor:
        """Sigma^(1/2) normals; the symmetric root for a constant matrix, Cholesky's for one that moves."""
        if self.is_diagonal:
            return self.std(points, time) * normals
        if self._root is not None:
            return normals @ self._root * self.factor(time)
        return _triangular(self.covariance(points, time), normals)

    def coloured_squares(self, normals: Tensor, points: Tensor, time: float) -> Tensor:
        """(2 Sigma o Sigma)^(1/2) normals: the fluctuation of Z^2, o = entrywise product."""
        if self.is_diagonal:
            return math.sqrt(2) * self.variance(points, time) * normals
        if self._square_root is not None:
            return normals @ self._square_root * self.factor(time) ** 2
        return _triangular(2 * self.covariance(points, time).square(), normals)

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> None:
        """Nothing: raw numbers are standard normals."""

    def shaped(self, raw: Tensor, points: Tensor, time: float) -> Tensor:
        """Sigma^(1/2) times the standard normals."""
        return self.coloured(raw, points, time)

    def effective_std(self, points: Tensor, time: float) -> Tensor:
        """The standard deviation itself."""
        return self.std(points, time)

    def placed(self, dtype: torch.dtype, device: torch.device) -> "GaussianNoise":
        """A copy with its covariance in ``dtype`` on ``device``."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(other, name, value.to(dtype=dtype, device=device))
        return other


class LawNoise(GradientNoise):
    """Independent coordinates Z_i = scales_i eps_i with eps_i from one law.

    Args:
        law: The law of eps: a `NoiseLaw`, a frozen law of scipy.stats, or text as `signscope.noise.parse_noise` reads.
        dim: Number of coordinates.
        scales: Positive factors, a number or (dim,).
        scale: Factor on the noise as a function of time (lr*steps).
    """

    is_gaussian = False
    is_diagonal = True

    def __init__(self, law: Any, dim: int, *, scales: Any = 1.0, scale: Scale | None = None) -> None:
        super().__init__(dim, scale=scale)
        self.law: NoiseLaw = as_noise(law)
        self.scales = _by_coordinate("LawNoise", "scales", scales, dim)
        if not bool((self.scales > 0).all()):
            raise InvalidInput("LawNoise: `scales` must be above 0.")
        self.has_atoms = _has_atoms(self.law)
        self._unit = self.law.variance

    def has_moment(self, order: float) -> bool:
        """As the law."""
        return self.law.has_moment(order)

    def variance(self, points: Tensor, time: float) -> Tensor:
        """scales^2 times the law's variance."""
        return (self.scales * self.factor(time)).square() * self._unit

    def coloured(self, normals: Tensor, points: Tensor, time: float) -> Tensor:
        """Standard deviations times normals."""
        return self.variance(points, time).sqrt() * normals

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
        """Draws of the law."""
        return self.law.sample(size, rng)

    def shaped(self, raw: Tensor, points: Tensor, time: float) -> Tensor:
        """The draws times the scales."""
        return raw * (self.scales * self.factor(time))

    def cdf(self, values: Tensor, time: float) -> Tensor:
        """P(Z_i <= values_i) in float64."""
        unit = values.double() / (self.scales.double() * self.factor(time))
        if isinstance(self.law, StudentT):  # quicker than its mixture of Gaussians, and exact in the tails
            from scipy.special import stdtr

            found = stdtr(self.law.dof, unit.cpu().numpy() / self.law.scale)
            return torch.as_tensor(found, dtype=torch.float64, device=values.device)
        return self.law.cdf(unit)

    def effective_std(self, points: Tensor, time: float) -> Tensor:
        """Infinite where the density at 0 vanishes, 0 at an atom."""
        density = self.law.density_at_zero
        slope = math.sqrt(2 / math.pi) / (2 * density) if density > 0 else math.inf
        return self.scales * self.factor(time) * slope

    def placed(self, dtype: torch.dtype, device: torch.device) -> "LawNoise":
        """A copy with its scales in ``dtype`` on ``device``."""
        other = copy(self)
        other.scales = self.scales.to(dtype=dtype, device=device)
        return other


def as_gradient_noise(who: str, noise: Any, dim: int) -> GradientNoise:
    """The noise behind a ``noise=`` argument.

    Args:
        who: For messages.
        noise: A `GradientNoise`; a number (standard deviation of Gaussian noise), a vector (dim,) of them, a covariance
            (dim, dim) or a torch function that gives one (see `GaussianNoise`); or a law per coordinate: a `NoiseLaw`,
            a frozen law of scipy.stats, or its text.
        dim: Number of coordinates.

    Raises:
        InvalidInput: None of these.
    """
    if isinstance(noise, GradientNoise):
        if noise.dim != dim:
            raise InvalidInput(f"{who}: `noise` has {noise.dim} coordinates, the loss has {dim}.")
        return noise
    if noise is None:
        return GaussianNoise(dim, std=0.0)
    if isinstance(noise, str | NoiseLaw) or (hasattr(noise, "dist") and hasattr(noise, "kwds")):
        law = as_noise(noise)
        if isinstance(law, NoNoise):
            return GaussianNoise(dim, std=0.0)
        if isinstance(law, Gaussian) and law.centre == 0:
            return GaussianNoise(dim, std=law.std)
        return LawNoise(law, dim)
    if callable(noise):
        return GaussianNoise(dim, cov=noise)
    found = as_float64(who, "noise", noise)
    if found.ndim == 2:
        return GaussianNoise(dim, cov=found)
    if found.ndim == 1 and len(found) != dim:
        raise InvalidInput(f"{who}: `noise` as a vector needs {dim} standard deviations, got {len(found)}.")
    return GaussianNoise(dim, std=found)


def _by_coordinate(who: str, name: str, value: Any, dim: int) -> Tensor:
    """``value``, a number or a vector, as a vector of its own (dim,)."""
    found = as_float64(who, name, value)
    if tuple(found.shape) not in ((), (1,), (dim,)):
        raise InvalidInput(f"{who}: `{name}` must be a number or have shape ({dim},), got {tuple(found.shape)}.")
    return found.expand(dim).clone()


def _has_atoms(law: NoiseLaw) -> bool:
    try:
        law.pdf(torch.zeros(1, dtype=torch.float64))
    except Unsupported:
        return True
    return False


def _root(cov: Tensor) -> Tensor:
    """The symmetric root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(cov)
    if not bool(values.min() >= -1e-10 * values.max()):
        raise InvalidInput(
            f"GaussianNoise: `cov` must be positive semi-definite, its smallest eigenvalue is {values.min():.3g}."
        )
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _triangular(cov: Tensor, normals: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(cov)
    if bool(failed.any()):
        raise InvalidInput("GaussianNoise: `cov` is not positive definite at a point that a path visited.")
    return (factor @ normals[..., None])[..., 0]
