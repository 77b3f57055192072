"""Arguments that a run of an SDE and a run of its optimizer share, checked once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.integrate.ensemble import Observable
from signscope.problems.arrays import as_float64
from signscope.problems.oracle import Loss, as_loss
from signscope.problems.oracle_noise import GradientNoise, as_gradient_noise

OPTIMIZERS = ("sgd", "signsgd", "rmsprop", "rmspropw", "adam", "adamw")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_NUM_TIMES = 101


@dataclass(frozen=True)
class RunArguments:
    """Checked arguments; ``rule`` is the optimizer's name without its W, ``steps`` are recorded."""

    optimizer: str
    rule: str
    loss: Loss
    noise: GradientNoise
    start: Tensor
    lr: float
    steps: tuple[int, ...]
    betas: tuple[float, float]
    weight_decay: float
    eps: float
    factor: Callable[[float], float] | None
    num_paths: int
    seed: int
    observables: Mapping[str, Observable]
    dtype: torch.dtype
    device: torch.device


def run_arguments(
    who: str,
    loss: Any,
    start: Any,
    *,
    optimizer: str,
    noise: Any,
    lr: float,
    num_steps: int | None,
    horizon: float | None,
    betas: tuple[float, float],
    weight_decay: float,
    eps: float,
    schedule: Callable[[Any], Any] | None,
    num_paths: int,
    seed: int,
    times: Sequence[int] | None,
    observe: Mapping[str, Observable] | None,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
) -> RunArguments:
    """The arguments of `signscope.sdes.solve`, checked; ``who`` is named in messages."""
    name = checks.one_of(who, "optimizer", optimizer, OPTIMIZERS)
    rule = name.removesuffix("w")
    decay = checks.non_negative(who, "weight_decay", weight_decay)
    if decay and name in ("adam", "rmsprop"):
        raise InvalidInput(
            f"{who}: {name} has no decoupled weight decay. Use {name}w, or add weight_decay |x|^2 / 2 to the loss for "
            "the coupled (L2) kind."
        )
    kind = _DTYPES[checks.one_of(who, "dtype", str(dtype or "float64").removeprefix("torch."), _DTYPES)]
    place = _device(who, device)
    point = as_float64(who, "start", start)
    if point.ndim != 1 or not len(point):
        raise InvalidInput(f"{who}: `start` must be a vector of at least one number, got shape {tuple(point.shape)}.")
    point = point.to(dtype=kind, device=place)
    rate = checks.positive(who, "lr", lr)
    if not isinstance(observe, Mapping | None):
        raise InvalidInput(f"{who}: `observe` must map names to functions, got {checks.shown(observe)}.")
    found = as_loss(who, loss.placed(kind, place) if isinstance(loss, Loss) else loss, point)
    kicks = as_gradient_noise(who, noise, len(point)).placed(kind, place)
    return RunArguments(
        optimizer=name,
        rule=rule,
        loss=found,
        noise=kicks,
        start=point,
        lr=rate,
        steps=_steps(who, num_steps, horizon, rate, times),
        betas=checks.betas(who, betas),
        weight_decay=decay,
        eps=checks.non_negative(who, "eps", eps),
        factor=None if schedule is None else _factor(who, schedule),
        num_paths=checks.integer(who, "num_paths", num_paths, minimum=1),
        seed=checks.integer(who, "seed", seed, minimum=0),
        observables={"loss": found.value, **(observe or {})},
        dtype=kind,
        device=place,
    )


def _steps(
    who: str, num_steps: int | None, horizon: float | None, lr: float, times: Sequence[int] | None
) -> tuple[int, ...]:
    if (num_steps is None) == (horizon is None):
        raise InvalidInput(f"{who}: give either `num_steps` or `horizon` (lr*steps).")
    if horizon is not None:
        num_steps = round(checks.positive(who, "horizon", horizon, unit="(lr*steps)") / lr)
        if num_steps < 1:
            raise InvalidInput(f"{who}: `horizon` = {horizon:g} (lr*steps) is less than half a step of lr = {lr:g}.")
    last = checks.integer(who, "num_steps", num_steps, minimum=1)
    if times is None:
        return tuple(int(k) for k in np.unique(np.linspace(0, last, _NUM_TIMES).round()))
    steps = tuple(checks.integer(who, "times", k, minimum=0) for k in checks.numbers(who, "times", times))
    if not steps or any(b <= a for a, b in pairwise(steps)) or steps[-1] > last:
        raise InvalidInput(f"{who}: `times` must be increasing numbers of steps up to {last}.")
    return steps


def _factor(who: str, schedule: Callable[[Any], Any]) -> Callable[[float], float]:
    if not callable(schedule):
        raise InvalidInput(
            f"{who}: `schedule` must be a function of time (lr*steps) or a Schedule, got {checks.shown(schedule)}."
        )
    return lambda time: float(torch.as_tensor(schedule(torch.tensor(time, dtype=torch.float64))))


def _device(who: str, device: torch.device | str | None) -> torch.device:
    try:
        place = torch.device("cpu" if device is None else device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InvalidInput(f"{who}: `device` {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return place
