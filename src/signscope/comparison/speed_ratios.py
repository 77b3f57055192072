"""Ratios of the gradient calls of SGD and signSGD by their bounds: what measurements say of them."""

import math
from dataclasses import dataclass

from torch import Tensor

from signscope._core.equations import equation


@equation("signscope", "alignment-aware ratio")
def aligned_ratio(sigma: Tensor, curvature: Tensor, weight: Tensor) -> float:
    r"""Ratio of the two upper bounds of a separable loss when noise dominates.

    $$ R_{diag} = \frac{d\,(\sum_i \sigma_i\sqrt{L_i})^2}{\sigma_1^2 \sum_i L_i} \le \frac1\phi $$

    Equality where L_i ~ sigma_i^2, 1 for uniform L_i, below 1 where curvature sits on quiet coordinates.

    Args:
        sigma: Noise of coordinates (or of groups of them), shape (k,).
        curvature: L_i = |H_ii| of one coordinate of each, shape (k,).
        weight: Coordinates that each entry stands for, shape (k,).

    Returns:
        The ratio; NaN without noise or curvature.
    """
    noise, total = float((weight * sigma).sum()), float((weight * curvature).sum())
    if not (noise > 0 and total > 0):
        return math.nan
    return float(weight.sum()) * float((weight * sigma * curvature.sqrt()).sum()) ** 2 / (noise**2 * total)


@equation("tao2026", "ratio without noise")
def noiseless_ratio(dim: int, *, l2: float, linf: float) -> float:
    r"""$R_0 = d L_2 / L = 1/\psi$, the ratio of the two upper bounds without noise."""
    return dim * l2 / linf if linf > 0 else math.nan


@dataclass(frozen=True)
class Calls:
    """Per-sample gradients after which a bound guarantees the accuracy.

    Attributes:
        sign: signSGD.
        sgd: SGD on a separable loss with the measured curvatures.
        sgd_any: SGD on any loss with the measured constants; the gap to ``sgd`` is open.
    """

    sign: float = math.nan
    sgd: float = math.nan
    sgd_any: float = math.nan


@equation("signscope", "bounds on the gradient calls of signSGD and SGD")
def predicted_calls(
    *, accuracy: float, gap: float, linf: float, l2: float, dim: int, sigma1: float, sigma2: float, sigma_root_l: float
) -> Calls:
    r"""Per-sample gradients after which the bounds guarantee an l1 norm of the gradient below ``accuracy``.

    $$ N_{sign} = \max\Bigl(\frac{8L\Delta}{\epsilon^2}, \frac{32\sigma_1^2 L\Delta}{\epsilon^4}\Bigr), \qquad
       N_{SGD} = \frac{2dL_2\Delta}{\epsilon^2} + \frac{8d\Delta(\sum_i\sigma_i\sqrt{L_i})^2}{\epsilon^4} $$

    The last term is that of separable losses; for any loss it is $2d^2\sigma_2^2 L_2\Delta/\epsilon^4$.

    Args:
        accuracy: epsilon, in the unit of the gradient.
        gap: Delta = f(x_0) - inf f; it cancels in ratios.
        linf: L.
        l2: L_2.
        dim: d.
        sigma1: Of per-sample gradients.
        sigma2: Of per-sample gradients.
        sigma_root_l: sum_i sigma_i sqrt(L_i).

    Returns:
        Bounds, not forecasts.
    """
    square, smooth = accuracy**2, 2 * dim * l2 * gap / accuracy**2
    return Calls(
        max(8 * linf * gap / square, 32 * sigma1**2 * linf * gap / square**2),
        smooth + 8 * dim * gap * sigma_root_l**2 / square**2,
        smooth + 2 * dim**2 * sigma2**2 * l2 * gap / square**2,
    )
