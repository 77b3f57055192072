"""What a bound needs to know about a problem."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.norms import density_of

_SLACK = 1 + 1e-9  # of sums rounded on the way to a constant
_LARGEST = 1e60  # and its inverse the smallest that is not noise: bounds multiply four constants
_OPTIONAL = ("sample_smoothness", "bregman", "noise_l2", "smoothness_l2")


@dataclass(frozen=True)
class Constants:
    r"""The constants of a problem in the l-infinity geometry.

    Attributes:
        initial_gap: $\Delta = f(x_0) - \inf f$, above 0.
        smoothness: $L$ with $\lVert\nabla f(x) - \nabla f(y)\rVert_1 \le L \lVert x - y\rVert_\infty$, above 0.
        noise_l1: $\sigma_1 = \sum_i \sigma_i$ with $E|g_i - \partial_i f|^2 \le \sigma_i^2$ per sample, 0 or more.
        sample_smoothness: $M = \sum_i M_i$ with $E|g_i(x;\xi) - g_i(y;\xi)|^2 \le M_i^2\lVert x - y\rVert_\infty^2$;
            ``smoothness`` when None (no multiplicative noise).
        bregman: $L_B$ with $|f(y) - f(x) - \langle\nabla f(x), y - x\rangle| \le \frac{L_B}2\lVert x-y\rVert_\infty^2$,
            between L/2 and L. It replaces L where descent alone is used; L when None, which is always safe.
        dim: Number of coordinates d; needed by the bounds of SGD.
        noise_l2: $\sigma_2 = (\sum_i\sigma_i^2)^{1/2}$, between $\sigma_1/\sqrt d$ and $\sigma_1$.
        smoothness_l2: $L_2$ with $\lVert\nabla f(x) - \nabla f(y)\rVert_2 \le L_2\lVert x - y\rVert_2$, between L/d and
            L; for a separable f the largest $L_i$.
        noise_curvature: $\sum_i\sigma_i\sqrt{L_i}$ of a separable f; None where f is not known to be separable.

    Raises:
        InvalidInput: A constant out of range (1e-60 to 1e60, for noise from 0), or two that cannot belong to the same
            problem.
    """

    initial_gap: float
    smoothness: float
    noise_l1: float = 0.0
    sample_smoothness: float | None = None
    bregman: float | None = None
    dim: int | None = None
    noise_l2: float | None = None
    smoothness_l2: float | None = None
    noise_curvature: float | None = None

    def __post_init__(self) -> None:
        checks.positive("Constants", "initial_gap", self.initial_gap)
        checks.positive("Constants", "smoothness", self.smoothness)
        checks.non_negative("Constants", "noise_l1", self.noise_l1)
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                (checks.non_negative if name == "noise_l2" else checks.positive)("Constants", name, value)
        if self.noise_curvature is not None:
            checks.non_negative("Constants", "noise_curvature", self.noise_curvature)
        for name in ("initial_gap", "smoothness", "noise_l1", *_OPTIONAL, "noise_curvature"):
            if getattr(self, name) is not None:
                moderate(
                    "Constants", name, getattr(self, name), least=0.0 if name.startswith("noise") else 1 / _LARGEST
                )
        if self.dim is not None:
            checks.integer("Constants", "dim", self.dim, minimum=1)
        dim = math.inf if self.dim is None else self.dim
        _between("bregman", self.bregman, self.smoothness / 2, self.smoothness, "smoothness/2 and smoothness")
        root = self.noise_l1 / math.sqrt(dim)
        _between("noise_l2", self.noise_l2, root, self.noise_l1, "noise_l1/sqrt(dim) and noise_l1")
        _between("smoothness_l2", self.smoothness_l2, self.smoothness / dim, self.smoothness, "L/dim and L")

    @classmethod
    def separable(
        cls,
        initial_gap: float,
        smoothness: Sequence[float],
        *,
        noise: Sequence[float] | float = 0.0,
        sample_smoothness: float | None = None,
    ) -> "Constants":
        r"""Constants of a sum of one-dimensional functions.

        $$ L = \sum_i L_i, \quad \sigma_1 = \sum_i\sigma_i, \quad \sigma_2^2 = \sum_i\sigma_i^2, \quad
           L_2 = \max_i L_i $$

        Args:
            initial_gap: $\Delta$.
            smoothness: $L_i$ of every coordinate, 0 or more.
            noise: $\sigma_i$ of every coordinate, or one number for all.
            sample_smoothness: $M$.

        Raises:
            InvalidInput: Lists of different lengths, or a negative entry.
        """
        curves = [checks.non_negative("Constants.separable", "smoothness", v) for v in smoothness]
        each = [noise] * len(curves) if isinstance(noise, int | float) else noise
        noises = [checks.non_negative("Constants.separable", "noise", v) for v in each]
        if len(curves) != len(noises):
            raise InvalidInput(
                f"Constants.separable: `noise` must have one entry per coordinate, got {len(noises)} for "
                f"{len(curves)} entries of `smoothness`."
            )
        return cls(
            initial_gap,
            math.fsum(curves),
            math.fsum(noises),
            sample_smoothness,
            dim=len(curves),
            noise_l2=math.hypot(*noises),
            smoothness_l2=max(curves, default=0.0),
            noise_curvature=math.fsum(s * math.sqrt(c) for s, c in zip(noises, curves, strict=True)),
        )

    @property
    def mean_squared(self) -> float:
        """M, which is L where it was not given."""
        return self.smoothness if self.sample_smoothness is None else self.sample_smoothness

    @property
    def descent(self) -> float:
        """The constant of the descent inequality: L_B where it was given, else L."""
        return self.smoothness if self.bregman is None else self.bregman

    @property
    def ceiling(self) -> float:
        r"""$\sqrt{2 L \Delta}$, the largest l1 norm the gradient can have at the start."""
        return math.sqrt(2 * self.descent * self.initial_gap)

    @property
    def noise_density(self) -> float | None:
        r"""$\phi(\sigma) = \sigma_1^2/(d\sigma_2^2)$ in [1/d, 1]; None where d or sigma_2 is unknown or 0."""
        if self.dim is None or not self.noise_l2:
            return None
        return density_of(self.noise_l1, self.noise_l2, self.dim)

    @property
    def curvature_density(self) -> float | None:
        r"""$\psi = L/(d L_2)$ in [1/d, 1]; None where d or $L_2$ is unknown."""
        if self.dim is None or self.smoothness_l2 is None:
            return None
        return self.smoothness / (self.dim * self.smoothness_l2)


def moderate(who: str, name: str, value: float, *, least: float = 1 / _LARGEST) -> float:
    """``value`` as a float whose powers in the bounds are floats too, or `InvalidInput`."""
    number = checks.finite(who, name, value) if least == 0 else checks.positive(who, name, value)
    if not least <= number <= _LARGEST:
        raise InvalidInput(
            f"{who}: `{name}` must lie between {least:g} and {_LARGEST:g}, got {number:g}; measure in another unit."
        )
    return number


def _between(name: str, value: float | None, low: float, high: float, words: str) -> None:
    """Raise unless ``value`` is None or lies in [low, high] up to rounding."""
    if value is not None and not low / _SLACK <= value <= high * _SLACK:
        raise InvalidInput(
            f"Constants: `{name}` must lie between {words}, here {low:.6g} and {high:.6g}, got {value:.6g}. "
            "These constants cannot belong to one problem; measure them again."
        )
