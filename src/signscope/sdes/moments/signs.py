"""Mean and covariance of the signs of a noisy gradient (section "one-step moments")."""

import math

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.problems.oracle_noise import GaussianNoise, GradientNoise, LawNoise

_ROOT_HALF = math.sqrt(0.5)
_RULES: dict[int, tuple[Tensor, Tensor]] = {}


@equation("compagnoni2024", "drift and diffusion of signSGD under Gaussian noise")
def gaussian_sign_moments(ratio: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of sign(z + xi), xi standard normal: erf(z / sqrt 2) and 1 - erf^2.

    Args:
        ratio: z = gradient over standard deviation, any shape.

    Returns:
        Both in the shape of ``ratio``. In float32 the variance is computed as q (2 - q) with q = erfc(|z| / sqrt 2):
        1 - erf^2 would be 4% off at z = 5 and 0 from 6 on. In float64 it is good to z = 8.
    """
    return erf_moments(checks.real("gaussian_sign_moments", "ratio", ratio) * _ROOT_HALF)


def erf_moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """erf(y) and 1 - erf(y)^2; in float32 as q (2 - q) with q = erfc|y|, in float64 right to y = 5 as it stands."""
    if y.dtype == torch.float64:
        mean = torch.erf(y)
        return mean, torch.addcmul(y.new_ones(()), mean, mean, value=-1)
    outside = torch.special.erfc(y.abs())
    mean = torch.copysign(1 - outside, y)
    return mean, outside.mul_(2 - outside)


@equation("compagnoni2024", "Xi_nu, drift of signSGD under Student-t noise")
def student_sign_mean(x: Tensor, dof: float) -> Tensor:
    r"""Xi_nu(x) = F_nu(x) - 1/2, half the mean sign of x + T with T Student-t of ``dof`` degrees of freedom.

    The distribution function itself: the form with Gamma and 2F1 overflows from dof = 343 on and can exceed 1/2.
    """
    from scipy.special import stdtr

    tail = torch.as_tensor(stdtr(dof, -x.double().abs().cpu().numpy()), dtype=torch.float64, device=x.device)
    return torch.copysign(0.5 - tail, x.double())


@equation("compagnoni2024", "drift and diffusion of signSGD under any noise")
def law_sign_moments(noise: LawNoise, grad: Tensor, time: float) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of sign(g) for independent coordinates of any law, with its atoms.

    $$ E = 1 - F(-y) - F(-y^-), \qquad \mathrm{Var} = P(g \ne 0) - E^2 $$
    """
    at_most = noise.cdf(-grad, time)
    if not noise.has_atoms:
        return (1 - 2 * at_most).to(grad), (4 * at_most * (1 - at_most)).to(grad)
    below = noise.cdf(torch.nextafter(-grad.double(), torch.tensor(-math.inf, dtype=torch.float64)), time)
    mean = 1 - at_most - below
    return mean.to(grad), ((1 - (at_most - below)) - mean.square()).clamp(min=0).to(grad)


def sign_moments(noise: GradientNoise, grad: Tensor, points: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of sign(g_i) per coordinate, shape of ``grad`` (n, dim)."""
    if isinstance(noise, GaussianNoise):
        return erf_moments(grad * (_ROOT_HALF / noise.std(points, time)))
    assert isinstance(noise, LawNoise)
    return law_sign_moments(noise, grad, time)


@equation("signscope", "covariance of two signs at non-zero gradient (Plackett)")
def sign_covariance(a: Tensor, b: Tensor, corr: Tensor, *, nodes: int = 20) -> Tensor:
    r"""Cov(sign(a + xi), sign(b + zeta)) for standard normals of correlation ``corr``.

    $$ C(a, b; \rho) = \frac2\pi \int_0^{\arcsin\rho}
       \exp\Bigl(-\frac{a^2 + b^2 - 2ab\sin s}{2\cos^2 s}\Bigr) ds $$

    Args:
        a: Gradient over standard deviation, any shape.
        b: The same for the other coordinate.
        corr: Correlation of the noise, in [-1, 1].
        nodes: Gauss-Legendre nodes; 20 give 1e-14 for |corr| < 0.95 and 6e-8 up to 0.999.

    Returns:
        C in the broadcast shape; (2/pi) arcsin(corr) at a = b = 0.
    """
    a, b, corr = (checks.real("sign_covariance", n, v) for n, v in (("a", a), ("b", b), ("corr", corr)))
    if nodes not in _RULES:
        x, w = np.polynomial.legendre.leggauss(nodes)
        _RULES[nodes] = torch.from_numpy(0.5 * (x + 1)), torch.from_numpy(w)
    x, w = (t.to(a) for t in _RULES[nodes])
    end = torch.arcsin(corr.clamp(-1, 1))[..., None]
    angle = end * x
    square = (a * a + b * b)[..., None] - 2 * (a * b)[..., None] * angle.sin()
    # at corr = +-1 the last nodes divide by almost 0: exp(-inf) = 0 is the limit there
    value = torch.exp(-square / (2 * angle.cos().square().clamp(min=torch.finfo(a.dtype).tiny)))
    return (value * w).sum(-1) * end[..., 0] / math.pi


def sign_covariance_matrix(ratio: Tensor, corr: Tensor, *, nodes: int = 20) -> Tensor:
    """Cov of all signs: ``ratio`` (..., d) and ``corr`` (..., d, d) give (..., d, d)."""
    ratio = checks.real("sign_covariance_matrix", "ratio", ratio)
    corr = checks.real("sign_covariance_matrix", "corr", corr).to(ratio)
    dim = ratio.shape[-1]
    rows, columns = torch.triu_indices(dim, dim, 1, device=ratio.device)
    pairs = sign_covariance(ratio[..., rows], ratio[..., columns], corr[..., rows, columns], nodes=nodes)
    matrix = torch.diag_embed(gaussian_sign_moments(ratio)[1])
    matrix[..., rows, columns] = pairs
    matrix[..., columns, rows] = pairs
    return matrix


def slope_at_zero(dof: float) -> float:
    """Density of Student-t at 0, p_nu(0); the mean sign has slope 2 p(0) there."""
    from scipy.special import gammaln

    return math.exp(gammaln((dof + 1) / 2) - gammaln(dof / 2)) / math.sqrt(math.pi * dof)
