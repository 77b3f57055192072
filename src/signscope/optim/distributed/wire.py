"""Protocol P3: all-to-all of packed bits, every rank serves its slice, all-gather of the packed result.

Every byte that leaves a rank is counted: ``payload_bytes`` for bits and scales, ``dense_bytes`` for uncompressed
gradients (first estimates, refreshes) and ``control_bytes`` for what keeps the ranks in step.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.optim.distributed.faults import damaged, lost, row_sums

SINGLE_GATHER: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
"""The later name where there is one: the earlier is deprecated there."""


@equation("signscope", "bytes per worker and step, protocol P3")
def bytes_per_step(
    dim: int, num_workers: int, *, up_bits: float = 1, down_bits: float = 1, up_scales: int = 0, down_scales: int = 0
) -> float:
    r"""Bytes that every worker sends per step.

    $$ \frac{n-1}{n} \Bigl(\frac{u + w}{8} d + 4 (\text{scales}) \Bigr) $$

    With one bit up and down, an fp32 all-reduce by ring (8 d (n-1)/n bytes) sends 32 times as many.

    Args:
        dim: Coordinates d, padding included.
        num_workers: n.
        up_bits: u, bits per coordinate to the owners of the slices.
        down_bits: w, bits per coordinate back (2 for a ternary result, 8 for counts).
        up_scales: float32 numbers that one worker sends to all owners together, its own slice included.
        down_scales: float32 numbers that all owners send back together.
    """
    share = (num_workers - 1) / num_workers
    return share * ((up_bits + down_bits) * dim / 8 + 4 * (up_scales + down_scales))


class Pending:
    """An exchange under way.

    Args:
        wire: Where it was started.
        doing: Name for messages.
        result: What `wait` returns, complete only then.
        work: Handle of torch.distributed; None where nothing is sent.
        sums: The senders' `row_sums` of the result, under way; None where they are not asked for.
    """

    def __init__(
        self, wire: "Wire", doing: str, result: Tensor, work: Any = None, sums: "Pending | None" = None
    ) -> None:
        self.wire, self.doing, self.result, self.work, self.sums = wire, doing, result, work, sums

    def wait(self) -> Tensor:
        """The result, as soon as everything is here.

        Raises:
            WorkerLost: A worker died, hangs or left.
            MessageDamaged: The sums are not those of what came.
        """
        if self.work is not None:
            work, self.work = self.work, None
            self.wire.finish(self.doing, work)
            if self.sums is not None:
                self.wire.compare(self.doing, self.result, self.sums.wait())
        return self.result


class Wire:
    """The collectives of one process group, with a timeout and counted bytes.

    Args:
        who: Name for messages.
        group: Process group; None is the whole world.
        timeout: Seconds after which a missing worker is an error; None leaves it to the process group.

    Raises:
        InvalidInput: torch.distributed is not initialized, or this process is not in the group.
    """

    def __init__(self, who: str, group: Any = None, *, timeout: float | None = None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise InvalidInput(
                f"{who}: there is no process group. Start the script with `torchrun --standalone --nproc_per_node=4 "
                "script.py` and call torch.distributed.init_process_group() first (one process will do as well)."
            )
        self.who, self.group, self.timeout = who, group, timeout
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        if self.rank < 0:
            raise InvalidInput(f"{who}: this process (rank {dist.get_rank()}) is not in the given process group.")
        self.payload_bytes = self.dense_bytes = self.control_bytes = 0
        self.step = 0
        self.checked = False
        """Whether messages are compared with sums that travel beside them (8 bytes each, control_bytes)."""
        self.broken: Exception | None = None
        # gloo gathers around a ring, in n - 1 turns; sending the row to everyone at once is as many bytes, and faster.
        self.direct = dist.get_backend(group) == "gloo"

    def exchange(self, slices: Tensor, *, kind: str = "payload") -> Tensor:
        """Sends row k to rank k; returns the rows that came, by sender.

        Args:
            slices: One row per rank, contiguous.
            kind: Which counter the bytes go to: "payload", "dense" or "control".
        """
        return self.start_exchange(slices, kind=kind).wait()

    def gather(self, own: Tensor, *, kind: str = "payload") -> Tensor:
        """Sends a flat tensor to everyone; returns all of them, by sender, shape (ranks, length)."""
        return self.start_gather(own, kind=kind).wait()

    def start_exchange(self, slices: Tensor, *, out: Tensor | None = None, kind: str = "payload") -> Pending:
        """`exchange` without waiting; ``slices`` must stay as they are until then, ``out`` is where rows arrive."""
        if self.size == 1:
            return Pending(self, "all-to-all", slices)
        received = torch.empty_like(slices) if out is None else out
        work = self._start(
            "all-to-all", lambda: dist.all_to_all_single(received, slices, group=self.group, async_op=True)
        )
        self._count(kind, slices[0], times=self.size - 1)
        sums = self.start_exchange(row_sums(slices), kind="control") if self._adds_sums(kind) else None
        return Pending(self, "all-to-all", received, work, sums)

    def start_gather(
        self, own: Tensor, *, out: Tensor | None = None, room: Tensor | None = None, kind: str = "payload"
    ) -> Pending:
        """`gather` without waiting; ``own`` and ``room`` (as large as the result) must stay as they are until then."""
        if self.size == 1:
            return Pending(self, "all-gather", own[None])
        own = own.contiguous()
        everything = own.new_empty(self.size, len(own)) if out is None else out
        if self.direct:
            sent = torch.empty_like(everything) if room is None else room
            send = dist.all_to_all_single
            sent.copy_(own)  # into every row
        else:
            send, sent = SINGLE_GATHER, own
        work = self._start(
            "all-gather", lambda: send(everything.view(-1), sent.view(-1), group=self.group, async_op=True)
        )
        self._count(kind, own, times=self.size - 1)
        sums = self.start_gather(row_sums(own[None])[0], kind="control") if self._adds_sums(kind) else None
        return Pending(self, "all-gather", everything, work, sums)

    def start_agree(self, numbers: list[int], *, device: torch.device) -> Pending:
        """Whole numbers of every rank, shape (ranks, numbers), without waiting."""
        return self.start_gather(torch.tensor(numbers, dtype=torch.int64, device=device), kind="control")

    def agree(self, numbers: list[int], *, device: torch.device) -> Tensor:
        """Whole numbers of every rank, shape (ranks, numbers), on the CPU."""
        return self.start_agree(numbers, device=device).wait().cpu()

    def finish(self, doing: str, work: Any) -> None:
        """Waits for what was started, as long as the timeout allows.

        Raises:
            WorkerLost: It did not come.
        """
        try:
            if self.timeout is None:
                work.wait()
            else:
                work.wait(timedelta(seconds=self.timeout))
        except RuntimeError as cause:
            self.broken = cause
            raise self._lost(doing, cause) from cause

    def compare(self, doing: str, rows: Tensor, sums: Tensor) -> None:
        """Looks whether rows arrived as they were sent.

        Raises:
            MessageDamaged: A row did not.
        """
        senders = (row_sums(rows) != sums).view(-1).nonzero().view(-1).tolist()
        if senders:
            self.broken = damaged(
                self.who, rank=self.rank, size=self.size, step=self.step, doing=doing, senders=senders
            )
            raise self.broken

    def _adds_sums(self, kind: str) -> bool:
        return self.checked and kind != "control"

    def _start(self, doing: str, start: Callable[[], Any]) -> Any:
        if self.broken is not None:
            raise self._lost(doing, self.broken)
        try:
            return start()
        except RuntimeError as cause:
            self.broken = cause
            raise self._lost(doing, cause) from cause

    def _lost(self, doing: str, cause: Exception) -> Exception:
        return lost(
            self.who, rank=self.rank, size=self.size, step=self.step, doing=doing, timeout=self.timeout, cause=cause
        )

    def _count(self, kind: str, tensor: Tensor, *, times: int) -> None:
        name = f"{kind}_bytes"
        setattr(self, name, getattr(self, name) + times * tensor.numel() * tensor.element_size())
