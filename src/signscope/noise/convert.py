"""`as_noise`: the noise law behind a ``noise=`` argument."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope.noise.cauchy import Cauchy
from signscope.noise.empirical import Empirical
from signscope.noise.gaussian import Gaussian
from signscope.noise.laplace import Laplace
from signscope.noise.law import NoiseLaw
from signscope.noise.none import NoNoise
from signscope.noise.scipy_discrete import ScipyDiscrete
from signscope.noise.scipy_law import ScipyLaw, check_frozen
from signscope.noise.stable import Stable
from signscope.noise.student_t import StudentT
from signscope.noise.uniform import Uniform


def as_noise(value: Any) -> NoiseLaw:
    """The noise law that ``value`` stands for.

    Args:
        value: None (no noise), a number (standard deviation of centred Gaussian noise; 0 is no noise), text such
            as ``"cauchy:2,1"`` (see `parse_noise`), a frozen law of scipy.stats, a vector of at least one finite
            number (each value equally likely), or a `NoiseLaw`.

    Raises:
        InvalidInput: None of these, or invalid numbers.
        Unsupported: A law whose density scipy does not compute accurately.
    """
    from signscope.noise.parse import parse_noise

    if value is None:
        return NoNoise()
    if isinstance(value, NoiseLaw):
        return value
    if isinstance(value, str):
        return parse_noise(value)
    if hasattr(value, "dist") and hasattr(value, "kwds"):
        return from_frozen(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        std = checks.non_negative("noise", "std", value)
        return Gaussian(std) if std > 0 else NoNoise()
    return _from_array(value)


def _from_array(value: Any) -> NoiseLaw:
    try:
        plain = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        array = np.asarray(plain)
        sample = torch.as_tensor(array.astype(np.float64)) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError):
        sample = None
    if sample is not None and sample.ndim == 0:
        return as_noise(float(sample))
    if sample is None or sample.ndim != 1:
        shape = f" of shape {tuple(sample.shape)}" if sample is not None else ""
        raise InvalidInput(
            f"noise: wanted None, a standard deviation, text, a frozen scipy.stats law, a vector of residuals or a "
            f"NoiseLaw, got {type(value).__name__}{shape}."
        )
    return Empirical(sample)


def from_frozen(frozen: Any) -> NoiseLaw:
    """The law of a frozen scipy.stats distribution: in closed form where there is one, else by quadrature."""
    if hasattr(frozen.dist, "pmf"):
        return ScipyDiscrete(frozen=frozen)
    check_frozen(frozen, method="pdf")
    shapes, loc, scale = frozen.dist._parse_args(*frozen.args, **frozen.kwds)
    closed = _CLOSED.get(frozen.dist.name)
    law = closed(*(float(v) for v in (*shapes, loc, scale))) if closed else None
    if law is None and frozen.dist.name == "levy_stable":
        raise Unsupported(
            "noise: of scipy.stats.levy_stable only symmetric laws around 0 are covered (beta = 0, loc = 0, "
            "alpha >= 0.1): scipy's density of the others is not accurate enough. Pass a sample of it instead."
        )
    return law if law is not None else ScipyLaw(frozen)


def _uniform(loc: float, scale: float) -> NoiseLaw | None:
    return Uniform(scale / 2) if abs(loc + scale / 2) <= 1e-15 * scale else None


def _stable(alpha: float, beta: float, loc: float, scale: float) -> NoiseLaw | None:
    symmetric = loc == 0 and (beta == 0 or alpha == 2)
    return Stable(alpha, scale) if symmetric and alpha >= 0.1 else None


_CLOSED: dict[str, Callable[..., NoiseLaw | None]] = {
    "norm": lambda loc, scale: Gaussian(scale, loc),
    "t": lambda dof, loc, scale: StudentT(dof, scale) if loc == 0 else None,
    "laplace": lambda loc, scale: Laplace(scale) if loc == 0 else None,
    "cauchy": lambda loc, scale: Cauchy(scale, loc),
    "uniform": _uniform,
    "levy_stable": _stable,
}
