"""Learning-rate schedules as functions of time, in steps/dim.

A schedule is called with times and gives the theory's rate ``lr`` there; one update moves by ``lr / dim``.
Kinks are listed in ``breakpoints`` so that integrators can step onto them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput

_CHECKED = 1025  # times at which a schedule is looked at before a run


class Schedule(ABC):
    """A learning rate as a function of time; subclasses are frozen dataclasses of their own numbers."""

    @abstractmethod
    def __call__(self, time: Tensor) -> Tensor:
        """The rate at ``time`` (steps/dim, any shape; the result broadcasts with it)."""

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Times at which the schedule is not smooth."""
        return ()

    @property
    def initial(self) -> float:
        """The rate at time 0."""
        return float(self(torch.zeros((), dtype=torch.float64)).detach())

    def describe(self) -> dict[str, Any]:
        """Name and numbers, ready for JSON."""
        numbers = {f.name: getattr(self, f.name) for f in fields(self)}  # pyright: ignore[reportArgumentType]
        plain = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in numbers.items()}
        return {"schedule": type(self).__name__, **plain}


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at all times; a tensor of rates makes a batch of schedules."""

    lr: float | Tensor

    def __call__(self, time: Tensor) -> Tensor:
        """``lr`` itself, broadcast to ``time``."""
        return torch.as_tensor(self.lr, dtype=time.dtype, device=time.device) * torch.ones_like(time)


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``lr`` at time 0 to ``final`` at ``horizon``, constant after it."""

    lr: float
    horizon: float
    final: float = 0.0

    def __post_init__(self) -> None:
        checks.positive(type(self).__name__, "horizon", self.horizon, unit="(steps/dim)")

    def __call__(self, time: Tensor) -> Tensor:
        """Interpolates linearly."""
        return self.lr + (self.final - self.lr) * (time / self.horizon).clamp(0, 1)

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """The end of the decay."""
        return (self.horizon,)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from ``lr`` at time 0 to ``final`` at ``horizon``, constant after it."""

    lr: float
    horizon: float
    final: float = 0.0

    def __post_init__(self) -> None:
        checks.positive(type(self).__name__, "horizon", self.horizon, unit="(steps/dim)")

    def __call__(self, time: Tensor) -> Tensor:
        """``final + (lr - final) (1 + cos(pi t / horizon)) / 2``."""
        phase = torch.pi * (time / self.horizon).clamp(0, 1)
        return self.final + (self.lr - self.final) * 0.5 * (1 + torch.cos(phase))

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """The end of the decay."""
        return (self.horizon,)


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """Linear warm-up over ``warmup``, then ``lr``, then a linear decay to 0 over the last ``decay``."""

    lr: float
    horizon: float
    warmup: float = 0.0
    decay: float = 0.0

    def __post_init__(self) -> None:
        checks.positive("WarmupStableDecay", "horizon", self.horizon, unit="(steps/dim)")
        if self.warmup + self.decay > self.horizon:
            raise InvalidInput(
                f"WarmupStableDecay: warmup + decay = {self.warmup + self.decay:g} exceeds the horizon "
                f"{self.horizon:g}. Shorten one of them."
            )

    def __call__(self, time: Tensor) -> Tensor:
        """The trapezium."""
        factor = torch.ones_like(time)
        if self.warmup > 0:
            factor = torch.minimum(factor, time / self.warmup)
        if self.decay > 0:
            factor = torch.minimum(factor, ((self.horizon - time) / self.decay).clamp(min=0))
        return self.lr * factor

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """End of warm-up, start and end of decay."""
        return (self.warmup, self.horizon - self.decay, self.horizon)


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """``values[i]`` from ``times[i]`` up to ``times[i + 1]``; ``times[0]`` is 0. Differentiable in ``values``."""

    times: tuple[float, ...]
    values: Tensor | tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.values) or not self.times or self.times[0] != 0:
            raise InvalidInput(
                f"PiecewiseConstant: needs times starting at 0 and as many values, got {len(self.times)} times "
                f"and {len(self.values)} values."
            )
        if any(b <= a for a, b in zip(self.times, self.times[1:], strict=False)):
            raise InvalidInput("PiecewiseConstant: `times` must increase.")

    def __call__(self, time: Tensor) -> Tensor:
        """The value of the piece that holds ``time``."""
        edges = torch.tensor(self.times[1:], dtype=time.dtype, device=time.device)
        values = torch.as_tensor(self.values, dtype=time.dtype, device=time.device)
        return values[torch.bucketize(time, edges, right=True)]

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Where the pieces meet."""
        return self.times[1:]


@dataclass(frozen=True)
class Function(Schedule):
    """Any smooth function of time given by the caller."""

    function: Callable[[Tensor], Tensor]
    kinks: tuple[float, ...] = ()

    def __call__(self, time: Tensor) -> Tensor:
        """Calls the function."""
        value = torch.as_tensor(self.function(time), dtype=time.dtype, device=time.device)
        return value * torch.ones_like(time)

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """The kinks the caller named."""
        return self.kinks

    def describe(self) -> dict[str, Any]:
        """The function's name; its code cannot be saved."""
        return {
            "schedule": "Function",
            "function": getattr(self.function, "__qualname__", repr(self.function)),
        }


def as_schedule(
    lr: "float | Tensor | Schedule | Callable[[Tensor], Tensor]", *, who: str, horizon: float | None = None
) -> Schedule:
    """The schedule behind an ``lr=`` argument.

    Args:
        lr: A positive number, a schedule, or a function of time (steps/dim).
        who: Name of the calling function, for messages.
        horizon: Where given, the rates up to it are checked on a grid and at the break-points.

    Raises:
        InvalidInput: The rate is not a positive finite number, or a schedule is negative or not finite somewhere.
    """
    if not isinstance(lr, Schedule) and not callable(lr):
        if isinstance(lr, bool):
            raise InvalidInput(f"{who}: `lr` must be a number or a schedule, got {lr}.")
        return Constant(checks.positive(who, "lr", lr))
    schedule = lr if isinstance(lr, Schedule) else Function(lr)
    _check_rates(schedule, who, horizon)
    return schedule


def _check_rates(schedule: Schedule, who: str, horizon: float | None) -> None:
    end = horizon or 0.0
    inside = [t for t in schedule.breakpoints if 0 < t < end]
    edges = torch.tensor([x for t in inside for x in (t * (1 - 1e-12), t)], dtype=torch.float64)
    times = torch.cat([torch.linspace(0, end, _CHECKED if end else 1, dtype=torch.float64), edges])
    try:
        rates = torch.as_tensor(schedule(times)).detach()
        wrong_shape = rates.shape != times.shape
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InvalidInput(f"{who}: `lr` as a schedule could not be evaluated at times (steps/dim): {error}.") from None
    if wrong_shape:
        raise InvalidInput(
            f"{who}: `lr` as a schedule must give one rate per time, got shape {tuple(rates.shape)} for "
            f"{len(times)} times."
        )
    bad = ~torch.isfinite(rates) | (rates < 0)
    if bool(bad.any()):
        where = int(bad.nonzero()[0])
        raise InvalidInput(
            f"{who}: `lr` is {float(rates[where]):g} at time {float(times[where]):g} steps/dim; "
            "a learning rate cannot be negative or infinite."
        )
