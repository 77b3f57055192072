"""Gradient calls of SGD and signSGD by their bounds, from measured constants that need not fit one problem."""

import math
from dataclasses import dataclass

from signscope._core.equations import equation


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
