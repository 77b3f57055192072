"""What a simulation is asked to do, after all checks; how it is cut so that its buffers stay bounded."""

import math
from dataclasses import dataclass

import torch

from signscope.schedules import BatchPlan, Schedule
from signscope.simulation.streams import GRANULE, granule_steps

BUFFER_BYTES = 256 * 2**20  # bound on the buffers of a simulation, whatever num_runs, horizon and dim
BLOCK_NUMBERS = 2**21  # preferred size of one buffer of rows: larger ones leave the cache


@dataclass(frozen=True)
class Settings:
    """Checked arguments of `simulate`, and the steps at which it records."""

    optimizer: str
    schedule: Schedule
    horizon: float
    record_steps: tuple[int, ...]
    batch_size: int
    betas: tuple[float, float]
    eps: float
    num_runs: int
    seed: int
    rows: str
    dtype: torch.dtype
    device: torch.device
    plan: BatchPlan | None = None  # batch sizes that change; `batch_size` is then the largest

    def batch_pieces(self, dim: int) -> list[tuple[int, int]]:
        """(first step, batch size) of the pieces in which the batch size is constant."""
        if self.plan is None:
            return [(0, self.batch_size)]
        starts = [math.ceil(time * dim * (1 - 1e-12)) for time in self.plan.times]
        return list(zip(starts, self.plan.batch_sizes, strict=True))

    @property
    def num_steps(self) -> int:
        """Updates per run: up to the last recorded time."""
        return self.record_steps[-1]

    @property
    def wants_signs(self) -> bool:
        """Whether the signs of the rows are computed with the rows (signSGD on single rows)."""
        return self.optimizer == "signsgd" and self.batch_size == 1


@dataclass(frozen=True)
class Layout:
    """How the work is cut; no result depends on it beyond rounding.

    Attributes:
        block_steps: Steps whose rows are drawn together.
        granule: Steps per call of a torch generator; ``block_steps`` is a multiple of it.
        group_runs: Runs that advance together; further runs follow after them.
        lane_runs: Runs of a group whose rows one task draws.
        workers: Threads that draw the next block during the steps of this one; 0 draws in the caller's thread.
    """

    block_steps: int
    granule: int
    group_runs: int
    lane_runs: int
    workers: int

    @property
    def num_buffers(self) -> int:
        """Blocks held at a time: one is stepped through while the next is drawn."""
        return 2 if self.workers else 1


def layout(settings: Settings, *, dim: int, num_factors: int, num_rows: int, workers: int) -> Layout:
    """The cut that keeps buffers under `BUFFER_BYTES`, provided one step of one run fits.

    Args:
        settings: What to simulate.
        dim: Numbers per row.
        num_factors: Standard normals per row; 0 when rows come from data.
        num_rows: Rows of the data set that each run keeps an order of; 0 if it keeps none.
        workers: Threads at hand; fewer than two, or a device of its own, and drawing is not overlapped.

    Notes:
        Counted are rows (and their signs) of the blocks in flight, normals, label noise, row orders and the
        state of the optimizer; not the problem itself, its data or the recorded result.
    """
    workers = workers if workers > 1 and settings.device.type == "cpu" else 0
    granule = 1
    if num_factors:
        granule = granule_steps(
            numbers_per_step=settings.batch_size * num_factors, dtype=settings.dtype, device=settings.device
        )
    per_step, fixed = _bytes_per_run(settings, dim, num_factors, num_rows, buffers=2 if workers else 1)
    group = max(1, min(settings.num_runs, BUFFER_BYTES // (fixed + granule * per_step)))
    room = (BUFFER_BYTES // group - fixed) // per_step
    wanted = BLOCK_NUMBERS // (group * settings.batch_size * dim)
    steps = _even_blocks(settings.num_steps, at_most=max(granule, min(room, wanted)), granule=granule)
    lane = -(-group // (4 * workers)) if workers else group
    return Layout(block_steps=steps, granule=granule, group_runs=group, lane_runs=lane, workers=workers)


def _bytes_per_run(settings: Settings, dim: int, num_factors: int, num_rows: int, *, buffers: int) -> tuple[int, int]:
    """Bytes that grow with the steps of a block, and bytes that do not."""
    size = settings.dtype.itemsize
    copies = buffers * (2 if settings.wants_signs else 1) + 1  # one more for what `Covariance.colour` returns
    per_step = settings.batch_size * (size * (copies * dim + num_factors) + 8 * (buffers + 2))
    fixed = 16 * dim * size + 24 * dim + 16 * GRANULE + 16 * num_rows  # Adam's temporaries: about 12 vectors
    return per_step, fixed


def _even_blocks(num_steps: int, *, at_most: int, granule: int) -> int:
    """Steps per block: a multiple of ``granule``, about equal blocks, none above ``at_most``."""
    largest = max(granule, at_most // granule * granule)
    num_blocks = max(1, -(-num_steps // largest))
    return min(largest, -(-num_steps // (num_blocks * granule)) * granule) or granule
