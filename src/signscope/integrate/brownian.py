"""Brownian increments of many paths: named streams, the same numbers however the work is cut."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from signscope._core.random import stream

_PER_STREAM = 4096  # numbers that one stream gives per step: enough to hide the call, few enough to waste


def paths_per_stream(width: int) -> int:
    """Paths that share one stream; it depends on the numbers per path and step alone."""
    return max(1, _PER_STREAM // width)


class Normals:
    """Standard normals for the steps of some paths, or what a law draws.

    Path i always reads row ``i % p`` of stream ``i // p``, p = `paths_per_stream`, so its numbers depend on the seed,
    the name, the width and i: not on how many other paths there are, nor on which of them advance together.

    Args:
        seed: Seed of all streams.
        name: What the numbers are for; different names give independent numbers.
        paths: Consecutive paths; the first must start a stream.
        width: Numbers per path and step.
        dtype: Of the numbers; float64 on the CPU comes from NumPy (the quickest there), the rest from torch.
        device: Where they lie.
        coarsen: Each call adds up this many steps of the fine path and divides by the root of their number, so that
            runs with different steps can follow the same Brownian path.
        law: ``law(rng, size)`` draws raw numbers instead of standard normals.
    """

    def __init__(
        self,
        seed: int,
        name: str,
        paths: range,
        *,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        coarsen: int = 1,
        law: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None,
    ) -> None:
        self.coarsen = coarsen
        size = paths_per_stream(width)
        assert paths.start % size == 0, "a group of paths starts with a stream"
        streams = range(paths.start // size, -(-paths.stop // size))
        self._out = torch.empty(len(streams) * size, width, dtype=dtype, device=device)
        self._pieces = list(self._out.split(size))
        self._used = self._out[: len(paths)]
        if law is not None:
            self._fillers = [_by_law(stream(seed, name, s), law) for s in streams]
        elif device.type == "cpu" and dtype == torch.float64:
            self._fillers = [_by_numpy(stream(seed, name, s)) for s in streams]
        else:
            # torch's CPU generator keeps 32 bits of its seed: consecutive seeds cannot collide, hashed ones could
            base = int(stream(seed, name).integers(2**32))
            self._fillers = [_by_torch(torch.Generator(device).manual_seed((base + s) % 2**32)) for s in streams]

    def next(self) -> Tensor:
        """The numbers of the next step, (num_paths, width); valid until the next call."""
        if self.coarsen == 1:
            self._fill()
            return self._used
        total = torch.zeros_like(self._used)
        for _ in range(self.coarsen):
            self._fill()
            total += self._used
        return total.mul_(1 / math.sqrt(self.coarsen))

    def _fill(self) -> None:
        for fill, piece in zip(self._fillers, self._pieces, strict=True):
            fill(piece)


def _by_numpy(rng: np.random.Generator) -> Callable[[Tensor], object]:
    return lambda out: rng.standard_normal(out=out.numpy())


def _by_torch(generator: torch.Generator) -> Callable[[Tensor], object]:
    return lambda out: out.normal_(generator=generator)


def _by_law(
    rng: np.random.Generator, law: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
) -> Callable[[Tensor], object]:
    return lambda out: out.copy_(torch.from_numpy(law(rng, tuple(out.shape))))
