"""The plain majority vote in one pass over the gradients and one over the weights, in pieces that stay in cache.

The same operations as the general road, so the result is the same bit for bit. What is saved are flat copies, the
separate test for NaN, and waiting: while one bucket travels, the next one is packed.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from signscope.optim.distributed.buckets import Bucket
from signscope.optim.distributed.method import Round
from signscope.optim.distributed.packing import PIECE, pack_piece, pack_signs, parity, thresholds, unpack_signs, vote
from signscope.optim.distributed.wire import Pending, Wire

MIXED = 2**14
"""Coordinates of short tensors that are brought together; longer stretches are read where they lie."""
Part = tuple[Tensor, int, int]
"""A stretch of a tensor, where it begins in its piece, and the number of the tensor."""


def can_stream(tensors: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether all tensors are flat memory on the CPU in the precision of the buffers."""
    return all(tensor.is_cpu and tensor.dtype == dtype and tensor.is_contiguous() for tensor in tensors)


class VoteStream:
    """Reused memory of the buckets, and the rounds on it.

    Args:
        wire: The workers.
        buckets: The layout.
        dtype: Precision of gradients and weights.
    """

    def __init__(self, wire: Wire, buckets: Sequence[Bucket], dtype: torch.dtype) -> None:
        self.wire, self.buckets = wire, buckets
        self.rooms = [torch.empty(2, bucket.padded // 8, dtype=torch.uint8) for bucket in buckets]
        self.facts = np.empty(PIECE, dtype=bool)
        self.values = torch.empty(PIECE, dtype=dtype)

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
        apply_pieces(now.bucket, packed, params[part], length=now.length, kept=kept[part], room=self.values)

    def _arrived(self, now: Round) -> Tensor:
        return self.rooms[now.index][1].view(now.size, -1)

    def _pack(self, now: Round, grads: Sequence[Tensor]) -> tuple[Tensor, bool]:
        packed, average = self.rooms[now.index][0], None
        if now.options.momentum > 0:
            begins = "m" not in now.state
            average = now.state.setdefault("m", torch.zeros(now.bucket.padded, dtype=grads[0].dtype))
            walk = averaged_pieces(now, grads, average, begins=begins, room=self.values)
        else:
            walk = gradient_pieces(now.bucket, grads)
        zero = parity(now.step + now.rank)
        return packed, pack_pieces(walk, packed, zero=zero, room=self.facts, check=average is None)

    def _serve(self, now: Round, arriving: Pending) -> Pending:
        ballots = arriving.wait()
        if now.size == 1:
            return Pending(self.wire, "all-gather", ballots)
        return self.wire.start_gather(self.count(now, ballots), out=self.rooms[now.index][0].view(now.size, -1))

    def count(self, now: Round, ballots: Tensor) -> Tensor:
        """The majority on the slice of this rank; written over this rank's own ballot, each piece after it was read."""
        return vote(ballots, tie=parity(now.step), out=ballots[now.rank])


def gradient_pieces(bucket: Bucket, grads: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Start and values of every piece, padding included."""
    room = torch.empty(min(MIXED, bucket.padded), dtype=grads[0].dtype)
    for start, size, parts in _pieces(bucket, grads):
        if len(parts) == 1 and len(parts[0][0]) == size:
            yield start, parts[0][0]
            continue
        for part, place, _ in parts:
            room[place : place + len(part)] = part
        filled = parts[-1][1] + len(parts[-1][0]) if parts else 0
        room[filled:size] = 0
        yield start, room[:size]


def averaged_pieces(
    now: Round, grads: Sequence[Tensor], average: Tensor, *, begins: bool, room: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """Pieces of the running average, after the gradients were taken in; two roundings, as on the general road."""
    momentum = now.options.momentum
    for start, values in gradient_pieces(now.bucket, grads):
        piece = average[start : start + len(values)]
        if begins:
            piece.copy_(values)
        else:
            piece.mul_(momentum).add_(torch.mul(values, 1 - momentum, out=room[: len(values)]))
        yield start, piece


def pack_pieces(
    walk: Iterator[tuple[int, Tensor]], packed: Tensor, *, zero: int, room: np.ndarray, check: bool = True
) -> bool:
    """Packs pieces into ``packed``; whether all values are finite (only looked at with ``check``)."""
    bits, finite = packed.numpy(), True
    for start, values in walk:
        if check and finite:  # a NaN or an infinity never leaves a sum; an infinite sum may be an overflow
            finite = math.isfinite(float(values.sum())) or bool(values.isfinite().all())
        numbers, place = values.numpy(), slice(start // 8, (start + len(values)) // 8)
        row = thresholds(zero, numbers.dtype.char)
        if row is None:
            packed[place] = pack_signs(values, zero=zero)
        else:
            pack_piece(numbers, bits[place], row=row, room=room[: len(numbers)])
    return finite


def apply_pieces(
    bucket: Bucket, packed: Tensor, params: Sequence[Tensor], *, length: float, kept: Sequence[float], room: Tensor
) -> None:
    """Multiplies a tensor by its factor ``kept``, subtracts ``length`` where a bit is set and adds it elsewhere."""
    signs = room.numpy()
    for start, size, parts in _pieces(bucket, params):
        unpack_signs(packed[start // 8 : (start + size) // 8], room[:size], length=length)
        for part, place, index in parts:
            if kept[index] != 1:
                part.mul_(kept[index])
            values = part.numpy()
            np.subtract(values, signs[place : place + len(part)], out=values)
    for param in params:
        param.detach().view(-1)[:0].zero_()  # tells autograd that the memory has changed


def _pieces(bucket: Bucket, tensors: Sequence[Tensor]) -> Iterator[tuple[int, int, list[Part]]]:
    """Start and size (multiples of 8) of every piece, with the stretches of tensors in it.

    A long tensor comes in pieces of its own; what is short, and the ends of long ones, share mixed pieces.
    """
    waiting = [(t.detach().view(-1), index) for index, t in enumerate(tensors) if t.numel()][::-1]
    start = 0
    while start < bucket.padded:
        if waiting and len(waiting[-1][0]) >= MIXED:
            now, index = waiting.pop()
            size = min(PIECE, len(now) // 8 * 8)
            parts: list[Part] = [(now[:size], 0, index)]
            if len(now) > size:
                waiting.append((now[size:], index))
        else:
            parts, size = _mixed(waiting, min(MIXED, bucket.padded - start))
        yield start, size, parts
        start += size


def _mixed(waiting: list[tuple[Tensor, int]], room: int) -> tuple[list[Part], int]:
    """Short stretches, until the next long tensor begins at a multiple of 8, and the length of the piece."""
    parts, place = list[Part](), 0
    while waiting and place < room:
        now, index = waiting.pop()
        most = -place % 8 if len(now) >= MIXED else room - place
        if most > 0:
            parts.append((now[:most], place, index))
            place += len(parts[-1][0])
        if len(now) > most:
            waiting.append((now[most:], index))
            if len(now) >= MIXED:
                break
    return parts, -(-place // 8) * 8 if waiting else room
