"""The plain majority vote in one pass over the gradients and one over the weights, in pieces that stay in cache.

The same operations as the general road, so the result is the same bit for bit; what is saved is flat copies.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from signscope.optim.distributed.buckets import Bucket
from signscope.optim.distributed.packing import PIECE, pack_signs, unpack_signs

Part = tuple[Tensor, int]
"""A stretch of a tensor, and where it begins in its piece."""


def can_stream(tensors: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether all tensors are flat memory on the CPU in the precision of the buffers."""
    return all(tensor.is_cpu and tensor.dtype == dtype and tensor.is_contiguous() for tensor in tensors)


def pack_pieces(bucket: Bucket, grads: Sequence[Tensor], *, zero: int) -> Tensor:
    """Signs of gradients as bits, padding included; zeros by the byte ``zero``."""
    packed = torch.empty(bucket.padded // 8, dtype=torch.uint8)
    room = torch.empty(min(PIECE, bucket.padded), dtype=grads[0].dtype)
    for start, size, parts in _pieces(bucket, grads):
        values = room[:size]
        if len(parts) == 1 and len(parts[0][0]) == size:
            values = parts[0][0]
        else:
            for part, place in parts:
                values[place : place + len(part)] = part
            filled = parts[-1][1] + len(parts[-1][0]) if parts else 0
            values[filled:] = 0
        packed[start // 8 : (start + size) // 8] = pack_signs(values, zero=zero)
    return packed


def apply_pieces(bucket: Bucket, packed: Tensor, params: Sequence[Tensor], *, length: float) -> None:
    """Subtracts ``length`` where a bit is set, and adds it elsewhere."""
    room = torch.empty(min(PIECE, bucket.padded), dtype=params[0].dtype)
    for start, size, parts in _pieces(bucket, params):
        unpack_signs(packed[start // 8 : (start + size) // 8], room[:size], length=length)
        for part, place in parts:
            part.sub_(room[place : place + len(part)])


def _pieces(bucket: Bucket, tensors: Sequence[Tensor]) -> Iterator[tuple[int, int, list[Part]]]:
    """Start and size of every piece, with the stretches of tensors in it."""
    waiting = [tensor.detach().view(-1) for tensor in reversed(tensors)]
    for start in range(0, bucket.padded, PIECE):
        size, place, parts = min(PIECE, bucket.padded - start), 0, list[Part]()
        while waiting and place < size:
            now = waiting.pop()
            parts.append((now[: size - place], place))
            if len(now) > size - place:
                waiting.append(now[size - place :])
            place += len(parts[-1][0])
        yield start, size, parts
