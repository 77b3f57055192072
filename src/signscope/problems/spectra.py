"""Eigenvalue families for synthetic problems, and the two ways to place them: rotated or rescaled."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope._core.types import Vector
from signscope.problems.arrays import as_float64, as_vector
from signscope.problems.cost import computed
from signscope.problems.covariance import Dense, as_covariance


def constant(dim: int, *, value: float = 1.0) -> Vector:
    """``dim`` equal eigenvalues: isotropic data."""
    dim = checks.integer("constant", "dim", dim, minimum=1)
    return torch.full((dim,), checks.positive("constant", "value", value), dtype=torch.float64)


def log_spaced(dim: int, *, low: float, high: float) -> Vector:
    """``dim`` eigenvalues from ``low`` to ``high``, both included, equally spaced in the logarithm.

    Raises:
        InvalidInput: Not 0 < low <= high.
    """
    dim = checks.integer("log_spaced", "dim", dim, minimum=1)
    low, high = _ordered("log_spaced", low, high)
    step = torch.linspace(0, 1, dim, dtype=torch.float64)
    eigvals = low * (high / low) ** step
    eigvals[-1] = high if dim > 1 else low  # the power rounds
    return eigvals


def power_law(dim: int, *, exponent: float) -> Vector:
    """Eigenvalues j^(-exponent) for j = 1 to ``dim``, largest first; exponent 0 or more."""
    dim = checks.integer("power_law", "dim", dim, minimum=1)
    exponent = checks.non_negative("power_law", "exponent", exponent)
    return torch.arange(1, dim + 1, dtype=torch.float64) ** -exponent


def two_level(dim: int, *, low: float, high: float, share: float) -> Vector:
    """Eigenvalues ``low`` and ``high``, the share ``share`` of them high (at least one of each), ascending.

    Raises:
        InvalidInput: Not 0 < low <= high, ``share`` outside (0, 1), or fewer than two dimensions.
    """
    dim = checks.integer("two_level", "dim", dim, minimum=2)
    low, high = _ordered("two_level", low, high)
    share = checks.positive("two_level", "share", share)
    if not share < 1:
        raise InvalidInput(f"two_level: `share` (of eigenvalues that are high) must be below 1, got {share:g}.")
    num_high = min(max(round(share * dim), 1), dim - 1)
    return torch.cat([constant(dim - num_high, value=low), constant(num_high, value=high)])


def blocks(dim: int, *, scales: Sequence[float]) -> Vector:
    """Consecutive blocks of nearly equal size, one eigenvalue each: features measured in different units.

    Raises:
        InvalidInput: No scales, more scales than dimensions, or one that is not positive.
    """
    dim = checks.integer("blocks", "dim", dim, minimum=1)
    levels = torch.tensor([checks.positive("blocks", "scales", s) for s in scales], dtype=torch.float64)
    if not 1 <= len(levels) <= dim:
        raise InvalidInput(f"blocks: `scales` needs between 1 and dim = {dim} values, got {len(levels)}.")
    return levels[torch.arange(dim) * len(levels) // dim]


@equation("signscope", "quantiles of the Marchenko-Pastur law")
def marchenko_pastur(dim: int, *, ratio: float) -> Vector:
    r"""Quantiles of the Marchenko-Pastur law at (j - 1/2)/dim, ascending: the spectrum of pure-noise data.

    With x = (1-s)^2 + 4 s sin^2(theta/2), s^2 the ratio, theta in [0, pi], the distribution function is

    $$ F = \frac1\pi \Bigl[\theta + \Bigl(1 - \frac1{s^2}\Bigr)
           \arctan\frac{s \sin\theta}{1 - s\cos\theta} + \frac{\sin\theta}{s}\Bigr] $$

    Args:
        dim: Number of eigenvalues.
        ratio: Columns over rows d/n of the data it imitates, in (0, 1]; the mean eigenvalue is 1.

    Raises:
        InvalidInput: ``ratio`` outside (0, 1]: with fewer rows than columns K has zero eigenvalues.

    Notes:
        Bisection to the last bit of theta; the error of F is about 1e-16/ratio.
    """
    dim = checks.integer("marchenko_pastur", "dim", dim, minimum=1)
    ratio = checks.positive("marchenko_pastur", "ratio", ratio)
    if not ratio <= 1:
        raise InvalidInput(f"marchenko_pastur: `ratio` (columns over rows) must be at most 1, got {ratio:g}.")
    s = ratio**0.5
    level = (torch.arange(dim, dtype=torch.float64) + 0.5) / dim
    low, high = torch.zeros_like(level), torch.full_like(level, torch.pi)
    for _ in range(60):
        mid = (low + high) / 2
        below = _mp_cdf(mid, s) < level
        low, high = torch.where(below, mid, low), torch.where(below, high, mid)
    return (1 - s) ** 2 + 4 * s * torch.sin((low + high) / 4) ** 2


def rotated(eigvals: Any, seed: int = 0) -> Dense:
    """The covariance with these eigenvalues in a random orthogonal basis (Haar measure).

    Args:
        eigvals: Eigenvalues, shape (d,), none negative.
        seed: Names the basis; the global random state is not touched.

    Notes:
        O(d^3), five matrices at a time; what takes longer than a minute is announced. The diagonal becomes nearly
        constant: a diagonal preconditioner finds nothing to do.

    Raises:
        InvalidInput: A negative eigenvalue.
        Unsupported: The memory of this machine is too small.
    """
    levels = as_float64("rotated", "eigvals", eigvals)
    if levels.ndim != 1 or not len(levels) or not bool((levels >= 0).all()):
        raise InvalidInput("rotated: `eigvals` must be a vector of numbers that are 0 or more.")
    dim = len(levels)

    def matrix() -> Tensor:  # nothing of its size is held longer than needed
        basis = torch.linalg.qr(_normals(dim, seed)).Q  # Haar up to the signs of its columns: they cancel
        return (basis * levels) @ basis.T

    return Dense(
        computed(
            matrix,
            who=f"rotated: a random basis of {dim} coordinates",
            operations=6.0 * dim**3,
            numbers=5.0 * dim**2,
            advice="Without rotation, and with a structured covariance, so many coordinates take seconds; SGD's curve "
            "is the same in every basis.",
        )
    )


def _normals(dim: int, seed: int) -> Tensor:
    return torch.from_numpy(stream(seed, "rotation").standard_normal((dim, dim)))


def rescaled(cov: Any, scales: Any) -> Dense:
    """The covariance S K S of the same features in other units, S = diag(scales), all above 0."""
    cov = as_covariance(cov)
    factors = as_vector("rescaled", "scales", scales, dim=cov.dim)
    if not bool((factors > 0).all()):
        raise InvalidInput("rescaled: `scales` must all be above 0.")
    return Dense(cov.dense() * torch.outer(factors, factors))


def parse_spectrum(text: str, dim: int) -> Vector:
    """Eigenvalues from the text of a command line, such as ``"log:0.01,1"``.

    Forms: ``log:LOW,HIGH``, ``power-law:EXPONENT``, ``marchenko-pastur:RATIO``, ``two-level:LOW,HIGH,SHARE``,
    ``blocks:S1,S2,...``, ``constant:V``.

    Raises:
        InvalidInput: An unknown name, a wrong number of parameters, or one that is not a number in its range.
    """
    name, _, rest = text.strip().partition(":")
    if name not in _FORMS:
        forms = ", ".join(f"{key}:{words}" for key, (words, _) in _FORMS.items())
        raise InvalidInput(f"spectrum: unknown name {name!r} in {text!r}. Use one of {forms}.")
    words, build = _FORMS[name]
    parts = [checks.finite("spectrum", name, part.strip()) for part in rest.split(",") if part.strip()]
    if name != "blocks" and len(parts) != len(words.split(",")):
        raise InvalidInput(f"spectrum: {text!r} has {len(parts)} parameters, but the form is {name}:{words}.")
    return build(dim, *parts)


_FORMS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "log": ("LOW,HIGH", lambda dim, low, high: log_spaced(dim, low=low, high=high)),
    "power-law": ("EXPONENT", lambda dim, exponent: power_law(dim, exponent=exponent)),
    "marchenko-pastur": ("RATIO", lambda dim, ratio: marchenko_pastur(dim, ratio=ratio)),
    "two-level": (
        "LOW,HIGH,SHARE",
        lambda dim, low, high, share: two_level(dim, low=low, high=high, share=share),
    ),
    "blocks": ("S1,S2,...", lambda dim, *scales: blocks(dim, scales=scales)),
    "constant": ("V", lambda dim, value: constant(dim, value=value)),
}


def _mp_cdf(theta: Tensor, s: float) -> Tensor:
    sin, cos = torch.sin(theta), torch.cos(theta)
    angle = torch.atan2(s * sin, 1 - s * cos)
    return (theta + (1 - 1 / s**2) * angle + sin / s) / torch.pi


def _ordered(who: str, low: float, high: float) -> tuple[float, float]:
    low, high = checks.positive(who, "low", low), checks.positive(who, "high", high)
    if not low <= high:
        raise InvalidInput(f"{who}: `low` must not exceed `high`, got {low:g} and {high:g}.")
    return low, high
