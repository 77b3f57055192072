"""Many paths of a homogenized SDE in blocks of bounded memory, each path with its own random stream."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.limits.homogenized_step import ModeSde, first_memory, step

BLOCK_BYTES = 64 * 2**20  # bound on normals, shocks and states of the paths that advance together
_STATES = 10  # vectors of length d that a path needs besides its normals and shocks
BLOW_UP = 1e12  # a path whose risk passes this many times the scale of the problem has diverged


@dataclass(frozen=True)
class Leg:
    """Equal steps between two times; ``record`` is the index of the recorded time at its end, or -1."""

    start: float
    length: float
    count: int
    record: int


@dataclass(frozen=True)
class Paths:
    """Recorded values, shape (paths, num_times); fewer paths or times where a key stopped the run."""

    values: Tensor
    num_steps: int
    interrupted: bool = False


def run_paths(
    sde: ModeSde,
    legs: list[Leg],
    *,
    first_recorded: bool,
    num_times: int,
    num_paths: int,
    seed: int,
    read: Callable[[Tensor], Tensor],
    meter: Meter,
    block_bytes: int = BLOCK_BYTES,
) -> Paths:
    """Advance all paths through ``legs`` and read them at their ends.

    Args:
        sde: The equation.
        legs: Consecutive legs from time 0 on.
        first_recorded: Whether time 0 is the first recorded time.
        num_times: Recorded times.
        num_paths: Independent paths; path i draws from its own stream of ``seed``.
        seed: Whole number.
        read: (p, d) coordinates -> (p,) values.
        meter: Told the fraction done.
        block_bytes: Memory for normals, shocks and states.

    Returns:
        The values; ``inf`` for a path from the time on at which it is seen to have diverged.
    """
    dim, sources = len(sde.eigvals), len(sde.factors)
    per_step, fixed = 2 * 8 * dim * sources, 8 * dim * _STATES
    width = max(1, min(num_paths, block_bytes // (per_step + fixed)))
    chunk = max(1, (block_bytes // width - fixed) // per_step)
    total = sum(leg.count for leg in legs)
    done: list[Tensor] = []
    for start in range(0, num_paths, width):
        members = range(start, min(start + width, num_paths))
        block = _Block(sde, members, seed=seed, num_times=num_times, read=read)
        try:
            if first_recorded:
                block.record(0)
            for leg in legs:
                for first in range(0, leg.count, chunk):
                    block.advance(leg, first, min(chunk, leg.count - first))
                    share = block.steps / max(total, 1)
                    meter.update((start + len(members) * share) / num_paths)
                if leg.record >= 0:
                    block.record(leg.record)
        except KeyboardInterrupt:
            kept = torch.cat(done) if done else block.values[:, : block.recorded]
            return Paths(kept, total, interrupted=True)
        done.append(block.values)
    return Paths(torch.cat(done), total)


class _Block:
    """The paths that advance together."""

    def __init__(
        self, sde: ModeSde, members: range, *, seed: int, num_times: int, read: Callable[[Tensor], Tensor]
    ) -> None:
        self._sde, self._read = sde, read
        self._rngs = [stream(seed, "homogenized", path) for path in members]
        self._modes = sde.start.repeat(len(members), 1)
        self._memory = first_memory(sde, len(members))
        self.values = torch.full((len(members), num_times), torch.inf, dtype=torch.float64)
        self._alive = torch.ones(len(members), dtype=torch.bool)
        self.recorded, self.steps = 0, 0

    def advance(self, leg: Leg, first: int, count: int) -> None:
        """``count`` steps of ``leg``, from its step ``first`` on."""
        normals = np.empty((len(self._rngs), count, len(self._sde.factors), len(self._sde.eigvals)))
        for rng, part in zip(self._rngs, normals, strict=True):
            rng.standard_normal(out=part)
        shocks = self._sde.shocks(torch.from_numpy(normals))
        for index in range(count):
            time = leg.start + (first + index) * leg.length
            self._modes, self._memory = step(self._sde, self._modes, self._memory, time, leg.length, shocks[:, index])
            self.steps += 1

    def record(self, index: int) -> None:
        """Read every path that is alive; one that is not is held at 0, which no one reads."""
        risk = self._sde.risk(self._modes)
        self._alive &= risk <= BLOW_UP * self._sde.scale  # NaN compares false
        self._modes[~self._alive] = 0
        value = self._read(self._modes)
        self.values[self._alive, index] = value[self._alive]
        self.recorded = index + 1


def legs_between(times: list[float], breakpoints: list[float], wanted: list[float]) -> list[Leg]:
    """Legs from 0 to the last of ``times`` that end on every time and break-point.

    Args:
        times: Recorded times, increasing.
        breakpoints: Where the schedule has kinks.
        wanted: Largest step on the way to each entry of ``times``.

    Returns:
        The legs.
    """
    legs: list[Leg] = []
    now = 0.0
    for index, (time, largest) in enumerate(zip(times, wanted, strict=True)):
        kinks = sorted({b for b in breakpoints if now < b < time})
        for end in [*kinks, time]:
            if end > now:
                count = max(1, math.ceil((end - now) / largest * (1 - 1e-12)))
                legs.append(Leg(now, (end - now) / count, count, index if end == time else -1))
                now = end
    return legs
