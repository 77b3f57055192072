"""Gradient calls of SGD over those of signSGD: what worst cases and upper bounds say. Bounds, not forecasts."""

import math
from collections.abc import Sequence

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants


@equation("tao2026", "comparison of worst cases, with constants")
def speedup_range(constants: Constants) -> tuple[float, float]:
    r"""Range of N_SGD / N_sign over the worst cases of the two classes at small accuracy.

    $$ \text{noise:}\quad \frac1{128\phi} \le \frac{N_{SGD}}{N_{sign}} \le \frac8\phi \;\text{(separable)}, \qquad
       \text{no noise:}\quad \frac d8 \le \frac{N_{SGD}}{N_{sign}} $$

    The exponents say 1/phi and d; the guaranteed factor exceeds 1 only for phi < 1/128 and d > 8.

    Args:
        constants: With ``dim``, and with ``noise_l2`` where there is noise.

    Returns:
        Smallest and largest ratio; the largest is infinite without noise.

    Raises:
        InvalidInput: ``dim`` or ``noise_l2`` is missing.
    """
    if constants.dim is None:
        raise InvalidInput("speedup_range: needs `dim`, the number of coordinates.")
    if constants.noise_l1 == 0:
        return constants.dim / 8, math.inf
    density = constants.noise_density
    if density is None:
        raise InvalidInput("speedup_range: needs `noise_l2` next to `noise_l1`; their ratio is the noise density.")
    return noisy_range(density)


def noisy_range(density: float) -> tuple[float, float]:
    """1/(128 phi) and 8/phi: the range of `speedup_range` where noise of density phi dominates."""
    return 1 / (128 * density), 8 / density


@equation("signscope", "alignment-aware ratio of the upper bounds")
def aligned_ratio(
    noise: Sequence[float], smoothness: Sequence[float], *, weight: Sequence[float] | None = None
) -> float:
    r"""Ratio of the two upper bounds on a separable function, where noise and curvature need not sit together.

    $$ R = \frac{d\,(\sum_i\sigma_i\sqrt{L_i})^2}{\sigma_1^2\sum_i L_i} \le \frac1\phi,
       \quad\text{equality iff } L_i \propto \sigma_i^2 $$

    1 for equal curvatures, below 1 where curvature sits at quiet coordinates. An order of magnitude only: measured
    ratios were up to 4 times off, 27 times for opposed curvature.

    Args:
        noise: $\sigma_i$ of every coordinate (or of groups of equal ones).
        smoothness: $L_i$ of one coordinate of each.
        weight: Coordinates that each entry stands for; one by default.

    Returns:
        R, without unit.

    Raises:
        InvalidInput: No noise, no curvature, a negative entry, or lists of different lengths.
    """
    who, counts = "aligned_ratio", [1.0] * len(noise) if weight is None else weight
    if not len(noise) == len(smoothness) == len(counts):
        raise InvalidInput(
            f"{who}: `noise`, `smoothness` and `weight` must have one entry per coordinate, got {len(noise)}, "
            f"{len(smoothness)} and {len(counts)}."
        )
    rows = [
        (
            checks.non_negative(who, "weight", w),
            checks.non_negative(who, "noise", s),
            checks.non_negative(who, "smoothness", c),
        )
        for w, s, c in zip(counts, noise, smoothness, strict=True)
    ]
    sigma1, total = math.fsum(w * s for w, s, _ in rows), math.fsum(w * c for w, _, c in rows)
    if not (sigma1 > 0 and total > 0):
        raise InvalidInput(f"{who}: `noise` and `smoothness` must each have an entry above 0.")
    paired = math.fsum(w * s * math.sqrt(c) for w, s, c in rows)
    return math.fsum(w for w, _, _ in rows) * paired**2 / (sigma1**2 * total)


@equation("tao2026", "ratio of the noiseless upper bounds")
def noiseless_ratio(constants: Constants, *, gradient_density: float = 1.0) -> float:
    r"""Ratio of the two upper bounds without noise.

    $$ R_0 = \phi(\nabla f)\,\frac{d L_2}{L} = \frac{\phi(\nabla f)}{\psi} $$

    Args:
        constants: With ``dim`` and ``smoothness_l2``.
        gradient_density: phi of the gradient, in (0, 1]; 1 is the worst case.

    Returns:
        R_0, without unit.
    """
    share = checks.positive("noiseless_ratio", "gradient_density", gradient_density)
    if share > 1:
        raise InvalidInput(f"noiseless_ratio: `gradient_density` is 1 at most, got {share:g}.")
    if constants.dim is None or constants.smoothness_l2 is None:
        raise InvalidInput("noiseless_ratio: needs `dim` and `smoothness_l2`.")
    return share * curvature_ratio(constants.dim, l2=constants.smoothness_l2, linf=constants.smoothness)


def curvature_ratio(dim: int, *, l2: float, linf: float) -> float:
    """The ratio d L_2 / L for measured constants, which need not fit one problem; NaN without curvature."""
    return dim * l2 / linf if linf > 0 else math.nan
