"""Blocks of rows, the next one drawn by threads while the caller steps through this one."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope.simulation.lanes import Lane
from signscope.simulation.settings import Settings


@dataclass(frozen=True)
class Block:
    """Rows of some consecutive steps of all runs of a group.

    Attributes:
        rows: Shape (num_runs, steps, batch_size, dim).
        noise: Label noise, shape (num_runs, steps, batch_size).
        signs: Signs of the rows, in their shape, or None where no rule asks for them.
    """

    rows: Tensor
    noise: Tensor
    signs: Tensor | None

    def fill(self, lane: Lane, first: int) -> None:
        """Let ``lane`` write its share, its runs counted from run ``first`` of the group."""
        part = slice(lane.runs.start - first, lane.runs.stop - first)
        lane.fill(self.rows[part], self.noise[part])
        if self.signs is not None:
            torch.sign(self.rows[part], out=self.signs[part])

    def taking(self, batch_size: int) -> "Block":
        """The same block with the first ``batch_size`` rows of every step."""
        if batch_size == self.rows.shape[2]:
            return self
        signs = None if self.signs is None else self.signs[:, :, :batch_size]
        return Block(self.rows[:, :, :batch_size], self.noise[:, :, :batch_size], signs)


def empty_block(settings: Settings, *, num_runs: int, steps: int, dim: int) -> Block:
    """Memory for one block."""
    shape = (num_runs, steps, settings.batch_size)
    rows = torch.empty((*shape, dim), dtype=settings.dtype, device=settings.device)
    noise = torch.empty(shape, dtype=settings.dtype, device=settings.device)
    return Block(rows=rows, noise=noise, signs=torch.empty_like(rows) if settings.wants_signs else None)


def blocks(
    lanes: Sequence[Lane], buffers: Sequence[Block], *, count: int, workers: int
) -> Generator[Block, None, None]:
    """Yield ``count`` filled blocks, one after the other, in the memory of ``buffers``.

    A block is valid until the next one is asked for. Every lane is filled by one thread at a time and in the
    order of the blocks, so threads change no number. Close the iterator to stop the threads.
    """
    first = lanes[0].runs.start
    if not workers:
        for _ in range(count):
            for lane in lanes:
                buffers[0].fill(lane, first)
            yield buffers[0]
        return
    if not count:
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="signscope-rows")
    try:
        tasks: list[Future[None]] = [pool.submit(buffers[0].fill, lane, first) for lane in lanes]
        for index in range(count):
            for task in tasks:
                task.result()
            ready, other = buffers[index % 2], buffers[1 - index % 2]
            if index + 1 < count:
                tasks = [pool.submit(other.fill, lane, first) for lane in lanes]
            yield ready
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread_per_operation() -> Iterator[None]:
    """Make torch use one thread per operation in here and in threads started here, then restore it.

    The rows are drawn by threads of our own; OpenMP's would compete with them for the same cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
