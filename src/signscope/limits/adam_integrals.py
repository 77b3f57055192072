r"""Adam's slope and noise constants as integrals over the logarithmic lattice.

Notation (docs/theory/adam.md): T = |r|^2 is the squared residual of one mini-batch, r_b = z_b - eps_b, and
$Q(a) = E e^{-aT}$ all that is needed of its law. One coordinate of a past gradient is $\sqrt{T} \xi$ with a standard
normal $\xi$, so that the denominator of Adam enters through $F(x) = E e^{-x T \xi^2}$.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from signscope._core.equations import equation
from signscope.limits.adam_lattice import Lattice, averaging

APART = 40.0  # largest log(x / x') of the two-coordinate integrals; exp(-APART / 2) is what they miss
_NEGLIGIBLE = 1e-8  # relative size of the one-coordinate integrand where the two-coordinate ones stop
_MARGIN = 8  # lattice points around windows, room for stencils
_FLOOR = -600.0  # of log-products; integrands are zero long before
_ANGLES = np.arange(-18.0, 18.1, 0.4)  # t with tan(angle) = exp(t)


class Averages:
    """Matrices that turn Q on `Lattice.wide` into averages on `Lattice.points`; they do not depend on the noise.

    Args:
        lattice: The lattice of one beta2.
        batch_size: B.
    """

    def __init__(self, lattice: Lattice, batch_size: int) -> None:
        v = lattice.lags
        square = np.exp(v.clip(None, 300.0))
        one = np.exp(v / 2 - square / 2) / math.sqrt(2 * math.pi)  # density of log xi^2
        two = np.exp(v - square / 2) / 2  # density of log(xi^2 + xi'^2)
        self.lattice = lattice
        self.one = lattice.convolution(one)
        self.fall = lattice.convolution(one * (square - 1) / 2)
        self.pull = lattice.convolution(one * square * (square + batch_size - 3))
        self.two = lattice.convolution(two)
        self.pair = lattice.convolution(two * square * (square / 2 - 2))

    @cached_property
    def num_apart(self) -> int:
        """Number of distances log(x / x') = 0, h, 2 h ... of the two-coordinate integrals."""
        return math.ceil(APART / self.lattice.spacing)

    @cached_property
    def angular(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows over distances: averages over the angle of (xi, xi'), plain and with the weight cos^2 sin^2."""
        step, num = self.lattice.spacing, self.num_apart
        apart = step * np.arange(num)[:, None]
        shifts = (np.log1p(np.exp(2 * _ANGLES - apart)) - np.log1p(np.exp(2 * _ANGLES))) / step
        plain = 0.4 / math.pi / np.cosh(_ANGLES)
        rows = averaging(
            np.stack([shifts, shifts]), np.stack([plain, plain / 4 / np.cosh(_ANGLES) ** 2])[:, None], num + 12, num + 5
        )
        return rows[0], rows[1]

    @cached_property
    def later(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows that read f at log(e^y + e^(y + t)) for t = ..., -h, 0, h, ..., and logs of e^(t/2)/(1 + e^t) dt."""
        step, num = self.lattice.spacing, self.num_apart
        t = step * np.arange(-num, num)
        ahead = np.logaddexp(0.0, t)
        rows = averaging(ahead[:, None] / step, np.ones(1), num + 12, 5)
        return rows, (t / 2 - ahead + math.log(step))[:, None]


@dataclass(frozen=True)
class Direction:
    """Adam's direction for residual laws given by Q, several at once (last axis ``m``).

    Attributes:
        averages: Matrices of the lattice and batch size.
        beta1: Decay of the first-moment average.
        missing: 1 - Q(exp(y)) on `Lattice.wide`, shape (num_wide, m).
        present: Q itself there; both, since each is lost to rounding where the other is near 1.
    """

    averages: Averages
    beta1: float
    missing: np.ndarray
    present: np.ndarray

    @property
    def lattice(self) -> Lattice:
        """The lattice of beta2."""
        return self.averages.lattice

    @cached_property
    def newest(self) -> float:
        """w_0 = 1 - beta2, the weight of the newest squared gradient."""
        return -math.expm1(-self.lattice.delta)

    @cached_property
    def log_decay(self) -> np.ndarray:
        """L = log F on the points, (num_points, m)."""
        lost = self.averages.one @ self.missing
        kept = np.maximum(self.averages.one @ self.present, 1e-300)
        return np.where(lost < 0.5, np.log1p(-lost.clip(None, 0.5)), np.log(kept))

    @cached_property
    def log_memory(self) -> np.ndarray:
        """S = sum_(j >= 0) L(y - j delta): log of the expected exponential of the whole denominator."""
        return self.lattice.remembered(self.log_decay).clip(_FLOOR)

    @cached_property
    def fall(self) -> np.ndarray:
        """-x F'(x) on the points."""
        return self.averages.fall @ self.missing

    @cached_property
    def density(self) -> np.ndarray:
        """X J(X) on the points, the integrand of the variance of the direction at one time."""
        numerator = self._numerator(self.fall * np.exp(-self.log_decay))
        return np.exp(self.log_memory) * numerator

    @equation("signscope", "(9.2)")
    def slope(self) -> np.ndarray:
        r"""Slope of the mean direction, E u = slope * Kbar v; (m,).

        $$ \frac{2}{\sqrt\pi} \int_0^\infty \sum_i (1-\beta_1)\beta_1^i\, \frac{G}{F}(w_i u^2)
           \prod_{j\ge 0} F(w_j u^2)\, du, \quad G(x) = E[\xi^2 (\xi^2 + B - 3) Q(x \xi^2)] $$
        """
        y = self.lattice.points[:, None]
        pull = (self.averages.pull @ self.present) * np.exp(-self.log_decay)
        if self.beta1 > 0:
            pull = (1 - self.beta1) * self.lattice.remembered(pull, ratio=self.beta1)
        return self._integral(np.exp(y / 2 + self.log_memory) * pull) / math.sqrt(math.pi * self.newest)

    @equation("signscope", "(9.3)")
    def own(self) -> np.ndarray:
        r"""c3: long-run variance of a coordinate of the direction, its autocovariances summed over all lags; (m,).

        $\int_0^\infty -F'(w_0 t) \prod_{j\ge1} F(w_j t)\, dt$ for beta1 = 0, where the lags vanish.
        """
        if self.beta1 == 0:
            return self._integral(self.density) / self.newest
        log_density = np.log(np.maximum(self.density, 1e-300))
        first, size = self._window()
        return self._over_lags([self._own_partner(log_density[:, m], m, int(n), size) for m, n in enumerate(first)])

    @equation("signscope", "(9.4)")
    def shared(self) -> np.ndarray:
        r"""c2: what a unit of correlation between two coordinates adds to their long-run covariance; (m,)."""
        first, size = self._window()
        both = [self._pairs(m, int(n), size) for m, n in enumerate(first)]
        if self.beta1 == 0:
            weight = np.where(np.arange(self.averages.num_apart) > 0, 2, 1)  # x > x' stands for x < x' too
            scale = self.lattice.spacing**2 / (math.pi * self.newest)
            return scale * np.array([(b @ weight).sum() for b in both])
        return self._over_lags([self._shared_partner(b, m, int(first[m])) for m, b in enumerate(both)])

    def _numerator(self, parts: np.ndarray) -> np.ndarray:
        """Sum over the gradients that both numerators hold with weights a_i: sum_i a_i^2 beta2^-i parts(beta2^i x)."""
        if self.beta1 == 0:
            return parts
        ratio = self.beta1**2 / self.lattice.beta2
        return (1 - self.beta1) ** 2 * self.lattice.remembered(parts, ratio=ratio)

    def _integral(self, values: np.ndarray) -> np.ndarray:
        return self.lattice.spacing * values.sum(0)

    def _over_lags(self, partners: list[np.ndarray]) -> np.ndarray:
        """Sum over lags of the direction's autocovariance, from its integral over the earlier denominator."""
        partner = np.stack(partners, axis=1)
        lagged = 2 * self.lattice.remembered(partner, ratio=self.beta1) - partner
        y = self.lattice.points[:, None]
        return self._integral(np.exp(y / 2 + self.log_memory) * lagged) / (math.pi * self.newest)

    def _window(self) -> tuple[np.ndarray, int]:
        """First index of the two-coordinate window for each law, and its common length."""
        relevant = self.density > _NEGLIGIBLE * self.density.max(0)
        start = relevant.argmax(0) - _MARGIN
        stop = len(relevant) - relevant[::-1].argmax(0) + _MARGIN
        lowest, highest = self.averages.num_apart + _MARGIN, len(relevant) - _MARGIN
        length = min(int((stop - start).max()), highest - lowest)
        return start.clip(lowest, highest - length), length

    @cached_property
    def _radial(self) -> tuple[np.ndarray, np.ndarray]:
        """1 - E 1/(1 + 2 x T) and E 8 T/(1 + 2 x T)^3 on the points: the two-coordinate averages at x = x'."""
        pair = (self.averages.pair @ self.missing) * np.exp(-self.lattice.points)[:, None]
        return self.averages.two @ self.missing, pair

    def _pairs(self, which: int, first: int, size: int) -> np.ndarray:
        """sqrt(x x') times the integrand of c2 over (x, x') for x = exp(y) >= x'; (size, num_apart)."""
        reach, step = self.averages.num_apart + 5, self.lattice.spacing
        plain, weighted = self.averages.angular
        around = slice(first - reach, first + size + 6)
        lost, pair = (np.lib.stride_tricks.sliding_window_view(f[around, which], reach + 7) for f in self._radial)
        log_both = np.log1p(-(lost @ plain.T).clip(None, 1 - 1e-15))
        memory = self.lattice.remembered(log_both).clip(_FLOOR)
        apart = step * np.arange(self.averages.num_apart)
        root = np.exp(self.lattice.points[first : first + size, None] - apart / 2)
        return np.exp(memory) * self._numerator(root * (pair @ weighted.T) * np.exp(-log_both))

    def _own_partner(self, log_density: np.ndarray, which: int, first: int, size: int) -> np.ndarray:
        """K(Z) e^(-S(Z)), K(Z) = int s^(-1/2) J(s + Z) ds from log(X J(X)); (num_points,)."""
        rows, log_weights = self.averages.later
        begin = int(log_density.argmax()) - round(0.75 * APART / self.lattice.spacing)
        size += first - begin
        padded = np.concatenate([log_density, np.full(rows.shape[1] + size, log_density[-1])])
        ahead = np.lib.stride_tricks.sliding_window_view(padded[begin - 5 :], rows.shape[1])[:size]
        here = slice(begin, begin + size)
        log_terms = rows @ ahead.T + log_weights - self.log_memory[here, which]
        return self._spread(np.exp(log_terms - self.lattice.points[here] / 2).sum(0), begin)

    def _shared_partner(self, both: np.ndarray, which: int, first: int) -> np.ndarray:
        """N(x') e^(-S(x')), N(x') = int x^(-1/2) V(x, x') dx from sqrt(x x') V for x >= x'; (num_points,)."""
        points, step = self.lattice.points, self.lattice.spacing
        larger = first + np.arange(both.shape[0])[:, None]
        smaller = larger - np.arange(both.shape[1])
        where = np.concatenate([smaller.ravel(), np.broadcast_to(larger, both[:, 1:].shape).ravel()])
        total = step * np.bincount(where, np.concatenate([both.ravel(), both[:, 1:].ravel()]), len(points))
        begin = first + int(both.sum(1).argmax()) - round(0.75 * APART / step)
        partner = total * np.exp(-points / 2 - self.log_memory[:, which])
        return self._spread(partner[begin : first + len(both)], begin)

    def _spread(self, values: np.ndarray, begin: int) -> np.ndarray:
        """``values`` from index ``begin`` on, their power law before, 0 after; (num_points,)."""
        full = np.zeros(len(self.lattice.points))
        growth = math.log(values[_MARGIN] / values[0]) / _MARGIN  # 0 where residuals have a variance
        full[:begin] = values[0] * np.exp(growth * np.arange(-begin, 0))
        full[begin : begin + len(values)] = values
        return full
