"""Many tensors as few flat ones, padded so that every rank owns an equally long slice of whole blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from signscope._core.errors import Unsupported
from signscope.optim.distributed.packing import WORD
from signscope.optim.precision import state_dtype

MIXED = 2**14
"""Coordinates of short tensors that are brought together; longer stretches are read where they lie."""


class Part(NamedTuple):
    """A stretch of a tensor within a piece.

    Attributes:
        number: Which tensor of its bucket.
        stretch: Its coordinates, counted within the tensor.
        place: The same, counted within the piece.
    """

    number: int
    stretch: slice
    place: slice


class Piece(NamedTuple):
    """Coordinates of a bucket that are worked on together.

    Attributes:
        start: The first, a multiple of 8.
        size: How many, a multiple of 8.
        parts: What lies there, in order; padding behind the last.
    """

    start: int
    size: int
    parts: tuple[Part, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is one stretch of one tensor, without padding."""
        return len(self.parts) == 1 and self.parts[0].place == slice(0, self.size)

    @property
    def bytes(self) -> slice:
        """Where its bits lie."""
        return slice(self.start // 8, (self.start + self.size) // 8)


@dataclass(frozen=True)
class Bucket:
    """Some parameters laid end to end.

    Attributes:
        first: Index of the first parameter.
        shapes: Shapes of the parameters.
        dim: Coordinates.
        padded: Coordinates with padding, ``num_workers * chunk``.
        chunk: Coordinates of a slice; a multiple of the block size and of 64.
        block_size: Coordinates that share a scale.
    """

    first: int
    shapes: tuple[torch.Size, ...]
    dim: int
    padded: int
    chunk: int
    block_size: int

    def views(self, flat: Tensor) -> list[Tensor]:
        """The parameters' places in a flat tensor, in their shapes."""
        parts = flat[: self.dim].split([shape.numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All coordinates in order: a long tensor as one piece, short ones and ends of long ones together."""
        waiting = [(index, 0, shape.numel()) for index, shape in enumerate(self.shapes) if shape.numel()][::-1]
        pieces, start = list[Piece](), 0
        while start < self.padded:
            if waiting and _length(waiting[-1]) >= MIXED:
                index, begin, end = waiting.pop()
                size = (end - begin) // 8 * 8
                parts = (Part(index, slice(begin, begin + size), slice(0, size)),)
                if begin + size < end:
                    waiting.append((index, begin + size, end))
            else:
                parts, size = _mixed(waiting, min(MIXED, self.padded - start))
            pieces.append(Piece(start, size, parts))
            start += size
        return tuple(pieces)

    def counts(self, flat: Tensor, *, start: int = 0) -> Tensor:
        """Coordinates of every block that are no padding, at least 1, of a flat tensor that begins at ``start``."""
        ends = torch.arange(0, len(flat), self.block_size, device=flat.device) + start
        return (self.dim - ends).clamp(1, self.block_size).to(flat.dtype)

    def clear_padding(self, flat: Tensor, *, start: int = 0) -> None:
        """Zeros behind the last coordinate."""
        flat[max(0, self.dim - start) :] = 0


_Stretch = tuple[int, int, int]  # number of a tensor, first and last coordinate


def _length(stretch: _Stretch) -> int:
    return stretch[2] - stretch[1]


def _mixed(waiting: list[_Stretch], room: int) -> tuple[tuple[Part, ...], int]:
    """Short stretches, until the next long tensor begins at a multiple of 8, and the length of the piece."""
    parts, place = list[Part](), 0
    while waiting and place < room:
        index, begin, end = waiting.pop()
        long = end - begin >= MIXED
        size = min(-place % 8 if long else room - place, end - begin)
        if size > 0:
            parts.append(Part(index, slice(begin, begin + size), slice(place, place + size)))
            place += size
        if begin + size < end:
            waiting.append((index, begin + size, end))
            if long:
                break
    return tuple(parts), -(-place // 8) * 8 if waiting else room


def make_buckets(params: Sequence[Tensor], *, num_workers: int, block_size: int, bucket_size: int) -> list[Bucket]:
    """Parameters in order, cut between tensors into buckets of about ``bucket_size`` coordinates."""
    unit = math.lcm(WORD, block_size)
    buckets: list[Bucket] = []
    first = 0
    while first < len(params):
        end, dim = first, 0
        while end < len(params) and (end == first or dim + params[end].numel() <= bucket_size):
            dim += params[end].numel()
            end += 1
        chunk = max(1, math.ceil(dim / (num_workers * unit))) * unit
        shapes = tuple(param.shape for param in params[first:end])
        buckets.append(Bucket(first, shapes, dim, num_workers * chunk, chunk, block_size))
        first = end
    return buckets


def common_place(who: str, params: Sequence[Tensor]) -> tuple[torch.device, torch.dtype]:
    """Device and precision of the flat buffers.

    Raises:
        Unsupported: The parameters lie on several devices, or are sharded.
    """
    devices = {param.device for param in params}
    if len(devices) != 1:
        raise Unsupported(f"{who}: all parameters must lie on one device, got {sorted(map(str, devices))}.")
    if any(type(param).__name__ == "DTensor" or hasattr(param, "_local_tensor") for param in params):
        raise Unsupported(
            f"{who}: the parameters are sharded (FSDP or tensor parallel). Votes are between replicas: keep whole "
            "parameters on every rank, or vote between the replicas of hybrid sharding on the local shards."
        )
    kinds = {state_dtype(param) for param in params}
    return devices.pop(), torch.float64 if torch.float64 in kinds else torch.float32
