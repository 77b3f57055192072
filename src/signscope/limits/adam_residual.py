"""The law of the squared residual as Adam's integrals need it: Q(a) = E exp(-a |r|^2) at many risks at once."""

import math

import numpy as np
import torch

from signscope.limits.adam_lattice import stencil
from signscope.noise import NoiseLaw

LARGEST_RATIO = 1e14  # between the risk and the squared size of the noise, either way
_SPACING = 0.1  # of the table of m in log b: 12-point Lagrange leaves 1e-10
_PAD = 6  # table points beyond either end
_SMALLEST = 1e-7  # 1 - m below this is near rounding and continued by its power law
_FALLEN = 0.4  # 1 - m at the size of the noise


class ResidualLaw:
    r"""Squared residuals of a mini-batch, r_b = z_b - eps_b with z ~ N(0, 2R) and independent noise.

    $$ Q(a) = M(a)^B, \quad M(a) = E e^{-a (z-\epsilon)^2} = (1+4aR)^{-1/2}\, m\!\left(\frac{a}{1+4aR}\right) $$

    Neither a moment nor a density of the noise is needed. m is read once, on a table in log a.

    Args:
        law: The noise.
        batch_size: B.

    Attributes:
        log_low: Log of the smallest risk told apart from 0.
        log_high: Log of the largest risk told apart from that of noise-free rows.
    """

    def __init__(self, law: NoiseLaw, batch_size: int) -> None:
        self.batch_size = batch_size
        coarse = np.arange(-150.0, 151.0)
        fallen = 1 - _m(law, coarse)
        log_size = -coarse[(fallen > min(_FALLEN, fallen[-1] / 2)).argmax()]
        self.log_low, self.log_high = log_size - math.log(LARGEST_RATIO), log_size + math.log(LARGEST_RATIO)
        self.start = coarse[(fallen > _SMALLEST).argmax()]
        num = math.ceil((-self.log_low - self.start) / _SPACING) + 2 * _PAD
        self.m = _m(law, self.start + _SPACING * np.arange(-_PAD, num))
        near, next_to = 1 - self.m[[_PAD, _PAD + round(1 / _SPACING)]]
        self.log_near, self.power = math.log(near), math.log(next_to / near)

    def log_transform(self, log_a: np.ndarray, log_risk: np.ndarray) -> np.ndarray:
        """Logarithm of Q at exp(log_a), arguments broadcast; accurate relative to 1 - Q where that is small."""
        swell = np.logaddexp(0.0, math.log(4) + log_a + log_risk)  # log(1 + 4 a R)
        return self.batch_size * (self._log_m(log_a - swell) - swell / 2)

    def log_scale(self, log_risk: np.ndarray, fallen: float) -> np.ndarray:
        """Logarithm of the a at which 1 - Q reaches ``fallen``, to within 0.01; shape of ``log_risk``."""
        low, high = np.full_like(log_risk, -300.0), np.full_like(log_risk, 300.0)
        for _ in range(16):
            middle = (low + high) / 2
            above = self.log_transform(middle, log_risk) > math.log1p(-fallen)
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return (low + high) / 2

    def _log_m(self, log_b: np.ndarray) -> np.ndarray:
        place = ((log_b - self.start) / _SPACING).clip(0, len(self.m) - 2 * _PAD - 1)
        cell = place.astype(int)
        weights = stencil(place - cell)
        near = self.m[cell[..., None] + np.arange(_PAD - 5, _PAD + 7)]
        value, missing = (weights * near).sum(-1), (weights * (1 - near)).sum(-1)
        early = self.log_near + self.power * (log_b - self.start)
        missing = np.where(log_b < self.start, np.exp(np.minimum(early, 0.0)), missing)
        return np.where(missing < 0.5, np.log1p(-missing.clip(None, 0.5)), np.log(value.clip(1e-300)))


def is_centred_gaussian(law: NoiseLaw) -> bool:
    """Whether m(a) is that of N(0, s^2) with s^2 the second moment; signs and Adam see nothing else."""
    variance = law.second_moment
    if not math.isfinite(variance):
        return False
    log_a = np.linspace(-6.0, 9.0, 16) - (math.log(variance) if variance > 0 else 0.0)
    gaussian = 1 / np.sqrt(1 + 2 * variance * np.exp(log_a))
    return bool(np.allclose(_m(law, log_a), gaussian, rtol=1e-11, atol=0))


def _m(law: NoiseLaw, log_a: np.ndarray) -> np.ndarray:
    parts = torch.from_numpy(np.exp(log_a)).split(64)  # laws of many atoms need memory per value
    with torch.no_grad():
        return torch.cat([law.m(part) for part in parts]).numpy()
