"""What a short memory of Adam's second moment does to its direction, for the flow on rows.

The flow divides a gradient by the mean of g_i^2. A running mean over few rows fluctuates, together with the gradient
that it divides. The constants of Gaussian rows, with the data's own label noise, say by how much that shortens the
mean direction and changes its noise.
"""

from weakref import WeakKeyDictionary

import torch

from signscope.limits.adam_constants import AdamMoments
from signscope.limits.rows_moments import Local, RowMoments

LONG = 200.0  # steps of memory from which on nothing is corrected: the constants are within 1% of 1

_MOMENTS: "WeakKeyDictionary[RowMoments, dict[tuple[float, float], AdamMoments]]" = WeakKeyDictionary()


class Fluctuation:
    """Factors of Adam's direction relative to g_i / sqrt(E g_i^2), as functions of the risk.

    Args:
        data: The rows, whose residuals are the label noise.
        betas: Adam's, with 1/(1 - beta2) below LONG.
    """

    def __init__(self, data: RowMoments, betas: tuple[float, float]) -> None:
        from signscope.noise import as_noise

        kept = _MOMENTS.setdefault(data, {})
        if betas not in kept:
            noisy = bool(data.residuals.any())
            kept[betas] = AdamMoments(as_noise(data.residuals.numpy() if noisy else None), betas=betas)
        self._moments = kept[betas]

    def factors(self, risk: float) -> tuple[float, float, float]:
        """(c1, c2, c3): the mean is multiplied by c1, the covariance N becomes c2 N + (c3 - c2) diag N."""
        at = torch.tensor(max(risk, 1e-300), dtype=torch.float64)
        slope, c2, c3 = (float(value) for value in self._moments(at))
        return slope * (2 * float(at) + self._moments.law.second_moment) ** 0.5, c2, c3

    def applied(self, raw: Local, risk: float) -> tuple[float, Local]:
        """c1, and ``raw`` with the noise that gives the right covariance once the direction is multiplied by c1."""
        c1, c2, c3 = self.factors(risk)
        noise = (c2 * raw.noise + (c3 - c2) * torch.diag(raw.noise.diagonal())) / c1**2
        second = noise + torch.outer(raw.drift, raw.drift)
        return c1, Local(raw.drift, raw.jacobian, second, raw.square, raw.between)


def fluctuation(data: RowMoments, betas: tuple[float, float]) -> Fluctuation | None:
    """The correction for these betas, or None where the memory is long enough to need none."""
    return Fluctuation(data, betas) if (1 - betas[1]) * LONG > 1 else None
