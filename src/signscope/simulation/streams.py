"""Random numbers of each run: every run has its own generators, read in pieces of fixed size.

The numbers of a run depend on the seed and the number of the run alone, not on how many steps are drawn at a
time, nor on how many other runs there are.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from signscope._core.random import stream

GRANULE = 1024  # label noise and row indices are drawn this many at a time
_PIECE = {"cpu": 2**15, "other": 2**17}  # normals per call of a torch generator: 0.1 ms, or one kernel

_STEPS = 128  # and no more steps than this, so that short runs of small problems draw little in vain


def granule_steps(*, numbers_per_step: int, dtype: torch.dtype, device: torch.device) -> int:
    """Steps that one call of a run's generator of normals covers; blocks are multiples of it."""
    if _by_numpy(dtype, device):
        return 1  # NumPy's generators give the same sequence however it is cut
    piece = _PIECE["cpu" if device.type == "cpu" else "other"]
    return min(_STEPS, max(1, piece // numbers_per_step))


def normals(seed: int, run: int, *, granule: int, dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], None]:
    """The function that fills a contiguous tensor (steps, ...) with the next standard normals of ``run``.

    NumPy's ziggurat is the fastest source of float64 normals on a CPU (7.5 against 17 ns each), torch's
    vectorised Box-Muller of float32 ones (3.4 against 7.5 ns); devices have their own generators.
    """
    if _by_numpy(dtype, device):
        rng = stream(seed, "rows", run)
        return lambda out: _fill_numpy(out, rng)
    # torch's CPU generator keeps 32 bits of its seed: consecutive seeds cannot collide, hashed ones could
    base = int(stream(seed, "rows").integers(2**32))
    generator = torch.Generator(device).manual_seed((base + run) % 2**32)
    return lambda out: _fill_torch(out, generator, granule)


class Granules:
    """Numbers of several runs, drawn in pieces of fixed size and handed out in any size.

    A law may use several raw numbers per sample and reorder them within a call; pieces of fixed size make the
    sequence of samples independent of how many are asked for at a time.

    Args:
        draw: ``draw(rng, size)`` gives ``size`` numbers.
        rngs: One generator per run.
        granule: Size of a piece.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator, int], np.ndarray],
        rngs: Sequence[np.random.Generator],
        *,
        granule: int = GRANULE,
    ) -> None:
        self._draw, self._rngs, self._granule = draw, rngs, granule
        self._held: np.ndarray | None = None

    def take(self, count: int) -> np.ndarray:
        """The next ``count`` numbers of every run, shape (num_runs, count)."""
        held = 0 if self._held is None else self._held.shape[1]
        missing = -(-max(count - held, 0) // self._granule)
        parts = [] if self._held is None else [self._held]
        for _ in range(missing):
            parts.append(np.stack([self._draw(rng, self._granule) for rng in self._rngs]))
        numbers = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        self._held = numbers[:, count:]
        return numbers[:, :count]


def _by_numpy(dtype: torch.dtype, device: torch.device) -> bool:
    return device.type == "cpu" and dtype == torch.float64


def _fill_numpy(out: Tensor, rng: np.random.Generator) -> None:
    rng.standard_normal(out=out.numpy())


def _fill_torch(out: Tensor, generator: torch.Generator, granule: int) -> None:
    for piece in out.split(granule):
        piece.normal_(generator=generator)
