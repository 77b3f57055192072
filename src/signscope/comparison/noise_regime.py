"""Whether noise dominates, as far as a measurement of the signal-to-noise ratio can tell."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import moderate

Status = Literal["assumed", "inside", "borderline", "outside", "not resolved"]
SMALL = 0.3
"""|z| up to which the mean sign is linear in the gradient to 1.5%, and normalised steps to 4.4%."""
LARGE = math.sqrt(2)
"""|z| at which phase 3 ends, where the linear model is 34% off."""
_MOST = 0.9
_LARGEST = 1e60
_GRID = 60  # levels of |z| looked at, ten per decade below 1e3


@dataclass(frozen=True)
class Regime:
    """How far the assumption that noise dominates is known to hold.

    Attributes:
        status: "assumed" (nothing was measured), "inside", "borderline", "outside", or "not resolved" (the measurement
            is too coarse to tell).
        ratio: |z| = gradient over noise std of a batch, exceeded by one coordinate in ten at most; NaN if not known.
        resolution: Standard error of every measured |z|; 0 for a number that was given.
        text: The finding in words.
    """

    status: Status
    ratio: float
    resolution: float
    text: str


def noise_regime(who: str, measured: Any, *, batch_size: float | None, factor: float, averaging: float = 1.0) -> Regime:
    """Judge |z| of the batches that the rule has to hold for.

    Args:
        who: For messages.
        measured: None, a number (|z| of a typical coordinate at ``batch_size``), or a `NoiseReport` (anything with
            ``phases_at(batch_size)`` and ``batch_size``).
        batch_size: Of the run that is moved; None: that of the measurement.
        factor: |z| of the new run over that of the old.
        averaging: By how much momentum lowers the noise that matters.
    """
    if measured is None:
        return Regime(
            "assumed", math.nan, 0.0, "No signal-to-noise ratio was given: the regime is assumed, not checked."
        )
    if hasattr(measured, "phases_at"):
        ratio, resolution = _from_report(measured, batch_size)
    else:
        ratio, resolution = _given(who, measured), 0.0
    if math.isnan(ratio):
        return Regime("not resolved", ratio, resolution, "The report counts no coordinate with noise.")
    seen = ratio * factor / averaging
    status = "inside" if seen <= SMALL else "borderline" if seen <= LARGE else "outside"
    if status != "inside" and ratio <= 2.5 * resolution:  # pure noise alone would look like this
        status = "not resolved"
    return Regime(status, ratio, resolution, _said(status, ratio, seen, resolution))


def _given(who: str, measured: Any) -> float:
    """The ratio as a number whose products with others are numbers, too."""
    ratio = checks.non_negative(who, "signal_to_noise", measured)
    if ratio and not 1 / _LARGEST <= ratio <= _LARGEST:
        raise InvalidInput(
            f"{who}: `signal_to_noise` must be 0 or lie between {1 / _LARGEST:g} and {_LARGEST:g}, got {ratio:g}."
        )
    return ratio


def _from_report(report: Any, batch_size: float | None) -> tuple[float, float]:
    """The |z| that nine coordinates in ten stay below at ``batch_size``, and the standard error of |z| there."""
    own = checks.positive("signal_to_noise", "batch_size", report.batch_size)
    batch = own if batch_size is None else batch_size
    resolution = float(getattr(report, "resolution", 0.0)) * math.sqrt(batch / own)
    for step in range(_GRID + 1):
        level = 10 ** (-3 + step / 10)
        share = report.phases_at(batch * (LARGE / level) ** 2)[2]  # phase 3 there is |z| < level here
        if math.isnan(share):
            return math.nan, resolution
        if share >= _MOST:
            return level, resolution
    return math.inf, resolution


def _said(status: Status, ratio: float, seen: float, resolution: float) -> str:
    head = f"Measured |z| about {ratio:.2g}, {seen:.2g} where the rule needs it small"
    if status == "inside":
        return f"{head}: noise dominates."
    if status == "not resolved":
        return (
            f"{head}, but ratios below {2.5 * resolution:.2g} cannot be told from noise by this measurement: use more "
            "batches. Until then the regime is assumed."
        )
    if status == "borderline":
        return f"{head} (up to {SMALL:g}): the rule is roughly right."
    return f"{head}: the gradient is as large as the noise or larger, and the rule does not apply."


def positive_ratio(regime: Regime) -> bool:
    """Whether a speed can be computed from the measured ratio."""
    return math.isfinite(regime.ratio) and regime.ratio > 0 and regime.status != "not resolved"


def pair_of(who: str, noise: Any, batch_size: float | None) -> tuple[float, float, float] | None:
    """Sums of the batch's standard deviations and variances, and their ratio; None without ``noise``.

    ``noise`` is one standard deviation of every coordinate of a batch gradient, or has ``sigma1``, ``sigma2`` per
    sample and ``batch_size``.
    """
    if noise is None:
        return None
    if hasattr(noise, "sigma1") and hasattr(noise, "sigma2"):
        batch = moderate(who, "batch_size", noise.batch_size if batch_size is None else batch_size)
        first, second = (moderate(who, f"noise.{n}", getattr(noise, n)) for n in ("sigma1", "sigma2"))
        std = moderate(who, "noise", second**2 / (first * math.sqrt(batch)))
        return first / math.sqrt(batch), second**2 / batch, std
    if isinstance(noise, bool | str):
        raise InvalidInput(f"{who}: `noise` must be a number or a NoiseReport, got {noise!r}.")
    std = moderate(who, "noise", noise)
    return std, std**2, std
