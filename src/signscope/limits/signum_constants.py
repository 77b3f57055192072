r"""`SignumMoments`: slope and noise of Signum's direction at any momentum, batch size and label noise.

Derivation: docs/theory/signum.md. With residuals given, the running average is Gaussian, so that its sign needs one
function of the noise, $Q(a) = E e^{-aT}$, where T is the squared residual of a mini-batch: the past multiplies the
arguments of Q by momentum^2 per step, and everything is a running sum on the lattice of `adam_lattice`.
"""

import math
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.limits.adam_lattice import Lattice, averaging
from signscope.limits.adam_residual import ResidualLaw, is_centred_gaussian
from signscope.limits.log_panels import Panels
from signscope.noise import NoiseLaw

SHARE = 0.05
"""Largest number of rows in the average, as a share of dim, that counts as small."""
_FALLEN = 0.4  # of Q over the whole memory at the centre of the lattice
_NODES = 12  # Chebyshev points per unit of log R
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(80)
_FAR = 60.0  # how far the half derivative looks ahead in log a; exp(-FAR / 2) is what it misses
_SUMMED = 64  # steps within a lattice point that are summed one by one
_FEW = np.polynomial.legendre.leggauss(24)  # that stand for more of them
_FLOOR = -600.0  # of log-products; integrands are zero long before
_FAINT = -30.0  # log Q below this may be rounding, which a sum over many steps would multiply
_STENCIL = np.arange(-5, 6)  # of the derivative: 11 points leave 1e-11 at the spacing of the lattice
_SLOPES = np.linalg.solve(np.vander(_STENCIL, increasing=True).T.astype(float), np.eye(11)[1])
Moments = tuple[Tensor, ...]


class SignumMoments:
    r"""Moments of Signum's direction u = sign(m), m the running average of gradients, as functions of the risk.

    With v = theta - target and Kbar = D^-1 K the mean is $E u = s(R)\,\bar K v$. Two coordinates with correlation c
    have the covariance, summed over all lags of their cross-covariance,
    $\frac{2}{\pi}\bigl(A\arcsin c + L c\bigr)$, and one coordinate that at c = 1. A and L are at least 0, so that this
    is a covariance, and equal coordinates have equal signs.

    Args:
        law: Label noise; no moment is needed.
        momentum: Weight of the past, in [0, 1); 0 is signSGD.
        batch_size: Rows per gradient B.

    Raises:
        InvalidInput: An argument is out of range.

    Notes:
        Slope and variance of a coordinate are exact to 1e-8, the covariance of two at c = 0 (to first order) and c = 1;
        in between it is low, by 0.9% at most up to c = 0.5 and 3% near c = 0.93. Centred Gaussian noise: closed in R,
        0.01 s. Other laws: Chebyshev panels in log R, filled when first needed. Unchanged when data and noise change
        scale together.
    """

    def __init__(self, law: NoiseLaw, *, momentum: float, batch_size: int = 1) -> None:
        self.law, self.momentum = law, checks.non_negative("SignumMoments", "momentum", momentum)
        if self.momentum >= 1:
            raise InvalidInput(f"SignumMoments: `momentum` must lie in [0, 1), got {momentum:g}.")
        self.batch_size = checks.integer("SignumMoments", "batch_size", batch_size, minimum=1)
        self.is_gaussian = is_centred_gaussian(law)

    def __call__(self, risk: Tensor) -> Moments:
        """The moments at ``risk`` >= 0 of any shape.

        Returns:
            slope s (unit 1/sqrt(risk)), A and L, each like ``risk`` and differentiable in it.
        """
        risk = torch.as_tensor(risk, dtype=torch.float64)
        if self.momentum == 0:
            slope = self.law.phi(risk, batch_size=self.batch_size)
            return slope, torch.ones_like(risk), torch.zeros_like(risk)
        if self.is_gaussian:
            slope, *noise = gaussian_constants(self.momentum, self.batch_size)
            size = torch.rsqrt(2 * risk + self.law.second_moment)
            return slope * size, *(torch.full_like(risk, value) for value in noise)
        log_risk = torch.log(risk.clamp(min=math.exp(self._residuals.log_low)))  # constant below
        held = log_risk.clamp(max=self._residuals.log_high)
        slope, *noise = self._panels(held)
        beyond = (log_risk - self._residuals.log_high).clamp(min=0.0)  # the slope falls as 1/sqrt(risk) there
        return torch.exp(slope - beyond / 2), *noise

    @cached_property
    def _residuals(self) -> ResidualLaw:
        return ResidualLaw(self.law, self.batch_size)

    @cached_property
    def _panels(self) -> Panels:
        return Panels(self._tabulated, _NODES)

    def _tabulated(self, log_risk: np.ndarray) -> np.ndarray:
        lattice = Lattice(self.momentum**2)
        log_scale = self._residuals.log_scale(log_risk, _FALLEN * (1 - lattice.beta2))
        log_q = self._residuals.log_transform(lattice.wide[:, None] + log_scale, log_risk)
        slope, *noise = _constants(lattice, log_q, self.batch_size)
        return np.stack([np.log(slope.clip(1e-300)) + log_scale / 2, *noise])


def rows_in_average(momentum: float, batch_size: int) -> float:
    """Rows that all count alike, in an average as noisy as Signum's: B (1 + momentum)/(1 - momentum)."""
    return batch_size * (1 + momentum) / (1 - momentum)


def too_many_rows(momentum: float, batch_size: int, dim: int) -> str:
    """Why `SignumMoments` does not describe Signum at this dimension; empty if it does.

    An average over n = B (1 + momentum)/(1 - momentum) rows, all counted, has signs that are no longer linear in the
    gradient when n is not small against d: at n = 0.025 d the risk is 1 to 3% off, at 0.05 d 3 to 5%, at 0.2 d 10 to
    25%. That is for a residual which all coordinates carry; where few do, it is their number that counts: see
    `saturation`.
    """
    rows = rows_in_average(momentum, batch_size)
    if rows <= SHARE * dim:
        return ""
    return (
        f"Signum's average holds about batch_size (1 + momentum)/(1 - momentum) = {rows:.3g} rows, {rows / dim:.2g} of "
        f"dim = {dim}; their signs saturate, which the limit of high dimension does not see (at {SHARE:g} of dim the "
        "risk is 3 to 5% off). Use a smaller momentum or batch, or trust the simulation."
    )


@lru_cache(maxsize=256)
def gaussian_constants(momentum: float, batch_size: int = 1) -> tuple[float, ...]:
    r"""Slope at 2R + E eps^2 = 1, and A, L of `SignumMoments`, when residuals are Gaussian."""
    lattice = Lattice(momentum**2)
    log_scale = math.log(_FALLEN * (1 - lattice.beta2) / batch_size)
    log_q = -0.5 * batch_size * np.log1p(2 * np.exp(lattice.wide + log_scale))[:, None]
    slope, *noise = (float(part[0]) for part in _constants(lattice, log_q, batch_size))
    return slope * math.exp(log_scale / 2), *noise


def _constants(lattice: Lattice, log_q: np.ndarray, batch_size: int) -> tuple[np.ndarray, ...]:
    """Slope and the two parts of the noise for log Q on `Lattice.wide`, shape (num_wide, m); each (m,)."""
    log_memory = lattice.remembered(log_q)
    later, half = _later(lattice, log_memory, log_q), _half_derivative(lattice, log_memory)
    shared = 1 + 2 * lattice.spacing * (half * later).sum(0) / math.pi
    whole = math.pi / 2 + 2 * _arcsines(lattice, half, later, 1.0)
    arcsine = (whole - shared) / (math.pi / 2 - 1)
    return _slope(lattice, log_memory, log_q, batch_size), arcsine, shared - arcsine


@equation("signscope", "slope of the sign of a running average")
def _slope(lattice: Lattice, log_memory: np.ndarray, log_q: np.ndarray, batch_size: int) -> np.ndarray:
    r"""Slope of the mean direction, with $a_j = \mu^{2j} x^2$.

    $$ s = \frac{2\sqrt2}{\pi} \int_0^\infty \sum_j \mu^j \Bigl(B + 2\frac{d\log Q}{d\log a}(a_j)\Bigr)
       \prod_j Q(a_j)\, dx $$
    """
    pull = batch_size + 2 * _derivative(lattice, log_q)
    weighed = lattice.remembered(pull, ratio=math.sqrt(lattice.beta2)) * np.exp(log_memory.clip(_FLOOR))
    return math.sqrt(2) / math.pi * lattice.spacing * (np.exp(lattice.wide / 2)[:, None] * weighed).sum(0)


@equation("signscope", "autocovariance of the sign of a running average, over all lags")
def _arcsines(lattice: Lattice, half: np.ndarray, later: np.ndarray, correlation: float) -> np.ndarray:
    r"""Sum over lags l >= 1 of $E \arcsin(c\rho_l)$, $\rho_l$ the correlation of the average with itself; (m,).

    $$ \frac1\pi \int_0^{\pi/2}\! d\theta \int \frac{c\cos\theta}{\sqrt{f}}\, \hat G(y + \log f) \sum_{l\ge1}
       \frac{P(y - 2l\log\mu)}{P(y)}\, dy, \qquad f = 1 - c^2\sin^2\theta $$
    """
    angles = math.pi / 4 * (_POINTS + 1)
    inside = 1 - (correlation * np.sin(angles)) ** 2
    weights = correlation * np.cos(angles) / np.sqrt(inside) * math.pi / 4 * _WEIGHTS
    turned = _read(lattice, half, np.log(inside), weights)
    return lattice.spacing * (turned * later).sum(0) / math.pi


def _half_derivative(lattice: Lattice, log_memory: np.ndarray) -> np.ndarray:
    r"""$\hat G(y) = \int_0^\infty (e^t-1)^{-1/2}\,(-P')(y+t)\,dt$, P the product of Q over the past; t = x^2."""
    end = math.sqrt(_FAR)
    x = end / 2 * (_POINTS + 1)
    density = -np.exp(log_memory.clip(_FLOOR)) * _derivative(lattice, log_memory)
    return _read(lattice, density, x**2, end * _WEIGHTS * x / np.sqrt(np.expm1(x**2)))


def _later(lattice: Lattice, log_memory: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Sum over l >= 1 of P(y + l delta) / P(y), which is Q(y + delta) times one and the same sum at y + delta."""
    total, step = np.zeros_like(log_q), lattice.stride
    if lattice.block == 1:
        newest = np.exp(log_q)
        for n in range(len(total) - step - 1, -1, -step):
            here = slice(max(0, n - step + 1), n + 1)
            ahead = slice(here.start + step, here.stop + step)
            total[here] = newest[ahead] * (1 + total[ahead])
        return total
    within, log_memory = np.zeros_like(log_q), lattice.remembered(np.maximum(log_q, _FAINT))
    for place, weight in zip(*_steps(lattice.block), strict=True):
        ahead = _read(lattice, log_memory, np.array([place * lattice.spacing]), np.ones(1))
        within += weight * np.exp(np.minimum(ahead - log_memory, 0.0))
    whole = np.exp(np.diff(log_memory, axis=0))
    for n in range(len(total) - 2, -1, -1):
        total[n] = within[n] + whole[n] * total[n + 1]
    return total


def _steps(block: int) -> tuple[np.ndarray, np.ndarray]:
    """Places 1/block, 2/block ... 1 with weights 1, or few that stand for many."""
    if block <= _SUMMED:
        return np.arange(1, block + 1) / block, np.ones(block)
    nodes, weights = _FEW  # of the midpoint rule's integral
    return (0.5 + block * (nodes + 1) / 2) / block, weights * block / 2


def _derivative(lattice: Lattice, values: np.ndarray) -> np.ndarray:
    """d/dy along the lattice; the ends go on as straight lines."""
    ahead = np.arange(1, 6)[:, None]
    left = values[:1] - ahead[::-1] * (values[1:2] - values[:1])
    right = values[-1:] + ahead * (values[-1:] - values[-2:-1])
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([left, values, right]), 11, axis=0)
    return windows @ _SLOPES / lattice.spacing


def _read(lattice: Lattice, values: np.ndarray, shifts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_k weights_k f(y + shifts_k) for f on the lattice, which its ends continue; shape of ``values``."""
    places = shifts / lattice.spacing
    low, high = min(0, math.floor(places.min()) - 6), max(0, math.ceil(places.max()) + 8)
    row = averaging(places[None], weights[None], high - low, -low)[0]
    padded = np.concatenate([np.repeat(values[:1], -low, axis=0), values, np.repeat(values[-1:], high, axis=0)])
    return np.lib.stride_tricks.sliding_window_view(padded, high - low, axis=0)[: len(values)] @ row
