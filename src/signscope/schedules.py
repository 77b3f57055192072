"""Learning-rate schedules as functions of time, in steps/dim.

A schedule is called with times and gives the theory's rate ``lr`` there; one update moves by ``lr / dim``.
Kinks are listed in ``breakpoints`` so that integrators can step onto them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from signscope._core import checks
from signscope._core.errors import InvalidInput

_CHECKED = 1025  # times at which a schedule is looked at before a run


class Schedule(ABC):
    """A learning rate as a function of time; subclasses are frozen dataclasses of their own numbers."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        checks.take_numbers(cls, "__call__", "time")

    @abstractmethod
    def __call__(self, time: Tensor) -> Tensor:
        """The rate at ``time`` (steps/dim, any shape; numbers and arrays give float64; the result broadcasts)."""

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Times at which the schedule is not smooth."""
        return ()

    @property
    def initial(self) -> float:
        """The rate at time 0."""
        return float(self(torch.zeros((), dtype=torch.float64)).detach())

    def describe(self) -> dict[str, Any]:
        """Name and numbers, ready for JSON; `as_schedule` reads it back."""
        numbers = {f.name: getattr(self, f.name) for f in fields(self)}  # pyright: ignore[reportArgumentType]
        return {"schedule": type(self).__name__, **{name: _plain(value) for name, value in numbers.items()}}

    def torch_scheduler(self, optimizer: Optimizer, *, dim: int, last_epoch: int = -1) -> LRScheduler:
        """This schedule for any torch optimizer: update k is made at torch's lr = schedule(k / dim) / dim.

        Args:
            optimizer: Its parameter groups all get this rate; what lr they had is not read.
            dim: Steps in one unit of time; on a least-squares problem its number of coordinates.
            last_epoch: Updates already made when a run is resumed, minus 1; -1 for a new one.

        Returns:
            A `torch.optim.lr_scheduler.LRScheduler`: call ``step()`` after every update. Its ``state_dict`` holds
            the position, not the schedule.

        Raises:
            InvalidInput: ``dim`` is not a whole number above 0, or ``optimizer`` is not torch's.
        """
        return _TorchScheduler(optimizer, self, dim=dim, last_epoch=last_epoch)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at all times; a tensor of rates makes a batch of schedules."""

    lr: float | Tensor

    def __call__(self, time: Tensor) -> Tensor:
        """``lr`` itself, broadcast to ``time``."""
        return torch.as_tensor(self.lr, dtype=time.dtype, device=time.device) * torch.ones_like(time)


@dataclass(frozen=True)
class _Decay(Schedule):
    """From ``lr`` at time 0 to ``final`` at ``horizon``, constant after it."""

    lr: float
    horizon: float
    final: float = 0.0

    def __post_init__(self) -> None:
        checks.positive(type(self).__name__, "horizon", self.horizon, unit="(steps/dim)")
        _to_floats(self, "lr", "horizon", "final")

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """The end of the decay."""
        return (self.horizon,)


@dataclass(frozen=True)
class Linear(_Decay):
    """From ``lr`` at time 0 to ``final`` at ``horizon``, constant after it."""

    def __call__(self, time: Tensor) -> Tensor:
        """Interpolates linearly."""
        return self.lr + (self.final - self.lr) * (time / self.horizon).clamp(0, 1)


@dataclass(frozen=True)
class Cosine(_Decay):
    """Half a cosine from ``lr`` at time 0 to ``final`` at ``horizon``, constant after it."""

    def __call__(self, time: Tensor) -> Tensor:
        """``final + (lr - final) (1 + cos(pi t / horizon)) / 2``."""
        phase = torch.pi * (time / self.horizon).clamp(0, 1)
        return self.final + (self.lr - self.final) * 0.5 * (1 + torch.cos(phase))


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """Linear warm-up over ``warmup``, then ``lr``, then a linear decay to 0 over the last ``decay``."""

    lr: float
    horizon: float
    warmup: float = 0.0
    decay: float = 0.0

    def __post_init__(self) -> None:
        checks.positive("WarmupStableDecay", "horizon", self.horizon, unit="(steps/dim)")
        for name in ("warmup", "decay"):
            checks.non_negative("WarmupStableDecay", name, getattr(self, name))
        _to_floats(self, "lr", "horizon", "warmup", "decay")
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
class _Pieces(Schedule):
    """Times that start at 0 and increase, with one value each."""

    times: tuple[float, ...]
    values: Tensor | tuple[float, ...]

    def __post_init__(self) -> None:
        who = type(self).__name__
        object.__setattr__(self, "times", checks.numbers(who, "times", self.times))
        if not isinstance(self.values, Tensor) or not self.values.ndim:
            object.__setattr__(self, "values", checks.numbers(who, "values", self.values))
        if len(self.times) != len(self.values) or not self.times or self.times[0] != 0:
            raise InvalidInput(
                f"{who}: needs times starting at 0 and as many values, got {len(self.times)} times "
                f"and {len(self.values)} values."
            )
        if not all(b > a for a, b in zip(self.times, self.times[1:], strict=False)):
            raise InvalidInput(f"{who}: `times` must increase.")


@dataclass(frozen=True)
class PiecewiseConstant(_Pieces):
    """``values[i]`` from ``times[i]`` up to ``times[i + 1]``; ``times[0]`` is 0. Differentiable in ``values``."""

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
class PiecewiseLinear(_Pieces):
    """Straight lines through ``values[i]`` at ``times[i]``, constant after the last. Differentiable in ``values``."""

    def __call__(self, time: Tensor) -> Tensor:
        """Interpolates linearly."""
        knots = torch.tensor(self.times, dtype=time.dtype, device=time.device)
        values = torch.as_tensor(self.values, dtype=time.dtype, device=time.device)
        if len(knots) == 1:
            return values[0] * torch.ones_like(time)
        left = (torch.bucketize(time, knots, right=True) - 1).clamp(0, len(knots) - 2)
        share = ((time - knots[left]) / (knots[left + 1] - knots[left])).clamp(0, 1)
        return torch.lerp(values[left], values[left + 1], share)

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Where the lines meet."""
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


class _TorchScheduler(LRScheduler):
    """See `Schedule.torch_scheduler`."""

    def __init__(self, optimizer: Optimizer, schedule: Schedule, *, dim: int, last_epoch: int) -> None:
        if not isinstance(optimizer, Optimizer):
            raise InvalidInput(f"torch_scheduler: `optimizer` must be torch's, got {type(optimizer).__name__}.")
        self.schedule = schedule
        self.dim = checks.integer("torch_scheduler", "dim", dim, minimum=1)
        checks.integer("torch_scheduler", "last_epoch", last_epoch, minimum=-1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The optimizer's lr of the next update, for every parameter group."""
        time = torch.tensor(self.last_epoch / self.dim, dtype=torch.float64)
        return [float(self.schedule(time).detach()) / self.dim] * len(self.optimizer.param_groups)

    def state_dict(self) -> dict[str, Any]:
        """The position; the schedule is given again when a run is resumed."""
        return {key: value for key, value in super().state_dict().items() if key != "schedule"}


@dataclass(frozen=True)
class BatchPlan:
    """A learning rate and a batch size for every piece of a run: both hold from ``times[i]`` up to ``times[i + 1]``.

    Attributes:
        times: Starts of the pieces, in steps/dim, from 0, increasing.
        rates: The theory's rate in each piece.
        batch_sizes: Rows per update in each piece.
        horizon: End of the run, in steps/dim.
    """

    times: tuple[float, ...]
    rates: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    horizon: float

    def __post_init__(self) -> None:
        for name in ("times", "rates", "batch_sizes"):
            object.__setattr__(self, name, checks.numbers("BatchPlan", name, getattr(self, name)))
        object.__setattr__(self, "horizon", checks.positive("BatchPlan", "horizon", self.horizon))
        sizes = tuple(checks.integer("BatchPlan", "batch_sizes", size, minimum=1) for size in self.batch_sizes)
        object.__setattr__(self, "batch_sizes", sizes)
        as_schedule(self.lr, who="BatchPlan", horizon=self.horizon)
        if len(sizes) != len(self.times) or not self.times[-1] < self.horizon:
            raise InvalidInput(
                f"BatchPlan: needs one batch size per piece and pieces before the horizon {self.horizon:g}, got "
                f"{len(self.times)} pieces, the last at {self.times[-1]:g}, and {len(sizes)} batch sizes."
            )

    @property
    def lr(self) -> PiecewiseConstant:
        """The rate alone."""
        return PiecewiseConstant(self.times, self.rates)

    @property
    def samples(self) -> float:
        """Rows that the run uses, per dim."""
        ends = (*self.times[1:], self.horizon)
        return sum(b * (end - start) for b, start, end in zip(self.batch_sizes, self.times, ends, strict=True))

    def updates(self, dim: int) -> list[tuple[int, float]]:
        """(batch size, torch's lr) of every update of a run with ``dim`` steps per unit of time."""
        count = int(self.horizon * checks.integer("updates", "dim", dim, minimum=1) * (1 + 1e-12))
        steps = torch.arange(count, dtype=torch.float64) / dim
        pieces = torch.bucketize(steps, torch.tensor(self.times[1:], dtype=torch.float64), right=True)
        return [(self.batch_sizes[piece], self.rates[piece] / dim) for piece in pieces.tolist()]

    def describe(self) -> dict[str, Any]:
        """Name and numbers, ready for JSON; ``BatchPlan(**numbers)`` reads them back."""
        return {"schedule": "BatchPlan", **{f.name: _plain(getattr(self, f.name)) for f in fields(self)}}


SHAPES: dict[str, type[Schedule]] = {
    shape.__name__: shape for shape in (Constant, Linear, Cosine, WarmupStableDecay, PiecewiseConstant, PiecewiseLinear)
}
"""The schedules that `Schedule.describe` writes and `as_schedule` reads."""


def as_schedule(
    lr: "float | Tensor | Schedule | Mapping[str, Any] | Callable[[Tensor], Tensor]",
    *,
    who: str,
    horizon: float | None = None,
) -> Schedule:
    """The schedule behind an ``lr=`` argument.

    Args:
        lr: A positive number, a schedule, what `Schedule.describe` gave, or a function of time (steps/dim).
        who: Name of the calling function, for messages.
        horizon: Where given, the rates up to it are checked on a grid and at the break-points.

    Raises:
        InvalidInput: The rate is not a positive finite number, or a schedule is negative or not finite somewhere.
    """
    if isinstance(lr, BatchPlan):
        raise InvalidInput(f"{who}: `lr` must be a number or a schedule, got a BatchPlan. Pass its rates, `plan.lr`.")
    if isinstance(lr, Mapping):
        lr = _described(lr, who)
    if not isinstance(lr, Schedule) and not callable(lr):
        if isinstance(lr, bool):
            raise InvalidInput(f"{who}: `lr` must be a number or a schedule, got {lr}.")
        return Constant(checks.positive(who, "lr", lr))
    schedule = lr if isinstance(lr, Schedule) else Function(lr)
    _check_rates(schedule, who, horizon)
    return schedule


def _described(description: Mapping[str, Any], who: str) -> Schedule:
    """The schedule that a description of it names."""
    name = description.get("schedule")
    if name not in SHAPES:
        raise InvalidInput(f"{who}: `lr` as a description needs `schedule` out of {', '.join(SHAPES)}; got {name!r}.")
    known = [f.name for f in fields(SHAPES[name])]  # pyright: ignore[reportArgumentType]
    numbers = {key: value for key, value in description.items() if key != "schedule"}
    unknown = [key for key in numbers if key not in known]
    try:
        if unknown:
            raise TypeError(f"it has no {unknown[0]!r}, only {', '.join(known)}")
        checked = {key: _numbers(value) for key, value in numbers.items()}
        return SHAPES[name](**checked)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{who}: `lr` is not a description of a {name} schedule: {error}.") from None


def _to_floats(schedule: Schedule, *names: str) -> None:
    """Turn the named fields into finite floats; tensors stay, for their gradients."""
    for name in names:
        value = getattr(schedule, name)
        if not isinstance(value, Tensor):
            object.__setattr__(schedule, name, checks.finite(type(schedule).__name__, name, value))


def _numbers(value: Any) -> Any:
    return tuple(float(v) for v in value) if isinstance(value, list | tuple) else float(value)


def _plain(value: Any) -> Any:
    """Tensors and tuples as JSON has them."""
    if isinstance(value, Tensor):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


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
