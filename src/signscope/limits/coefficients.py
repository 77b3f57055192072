"""The scalars of every risk equation: decay alpha and forcing b of SGD, signSGD, Adam and Signum."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope.integrate.collocation import Coefficients
from signscope.limits.adam_constants import AdamMoments, reliable
from signscope.limits.signum_constants import SignumMoments, too_many_rows
from signscope.noise import NoiseLaw, tabulate
from signscope.problems import LeastSquares
from signscope.schedules import Constant, Schedule

Rate = Callable[[Tensor, Tensor], Tensor]
"""(time (m, n), lanes (m,)) -> learning rate (m, n)."""
Slope = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Setting:
    """What a prediction is asked for, besides the problem.

    Attributes:
        optimizer: sgd, signsgd, adam or signum.
        batch_size: B.
        betas: Adam's averages; the first is Signum's momentum; ignored by the others.
    """

    optimizer: str
    batch_size: int = 1
    betas: tuple[float, float] = (0.9, 0.999)

    @property
    def kernel(self) -> str:
        """The spectrum to use: Adam without averages is signSGD, and so is Signum without momentum."""
        plain = {"adam": self.betas == (0, 0), "signum": self.betas[0] == 0}
        return "signsgd" if plain.get(self.optimizer) else self.optimizer


@dataclass(frozen=True)
class Lanes(Schedule):
    """One schedule per lane, side by side.

    Attributes:
        schedules: Of the lanes, in order.
    """

    schedules: tuple[Schedule, ...]

    def __call__(self, time: Tensor) -> Tensor:
        """The rates of all lanes, stacked in front: (lanes, ...)."""
        return torch.stack([schedule(time) for schedule in self.schedules])

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Those of every lane: a step that ends on another lane's is only shorter than it need be."""
        return tuple(sorted({b for schedule in self.schedules for b in schedule.breakpoints}))

    def at(self, time: Tensor, lanes: Tensor) -> Tensor:
        """The rate of each lane at its own times (m, n)."""
        rows = zip(lanes.tolist(), time, strict=True)
        return torch.stack([self.schedules[lane](times) for lane, times in rows])


def lane_rate(schedule: Schedule) -> Rate:
    """The schedule as a function of time and lane.

    A `Constant` with a vector of rates has one per lane, `Lanes` has a schedule per lane, any other serves all.
    """
    if isinstance(schedule, Lanes):
        return schedule.at
    if isinstance(schedule, Constant) and isinstance(schedule.lr, Tensor) and schedule.lr.ndim == 1:
        rates = schedule.lr
        return lambda time, lanes: rates[lanes][:, None] * torch.ones_like(time)
    return lambda time, lanes: schedule(time)


def slope_of(law: NoiseLaw, batch_size: int, scale: float) -> Slope:
    """phi_B as a function of R; costly laws go through a table around the risks of order ``scale``."""
    if law.is_costly or batch_size > 1:
        return tabulate(law, batch_size=batch_size, risk_low=1e-10 * scale, risk_high=1e3 * scale)
    return lambda risk: law.phi(risk, batch_size=batch_size)


def coefficients(problem: LeastSquares, setting: Setting, schedule: Schedule, *, scale: float) -> Coefficients:
    """Alpha and b of equation (4.1) for ``setting``; ``scale`` is the size of the risks to come."""
    rate, law, dim = lane_rate(schedule), problem.noise, problem.dim
    if setting.optimizer == "sgd":
        return _sgd(rate, law, dim, setting.batch_size)
    if setting.kernel == "signsgd":
        return _signsgd(rate, slope_of(law, setting.batch_size, scale), dim)
    lowest = 1e-8 * scale if law.second_moment > 0 else 0.0  # constants have settled there
    if setting.kernel == "signum":
        return _signum(rate, signum_moments(problem, setting), dim, lowest)
    return _adam(rate, adam_moments(problem, setting), law.second_moment, dim, lowest)


_MOMENTS: "WeakKeyDictionary[LeastSquares, dict[Setting, Any]]" = WeakKeyDictionary()


def adam_moments(problem: LeastSquares, setting: Setting) -> AdamMoments:
    """Adam's constants for the noise of ``problem``, tabulated once per setting."""
    return _kept(problem, setting, partial(AdamMoments, betas=setting.betas))


def signum_moments(problem: LeastSquares, setting: Setting) -> SignumMoments:
    """Signum's constants for the noise of ``problem``, tabulated once per setting."""
    return _kept(problem, setting, partial(SignumMoments, momentum=setting.betas[0]))


def _kept(problem: LeastSquares, setting: Setting, make: Callable[..., Any]) -> Any:
    kept = _MOMENTS.setdefault(problem, {})
    if setting not in kept:
        kept[setting] = make(problem.noise, batch_size=setting.batch_size)
    return kept[setting]


@equation("xiao2024", "risk ODE, SGD")
def _sgd(rate: Rate, law: NoiseLaw, dim: int, batch_size: int) -> Coefficients:
    r"""$\alpha = 2\eta,\; b = \eta^2 P/(dB)$ with $P = R + E\epsilon^2/2$."""
    half = 0.5 * law.second_moment

    def scalars(time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        lr = rate(time, lanes)
        return 2 * lr, (lr**2 * (risk + half) / (dim * batch_size))[..., None]

    return scalars


@equation("xiao2024", "risk ODE, signSGD")
def _signsgd(rate: Rate, slope: Slope, dim: int) -> Coefficients:
    r"""$\alpha = 2\eta\varphi_B(R),\; b = \eta^2/(\pi d)$."""

    def scalars(time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        lr = rate(time, lanes)
        return 2 * lr * slope(risk), (lr**2 / (math.pi * dim))[..., None]

    return scalars


@equation("signscope", "(9.1) with lag")
def _adam(rate: Rate, moments: AdamMoments, second_moment: float, dim: int, lowest: float) -> Coefficients:
    r"""Adam at fixed beta2.

    $\alpha = 2\eta\,s(R)\sqrt{2P/w}$ and $b = \frac{\eta^2}{2d}\frac{2P}{w}(c_2, c_3 - c_2)$, where w is the lagging
    second moment (2P itself where the noise has no variance, as then there is nothing to lag behind).
    """

    def scalars(time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        lr = rate(time, lanes)
        slope, c2, c3 = moments(risk.clamp(min=lowest))
        ahead = torch.ones_like(risk) if memory is None else (2 * risk + second_moment) / memory
        force = lr**2 / (2 * dim) * ahead
        return 2 * lr * slope * ahead.sqrt(), torch.stack([force * c2, force * (c3 - c2)], dim=-1)

    return scalars


@equation("signscope", "risk ODE, Signum")
def _signum(rate: Rate, moments: SignumMoments, dim: int, lowest: float) -> Coefficients:
    r"""$\alpha = 2\eta\,s(R)$ and $b = \frac{\eta^2}{\pi d}(A, L)$."""

    def scalars(time: Tensor, risk: Tensor, memory: Tensor | None, lanes: Tensor) -> tuple[Tensor, Tensor]:
        lr = rate(time, lanes)
        slope, arcsine, linear = moments(risk.clamp(min=lowest))
        return 2 * lr * slope, (lr**2 / (math.pi * dim))[..., None] * torch.stack([arcsine, linear], dim=-1)

    return scalars


def memory_too_long(setting: Setting, dim: int) -> str:
    """Why the averages of Adam or Signum remember too much for the limit of high dimension; empty if they do not."""
    if setting.optimizer == "adam":
        return reliable(setting.betas, dim)[1]
    if setting.kernel == "signum":
        return too_many_rows(setting.betas[0], setting.batch_size, dim)
    return ""


def memory_rate(setting: Setting, problem: LeastSquares) -> float | None:
    """rho2 = -d log beta2 per unit time; None where the second moment has no lag equation."""
    if setting.kernel != "adam" or math.isinf(problem.noise.second_moment):
        return None
    return -problem.dim * math.log(setting.betas[1])
