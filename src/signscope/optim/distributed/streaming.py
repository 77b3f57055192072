"""The plain majority vote in one pass over the gradients and one over the weights, in pieces that stay in cache.

The same operations as the general road, so the result is the same bit for bit. What is saved are flat copies, the
separate test for NaN, and waiting: while one bucket travels, the next one is packed.
"""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from signscope.optim.distributed.buckets import MIXED, Bucket, Piece
from signscope.optim.distributed.method import Round
from signscope.optim.distributed.packing import parity, passes_for, vote
from signscope.optim.distributed.wire import Pending, Wire


def can_stream(tensors: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether all tensors are flat memory on the CPU in the precision of the buffers."""
    return all(tensor.is_cpu and tensor.dtype == dtype and tensor.is_contiguous() for tensor in tensors)


class VoteStream:
    """Reused memory of the buckets, and the rounds on it.

    Args:
        wire: The workers.
        buckets: The layout.
    """

    def __init__(self, wire: Wire, buckets: Sequence[Bucket]) -> None:
        self.wire, self.buckets = wire, buckets
        self.rooms = [torch.empty(3, bucket.padded // 8, dtype=torch.uint8) for bucket in buckets]
        self.passes = passes_for(sum(bucket.padded for bucket in buckets))

    def vote(
        self, rounds: Sequence[Round], grads: Sequence[Tensor], *, agree: Callable[[bool], Callable[[], bool]]
    ) -> list[Tensor] | None:
        """Packed signs of the majority by bucket; None when some rank has a gradient that is not finite.

        Args:
            rounds: One per bucket.
            grads: One per parameter.
            agree: Told whether this rank's gradients are finite; what it returns tells whether those of all ranks are.

        Raises:
            WorkerLost: A worker died, hangs or left; nothing has moved.
        """
        finite, sent, answers = True, list[Pending](), list[Pending]()
        for now in rounds:
            bits, good = self._pack(now, grads[now.bucket.first : now.bucket.first + len(now.bucket.shapes)])
            finite = finite and good
            sent.append(self.wire.start_exchange(bits.view(now.size, -1), out=self._arrived(now)))
            if now.index > 0:
                answers.append(self._serve(rounds[now.index - 1], sent[-2]))
        agreed = agree(finite)
        answers.append(self._serve(rounds[-1], sent[-1]))
        bits = [answer.wait().view(-1) for answer in answers]
        return bits if agreed() else None

    def apply(self, now: Round, packed: Tensor, params: Sequence[Tensor], *, kept: Sequence[float]) -> None:
        """Moves the parameters of a bucket, each multiplied by its factor ``kept`` before, along packed signs."""
        part = slice(now.bucket.first, now.bucket.first + len(now.bucket.shapes))
        apply_pieces(now.bucket, packed, params[part], length=now.length, kept=kept[part], passes=self.passes)

    def _arrived(self, now: Round) -> Tensor:
        return self.rooms[now.index][1].view(now.size, -1)

    def _pack(self, now: Round, grads: Sequence[Tensor]) -> tuple[Tensor, bool]:
        packed, momentum = self.rooms[now.index][0], now.options.momentum
        walk, zero = gradient_pieces(now.bucket, grads), parity(now.step + now.rank)
        if momentum == 0:
            return packed, pack_pieces(walk, packed, zero=zero, passes=self.passes)
        if "m" not in now.state:
            now.state["m"], momentum = torch.zeros(now.bucket.padded, dtype=grads[0].dtype), 0.0  # starts as the first
        average_pieces(walk, now.state["m"], packed, momentum=momentum, zero=zero, passes=self.passes)
        return packed, True

    def _serve(self, now: Round, arriving: Pending) -> Pending:
        ballots = arriving.wait()
        if now.size == 1:
            return Pending(self.wire, "all-gather", ballots)
        out, _, room = (plane.view(now.size, -1) for plane in self.rooms[now.index])
        return self.wire.start_gather(self.count(now, ballots), out=out, room=room)

    def count(self, now: Round, ballots: Tensor) -> Tensor:
        """The majority on the slice of this rank; written over this rank's own ballot, each piece after it was read."""
        return vote(ballots, tie=parity(now.step), out=ballots[now.rank])


def gradient_pieces(bucket: Bucket, grads: Sequence[Tensor]) -> Iterator[tuple[Piece, np.ndarray]]:
    """Every piece with its values, padding included; those of a long tensor are read where they lie."""
    flats = [grad.detach().view(-1).numpy() for grad in grads]
    room = np.empty(min(MIXED, bucket.padded), dtype=flats[0].dtype)
    for piece in bucket.pieces:
        if piece.is_whole:
            index, stretch, _ = piece.parts[0]
            yield piece, flats[index][stretch]
            continue
        filled = 0
        for index, stretch, place in piece.parts:
            room[place] = flats[index][stretch]
            filled = place.stop
        room[filled : piece.size] = 0
        yield piece, room[: piece.size]


def pack_pieces(
    walk: Iterator[tuple[Piece, np.ndarray]], packed: Tensor, *, zero: int, passes: ModuleType, check: bool = True
) -> bool:
    """Packs pieces into ``packed``; whether all values are finite (only looked at with ``check``)."""
    bits, zeros, finite = packed.numpy(), np.array([zero], dtype=np.uint8), True
    for piece, values in walk:
        finite = passes.pack(values, zeros, bits[piece.bytes], check and finite) and finite
    return finite


def average_pieces(
    walk: Iterator[tuple[Piece, np.ndarray]],
    average: Tensor,
    packed: Tensor,
    *,
    momentum: float,
    zero: int,
    passes: ModuleType,
) -> None:
    """Takes pieces of the gradient into the running average, with the roundings of the general road, and packs it."""
    bits, zeros, averages = packed.numpy(), np.array([zero], dtype=np.uint8), average.numpy()
    for piece, values in walk:
        own = averages[piece.start : piece.start + piece.size]
        passes.average_and_pack(own, values, momentum, 1 - momentum, zeros, bits[piece.bytes])


def apply_pieces(
    bucket: Bucket,
    packed: Tensor,
    params: Sequence[Tensor],
    *,
    length: float,
    kept: Sequence[float],
    passes: ModuleType,
) -> None:
    """Multiplies a tensor by its factor ``kept``, subtracts ``length`` where a bit is set and adds it elsewhere."""
    bits, flats = packed.numpy(), [param.detach().view(-1).numpy() for param in params]
    room = np.empty(min(MIXED, bucket.padded), dtype=flats[0].dtype)
    for piece in bucket.pieces:
        if piece.is_whole:
            index, stretch, _ = piece.parts[0]
            passes.step(flats[index][stretch], bits[piece.bytes], length, kept[index])
            continue
        passes.unpack(bits[piece.bytes], room[: piece.size], length)
        for index, stretch, place in piece.parts:
            flats[index][stretch] *= flats[index].dtype.type(kept[index])
            flats[index][stretch] -= room[place]
    for param in params:
        increment_version(param)  # tells autograd that the memory has changed
