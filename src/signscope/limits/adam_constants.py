r"""`AdamMoments`: slope and noise of Adam's direction at any beta1, beta2, batch size and label noise.

Derivation: docs/theory/adam.md. Everything is exact in the limit of high dimension with the averages' memory short
against it; see `reliable`. Momentum needs no stream of random numbers: the sums over lags are integrals too.
"""

import math
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope.limits.adam_integrals import Averages, Direction
from signscope.limits.adam_lattice import Lattice
from signscope.limits.adam_residual import ResidualLaw, is_centred_gaussian
from signscope.limits.log_panels import Panels
from signscope.noise import NoiseLaw

SHORT = 0.05  # largest memory of the first-moment average, in units of time, that counts as short
_FALLEN = 0.4  # of Q over the whole memory at the centre of the lattice
_SLOPE_NODES, _NOISE_NODES = 12, 6  # Chebyshev points per unit of log R: 1e-9 and 1e-6
Moments = tuple[Tensor, Tensor, Tensor]


class AdamMoments:
    r"""Moments of Adam's direction u = m / sqrt(s) as functions of the risk.

    With v = theta - target, Kbar = D^-1 K and C = D^-1 K D^-1, the mean is $E u = s(R)\,\bar K v$ and the covariance of
    u, summed over all lags of its autocovariance, is $c_2 C + (c_3 - c_2) I$.

    Args:
        law: Label noise; no moment is needed unless beta1^2 >= beta2.
        betas: (beta1, beta2) of Adam.
        batch_size: Rows per gradient B.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: The direction has no variance: beta2 = 0 < beta1, or noise of infinite variance and
            beta1^2 >= beta2 (an old outlier weighs more in m than in sqrt(s)).

    Notes:
        Centred Gaussian noise: closed in R, 0.02 s per (betas, batch size). Other laws: Chebyshev panels in
        log R, filled when first needed (about 30 ms per unit of log R, whatever the law, beta2 and batch size).
        Relative error 1e-9 (slope) and 1e-6 (c2, c3). Unchanged when data and noise change scale together.
    """

    def __init__(self, law: NoiseLaw, *, betas: tuple[float, float], batch_size: int = 1) -> None:
        self.law, self.betas = law, checks.betas("AdamMoments", betas)
        self.batch_size = checks.integer("AdamMoments", "batch_size", batch_size, minimum=1)
        _require_variance(law, self.betas)
        self.is_gaussian = is_centred_gaussian(law)

    def __call__(self, risk: Tensor) -> Moments:
        """The moments at ``risk`` >= 0 of any shape.

        Returns:
            slope (unit 1/sqrt(risk); the first of (9.2) without normalisation), c2 and c3, each like ``risk`` and
            differentiable in it. NaN where the risk is NaN.
        """
        risk = torch.as_tensor(risk, dtype=torch.float64)
        if self.betas[1] == 0:
            c2, c3 = 2 / math.pi, 1.0  # signs: any law, any batch size
            return self.law.phi(risk, batch_size=self.batch_size), torch.full_like(risk, c2), torch.full_like(risk, c3)
        if self.is_gaussian:
            c1, c2, c3 = gaussian_constants(self.betas, self.batch_size)
            slope = math.sqrt(self.batch_size) * c1 * torch.rsqrt(2 * risk + self.law.second_moment)
            return slope, torch.full_like(risk, c2), torch.full_like(risk, c3)
        return self._from_tables(risk)

    def _from_tables(self, risk: Tensor) -> Moments:
        log_risk = torch.log(risk.clamp(min=math.exp(self._residuals.log_low)))  # constant below
        held = log_risk.clamp(max=self._residuals.log_high)
        (slope,) = self._slopes(held)
        c2, c3 = self._noises(held)
        beyond = (log_risk - self._residuals.log_high).clamp(min=0.0)  # the slope falls as 1/sqrt(risk) there
        return torch.exp(slope - beyond / 2), torch.exp(c2), torch.exp(c3)

    @cached_property
    def _residuals(self) -> ResidualLaw:
        return ResidualLaw(self.law, self.batch_size)

    @cached_property
    def _averages(self) -> Averages:
        return Averages(Lattice(self.betas[1]), self.batch_size)

    @cached_property
    def _slopes(self) -> Panels:
        return Panels(self._log_slope, _SLOPE_NODES)

    @cached_property
    def _noises(self) -> Panels:
        return Panels(self._log_noise, _NOISE_NODES)

    def _log_slope(self, log_risk: np.ndarray) -> np.ndarray:
        direction, log_scale = self._direction(log_risk)
        return np.log(direction.slope().clip(1e-300))[None] + log_scale / 2

    def _log_noise(self, log_risk: np.ndarray) -> np.ndarray:
        direction, _ = self._direction(log_risk)
        return np.log(np.stack([direction.shared(), direction.own()]))

    def _direction(self, log_risk: np.ndarray) -> tuple[Direction, np.ndarray]:
        """The integrals at these risks, and log a at the centre of their lattice, where the memory begins to tell."""
        log_scale = self._residuals.log_scale(log_risk, _FALLEN * (1 - self.betas[1]))
        log_a = self._averages.lattice.wide[:, None] + log_scale
        log_q = self._residuals.log_transform(log_a, log_risk)
        return Direction(self._averages, self.betas[0], -np.expm1(log_q), np.exp(log_q)), log_scale


@equation("signscope", "(9.2)-(9.4), Gaussian residuals")
@lru_cache(maxsize=256)
def gaussian_constants(betas: tuple[float, float], batch_size: int = 1) -> tuple[float, float, float]:
    r"""Adam's constants (c1, c2, c3) when residuals are Gaussian: no noise, or centred Gaussian noise.

    $E u = \sqrt B\, c_1 \bar K v / \sqrt{2P}$ with the population risk P = R + E eps^2 / 2; all three tend to 1 as
    beta2 -> 1 and, at beta1 = 0, to 2/pi, 2/pi, 1 as beta2 -> 0 (batch size 1).

    Args:
        betas: (beta1, beta2), 0 <= beta1 < 1, 0 < beta2 < 1.
        batch_size: B.

    Notes:
        Relative error about 1e-8; 0.02 s, then remembered.
    """
    beta1, beta2 = betas
    averages = Averages(Lattice(beta2), batch_size)
    log_q = -0.5 * batch_size * np.log1p(2 * np.exp(averages.lattice.wide)[:, None])  # 2P = 1
    direction = Direction(averages, beta1, -np.expm1(log_q), np.exp(log_q))
    c1 = float(direction.slope()[0]) / math.sqrt(batch_size)
    return c1, float(direction.shared()[0]), float(direction.own()[0])


def reliable(betas: tuple[float, float], dim: int) -> tuple[bool, str]:
    """Whether `AdamMoments` describes Adam at this dimension, and if not, why.

    Args:
        betas: (beta1, beta2).
        dim: Number of parameters d.

    Returns:
        ``(True, "")``, or False with the reason and a remedy. A long memory of the second-moment average is not
        among the reasons: the risk equation follows it by its own lag equation.
    """
    beta1, beta2 = checks.betas("reliable", betas)
    if beta1 > 0 and beta2 == 0:
        return False, "with beta2 = 0 and beta1 > 0 Adam's step m/|g| has no variance. Use beta2 > 0."
    memory = 1 / (1 - beta1) / checks.integer("reliable", "dim", dim, minimum=1)
    if beta1 > 0 and memory > SHORT * (1 + 1e-9):  # 0.05 of dim exactly is still short, whatever rounding says
        return False, (
            f"the momentum average remembers 1/(1 - beta1) = {1 / (1 - beta1):.3g} steps, {memory:.2g} of the {dim} "
            f"steps in one unit of time; the prediction takes that share as small (at most {SHORT:g}, where the risk "
            "is 2 to 3% off). Use a smaller beta1."
        )
    return True, ""


def _require_variance(law: NoiseLaw, betas: tuple[float, float]) -> None:
    beta1, beta2 = betas
    if beta1 > 0 and (beta2 == 0 or (beta1**2 >= beta2 and math.isinf(law.second_moment))):
        noise = "" if beta2 == 0 else f" under {law.spec} noise"
        raise Unsupported(
            f"AdamMoments: with betas = ({beta1:g}, {beta2:g}) Adam's direction has no variance{noise}, "
            "so its risk has no limit equation. Use beta2 > beta1^2, or beta1 = 0."
        )
