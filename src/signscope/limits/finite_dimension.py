"""Mean risk of signSGD at a finite dimension: every term of order 1/dim that the limit leaves out."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.errors import Unsupported
from signscope.limits.coefficients import Setting, Slope, slope_of
from signscope.limits.gaussian import risk_scale
from signscope.limits.spectrum import arcsine_matrix
from signscope.limits.statistics import Form
from signscope.problems import LeastSquares
from signscope.schedules import Schedule

LARGEST = 1000  # coordinates: beyond, matrices cost more than a correction below 0.1% is worth
_FRACTION = 0.1  # of 1 / (eta phi lambda_max): updates that are taken together
_VARIATION = 0.1  # of the largest rate: how much the rate may change among them
_SAMPLES = 17  # rates looked at among them
_LOG_STEP = 1e-3  # of R, for the derivatives of phi
_DOUBT = 0.3  # relative size of a correction from which the next order may matter


@dataclass(frozen=True)
class FiniteRisk:
    """What `finite_dimension_risk` found.

    Attributes:
        value: The quantity at the times asked for, (num_times,).
        doubt: Largest relative correction met on the way; small against 1 where the result can be trusted.
    """

    value: Tensor
    doubt: float

    @property
    def message(self) -> str:
        """What to say about it; empty where nothing."""
        if not self.doubt > _DOUBT:
            return ""
        return (
            f"a correction of relative size {self.doubt:.2g} was met: the displacement has too few effective "
            "coordinates for an expansion in 1/dim. Trust the simulation."
        )


@equation("signscope", "E sign(g) to order 1/dim for any label noise")
def _mean_signs(law: tuple[float, float, float], shape: "_Shape", mean: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
    r"""Mean of the signs b and the matrix G of Cov(v, b) = V G', for v ~ N(m, V); and how large the corrections are.

    $$ b_j = \varphi(R)\,w_j - \tfrac16\varphi'(R)\,w_j^3 + O(w^5), \qquad w = D^{-1}Kv $$

    for every law of the noise. With $\mu = D^{-1}Km$, $\tau_j = \mathrm{Var}\,w_j$ and all of $\varphi$ at the mean R,

    $$ E b_j = (\varphi + \tfrac12\varphi''\,\mathrm{Var} R)\mu_j + \varphi'\,\mathrm{Cov}(R, w_j)
             - \tfrac16\varphi'(\mu_j^3 + 3\mu_j\tau_j), $$
    $$ G = \mathrm{diag}\bigl(\varphi + \tfrac12\varphi''\,\mathrm{Var} R - \tfrac12\varphi'(\tau + \mu^2)\bigr)D^{-1}K
           + \varphi'\,(D^{-1}KVK + \mu\,m'K). $$
    """
    slope, first, second = law
    along, moved = shape.kernel @ mean, shape.kernel @ spread  # mu (d,) and D^-1 K V (d, d)
    pull = shape.cov @ mean
    variance = 0.5 * (shape.std[:, None] * moved * (moved.T * shape.std)).sum() + pull @ spread @ pull
    tau = (moved * shape.kernel).sum(1)
    level = slope + 0.5 * second * variance
    bend = -0.5 * first * (tau + along.square())
    signs = level * along + first * (moved @ pull) - first / 6 * (along.pow(3) + 3 * along * tau)
    turn = (level + bend)[:, None] * shape.kernel + first * (moved @ shape.cov + torch.outer(along, pull))
    doubt = torch.maximum(bend.abs().max(), (0.5 * second * variance).abs()) / slope
    return signs, turn, doubt


@dataclass(frozen=True)
class _Shape:
    """K, its root diagonal D, D^-1 K and the second moment of the signs of a row."""

    cov: Tensor
    std: Tensor
    kernel: Tensor
    signs: Tensor

    def top(self) -> float:
        """Largest eigenvalue of D^-1 K."""
        half = self.std.rsqrt()
        return float(torch.linalg.eigvalsh(self.cov * half * half[:, None])[-1])


@equation("signscope", "mean risk of signSGD to order 1/dim")
def finite_dimension_risk(
    problem: LeastSquares, setting: Setting, schedule: Schedule, times: Tensor, *, quantity: Form = "excess_risk"
) -> FiniteRisk:
    r"""E of a quadratic of the displacement under signSGD on Gaussian rows, to order 1/dim.

    Mean m and covariance V of the displacement obey, per update, with h = 1/dim,

    $$ m' = m - h\eta\,Eb, \qquad V' = V - h\eta(VG' + GV) + h^2\eta^2\bigl(\tfrac2\pi K_\sigma - Eb\,Eb'\bigr), $$

    b and G from the expansion of E sign(g) and of a Gaussian displacement. Kept are the nonlinearity of the mean signs,
    the spread of R between runs, and that time is discrete: each moves the risk by a multiple of 1/dim, the first two
    in opposite directions, so that a correction by one of them alone is worse than none.

    Args:
        problem: Gaussian rows, any label noise.
        setting: signSGD at batch size 1.
        schedule: The rate.
        times: In steps/dim, increasing; each is read at the nearest whole step.
        quantity: As in `signscope.predict`.

    Raises:
        Unsupported: More than 1,000 coordinates, another optimizer, or a batch size above 1.

    Notes:
        Updates are taken together as long as h eta phi lambda_max times their number stays below a tenth, eta changes
        by a tenth at most and does not jump: n of them as n Euler steps to second order. O(dim^3) per group.
    """
    if setting.kernel != "signsgd" or setting.batch_size > 1 or problem.dim > LARGEST:
        raise Unsupported(
            f"predict: finite_dim is worked out for signsgd at batch_size 1 up to {LARGEST} coordinates (and for sgd, "
            f"exactly); got {setting.optimizer}, batch_size {setting.batch_size}, dim {problem.dim}."
        )
    cov = problem.cov.dense()
    std = cov.diagonal().sqrt()
    shape = _Shape(cov, std, cov / std[:, None], 2 / math.pi * arcsine_matrix(cov))
    rate = float(schedule(torch.zeros((), dtype=torch.float64)))
    walk = _Walk(problem, shape, slope_of(problem.noise, 1, risk_scale(problem, rate)), schedule)
    form = _matrix(shape, quantity)
    values: list[Tensor] = []
    for goal in torch.floor(times * problem.dim + 0.5).long().tolist():
        walk.advance(goal)
        values.append(walk.mean @ form @ walk.mean + (form * walk.spread).sum())
    return FiniteRisk(torch.stack(values), walk.doubt)


def _matrix(shape: _Shape, quantity: Form) -> Tensor:
    if isinstance(quantity, Tensor):
        return quantity
    named = {"excess_risk": 0.5 * shape.cov, "distance": torch.eye(len(shape.std), dtype=torch.float64)}
    return named[quantity] if quantity in named else shape.cov @ shape.cov


class _Walk:
    """Mean and covariance of the displacement, some updates further at a time."""

    def __init__(self, problem: LeastSquares, shape: _Shape, slope: Slope, schedule: Schedule) -> None:
        self.shape, self.slope, self.schedule = shape, slope, schedule
        self.mean = problem.displacement.clone()
        self.spread = torch.zeros_like(shape.cov)
        self.doubt, self.done, self._top = 0.0, 0, shape.top()
        self._least = 1e-30 * risk_scale(problem)
        dim = len(self.mean)  # a rate that jumps at t holds from the first update at t or later on
        self._jumps = sorted({math.ceil(t * dim * (1 - 1e-12)) for t in schedule.breakpoints if t > 0})

    def advance(self, goal: int) -> None:
        """On to update number ``goal``."""
        dim = len(self.mean)
        while self.done < goal:
            change, slope = self._changes(self.mean, self.spread, self.done)
            until = next((jump for jump in self._jumps if self.done < jump < goal), goal)
            count = self._together(until - self.done, slope * self._top)
            if count > 1:  # n Euler steps to second order: the mean of the first and the last
                reach = (count - 1) / dim
                ahead, _ = self._changes(
                    self.mean + reach * change[0], self.spread + reach * change[1], self.done + count - 1
                )
                change = tuple(0.5 * (a + b) for a, b in zip(change, ahead, strict=True))
            length = count / dim
            self.mean, self.spread = self.mean + length * change[0], self.spread + length * change[1]
            self.done += count

    def _together(self, most: int, speed: float) -> int:
        """How many of the next ``most`` updates are small and alike, ``speed`` = phi lambda_max."""
        count, dim = most, len(self.mean)
        while count > 1:
            steps = self.done + torch.linspace(0, count - 1, min(count, _SAMPLES), dtype=torch.float64).round()
            rates = self.schedule(steps / dim)
            low, high = float(rates.min()), float(rates.max())
            allowed = dim * _FRACTION / max(high * speed, 1e-290)
            if high - low > _VARIATION * high:
                count //= 2
            elif count > allowed:
                count = max(1, int(allowed))
            else:
                break
        return count

    def _changes(self, mean: Tensor, spread: Tensor, step: int) -> tuple[tuple[Tensor, ...], float]:
        """Rates of change of m and V per unit of time, and phi."""
        dim = len(mean)
        lr = float(self.schedule(torch.tensor(step / dim, dtype=torch.float64)))
        risk = 0.5 * float(mean @ self.shape.cov @ mean + (self.shape.cov * spread).sum())
        law = self._law(max(risk, self._least))
        signs, turn, doubt = _mean_signs(law, self.shape, mean, spread)
        self.doubt = max(self.doubt, float(doubt))
        drawn = spread @ turn.T
        noise = self.shape.signs - torch.outer(signs, signs)
        return (-lr * signs, lr**2 / dim * noise - lr * (drawn + drawn.T)), law[0]

    def _law(self, risk: float) -> tuple[float, float, float]:
        """Phi and its first two derivatives in R, by differences in log R."""
        near = risk * torch.exp(_LOG_STEP * torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
        below, here, above = self.slope(near).tolist()
        rise, curve = (above - below) / (2 * _LOG_STEP), (above - 2 * here + below) / _LOG_STEP**2
        return here, rise / risk, (curve - rise) / risk**2
