r"""Phases of signSGD under Gaussian noise: where signs are certain, half certain, or nearly random."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput

CERTAIN, RANDOM = 1.5, 1.0
r"""Thresholds of $|Y|$, $Y = z/\sqrt2$ and z = gradient over noise std: phase 1 above the first, 3 below the second."""
REAL = math.sqrt(math.pi) / 2
"""Largest |Y| for which the linear model of phase 3 has a real diffusion, 0.886."""
_ROOT_HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Line:
    r"""Lines of equal slope below and above $|\mathrm{erf}|$ between two thresholds.

    Attributes:
        slope: m.
        secant: Intercept of the chord, below the curve.
        tangent: Intercept of the parallel tangent, above it.
    """

    slope: float
    secant: float
    tangent: float


@dataclass(frozen=True, eq=False)
class CoordinatePhases:
    """The phase of every coordinate.

    Attributes:
        ratio: Y = gradient / (std sqrt 2), signed, shape (d,).
        phase: 1, 2 or 3, shape (d,), int64.
    """

    ratio: Tensor
    phase: Tensor

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of coordinates in phases 1, 2 and 3."""
        one, two, three = (float((self.phase == k).double().mean()) for k in (1, 2, 3))
        return one, two, three

    @property
    def linear(self) -> Tensor:
        """Whether the linear model of phase 3 has a real diffusion there: |Y| < sqrt(pi)/2, shape (d,)."""
        return self.ratio.abs() < REAL

    def __str__(self) -> str:
        one, two, three = (f"{100 * share:.0f}%" for share in self.shares)
        return f"{one} of the coordinates in phase 1 (signs certain), {two} in phase 2, {three} in phase 3 (noise)"


@equation("compagnoni2024", "phases of SignSGD, thresholds in Y = z / sqrt 2")
def phases_of(grad: Tensor, std: Tensor) -> CoordinatePhases:
    r"""Phase of every coordinate: 1 where $|Y| > 3/2$, 3 where $|Y| < 1$, 2 between, $Y = \nabla f/(\sigma\sqrt2)$.

    With z in the place of Y the mean sign in "phase 1" would be as low as 0.866, not 0.966.

    Args:
        grad: Mean gradient, shape (d,).
        std: Noise standard deviation per coordinate, root of the diagonal of Sigma, shape (d,) or one number's.

    Raises:
        InvalidInput: A standard deviation is not above 0.
    """
    if not bool((std > 0).all()):
        raise InvalidInput(f"phases_of: `std` must be above 0 everywhere, got a least value of {float(std.min()):g}.")
    ratio = grad / std * _ROOT_HALF
    size = ratio.abs()
    return CoordinatePhases(ratio, 2 - (size > CERTAIN).long() + (size < RANDOM).long())


@equation("compagnoni2024", "line between the phases, m and q")
def phase_two_line(units: Literal["Y", "z"] = "Y") -> Line:
    r"""$m|Y| + q_{sec} \le |\mathrm{erf}(Y)| \le m|Y| + q_{tan}$ on [1, 3/2]: the chord and its parallel tangent.

    Args:
        units: "Y" (erf(Y), the thresholds' own), or "z" (erf(z / sqrt 2), the thresholds read as those of z).
    """
    checks.one_of("phase_two_line", "units", units, ("Y", "z"))
    scale = 1.0 if units == "Y" else _ROOT_HALF
    low, high = math.erf(RANDOM * scale), math.erf(CERTAIN * scale)
    slope = (high - low) / (CERTAIN - RANDOM)
    touch = math.sqrt(-math.log(slope * math.sqrt(math.pi) / (2 * scale)))  # Y at which erf has the slope
    return Line(slope, low - slope * RANDOM, math.erf(touch) - slope * touch / scale)


@equation("compagnoni2024", "spread of SignSGD in phase 2")
def phase_two_spread(time: float, *, lr: float, dim: int) -> float:
    r"""Bound $\eta\,t\,d\,(1 - \mathrm{erf}(1)^2)$ on tr Cov(X_t) of a separable loss, all mass in phase 2 until t.

    The factor t is needed; by Chebyshev, divided by a it bounds the probability of a squared distance above a.

    Args:
        time: t = lr * steps.
        lr: eta.
        dim: d.
    """
    who = "phase_two_spread"
    free = checks.non_negative(who, "time", time) * checks.positive(who, "lr", lr)
    return free * checks.integer(who, "dim", dim, minimum=1) * (1 - math.erf(RANDOM) ** 2)


@equation("compagnoni2024", "drift and diffusion of SignSGD in the three phases")
def phase_drift(grad: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    r"""What each phase takes for drift and variance per unit of time over lr, to be held against erf(Y), 1 - erf(Y)^2.

    Phase 1: the sign, without noise (drift at most 3.4% off, variance 0.067 missing). Phase 2: the chord (0.6% low
    at most by its tangent). Phase 3: $\sqrt{2/\pi}\,z$ and $1 - \tfrac2\pi z^2$; 2.1, 8.4, 19, 34% too fast at
    $|Y|$ = 0.25, 0.5, 0.75, 1, and negative variance beyond 0.886.

    Returns:
        Mean step against the gradient and variance, each (d,). A negative variance is returned as it is.
    """
    found, line = phases_of(grad, std), phase_two_line()
    y = found.ratio
    linear, chord = 2 / math.sqrt(math.pi) * y, torch.copysign(line.slope * y.abs() + line.secant, y)
    drift = torch.where(found.phase == 1, torch.sign(y), torch.where(found.phase == 2, chord, linear))
    return drift, 1 - drift.square()
