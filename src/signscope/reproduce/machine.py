"""Where and how training runs are computed: device, compilation, memory, and several processes under torchrun."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput


@dataclass(frozen=True)
class Machine:
    """What does not change a result beyond rounding, and is no part of a run's identity.

    Attributes:
        device: Of network and data.
        compiled: Whether the network goes through ``torch.compile``.
        micro_batch: Rows evaluated at once; None for the whole mini-batch.
        rank: Number of this process.
        size: Number of processes that share every mini-batch.
    """

    device: str = "cpu"
    compiled: bool = False
    micro_batch: int | None = None
    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of the rows of a mini-batch."""
        return rows[self.rank :: self.size]

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over the processes, in one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([part.reshape(-1) for part in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        for part, mean in zip(tensors, flat.split([part.numel() for part in tensors]), strict=True):
            part.copy_(mean.view_as(part))

    def told(self, value: Any) -> Any:
        """The first process's ``value`` in all of them."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box)
        return box[0]


def is_first() -> bool:
    """Whether this process is the one that writes, also before those of torchrun have joined."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def machine_for(who: str, device: str, *, compiled: bool = False, micro_batch: int | None = None) -> Iterator[Machine]:
    """The machine of an experiment; joins the processes that torchrun started.

    Small networks on the CPU run faster on one thread, and independently of the number of cores.

    Raises:
        InvalidInput: The device cannot be used.
    """
    size, rank, begun = int(os.environ.get("WORLD_SIZE", "1")), 0, False
    before = torch.get_num_threads()
    try:
        if size > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
            begun = True
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        if device == "cuda" and size > 1:
            device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
        _try(who, device)
        if torch.device(device).type == "cpu":
            torch.set_num_threads(1)
        yield Machine(device, compiled, micro_batch, rank, size)
    finally:
        torch.set_num_threads(before)
        if begun:
            torch.distributed.destroy_process_group()


def _try(who: str, device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise InvalidInput(f"{who}: `device` {device!r} cannot be used ({first}).") from None
