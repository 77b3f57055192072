"""Signs as bits: packing, unpacking, and votes counted on the packed words.

The format is fixed: bit ``i % 8`` of byte ``i // 8`` belongs to coordinate ``i`` (little-endian bit order), and a
set bit means +1. On the CPU numpy packs views of the tensors, piece by piece in cache; on other devices torch does.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import InvalidInput

EVEN, ODD = 0x55, 0xAA
"""Bytes whose set bits are the even, or the odd, coordinates."""
PIECE = 2**18
"""Coordinates packed at a time: what one pass reads, the next still finds in cache."""
TAKEN = 2**16
"""Bytes unpacked at a time, for the same reason."""
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
"""The eight bits of every byte."""
WORD = 64
"""Coordinates per word of a vote; lengths of votes are multiples of it."""

Tie = Literal["parity", "random", "ternary"]


def parity(number: int) -> int:
    """Byte whose bit ``i`` is the parity of ``number + i``: the drift-free choice for zeros and ties."""
    return EVEN if number % 2 else ODD


def pack(positive: Tensor) -> Tensor:
    """Booleans as bits.

    Args:
        positive: Booleans, flat, length a multiple of 8.

    Returns:
        Bytes, shape (length / 8,).
    """
    if len(positive) % 8:
        raise InvalidInput(f"pack: the length must be a multiple of 8, got {len(positive)}; pad it.")
    if positive.is_cpu:
        return torch.from_numpy(np.packbits(positive.contiguous().numpy(), bitorder="little"))
    weights = _weights(positive.device)
    return (positive.view(-1, 8).to(torch.uint8) * weights).sum(1, dtype=torch.uint8)


def pack_signs(values: Tensor, *, zero: int | Tensor) -> Tensor:
    """Signs as bits; a coordinate that is exactly zero takes its bit from ``zero``.

    Args:
        values: Real numbers, flat, contiguous, length a multiple of 8, free of NaN.
        zero: Bits of the zeros: a byte repeated along the tensor (see `parity`), or bytes, shape (length / 8,).

    Returns:
        Bytes, shape (length / 8,).
    """
    if len(values) % 8:
        raise InvalidInput(f"pack_signs: the length must be a multiple of 8, got {len(values)}; pad it.")
    if not values.is_cpu:
        return (pack(values >= 0) & zero) | pack(values > 0)
    packed = np.empty(len(values) // 8, dtype=np.uint8)
    flat = values.detach().numpy()
    fill = zero.numpy() if isinstance(zero, Tensor) else zero
    for start in range(0, len(flat), PIECE):
        piece, place = flat[start : start + PIECE], slice(start // 8, (start + PIECE) // 8)
        above = np.packbits(piece > 0, bitorder="little")
        at_least = np.packbits(piece >= 0, bitorder="little")
        at_least &= fill if isinstance(fill, int) else fill[place]
        np.bitwise_or(above, at_least, out=packed[place])
    return torch.from_numpy(packed)


def unpack(packed: Tensor) -> Tensor:
    """Bits as booleans, shape (8 * bytes,)."""
    if packed.is_cpu:
        bits = np.unpackbits(packed.contiguous().numpy(), bitorder="little")
        return torch.from_numpy(bits).view(torch.bool)
    return (packed[:, None] & _weights(packed.device)).ne(0).view(-1)


def unpack_signs(packed: Tensor, out: Tensor, *, length: float = 1.0) -> Tensor:
    """Writes ``length`` where a bit is set and ``-length`` elsewhere.

    Args:
        packed: Bytes, flat.
        out: Where to write, flat, 8 entries per byte, float32 or float64.
        length: Length of a step.

    Returns:
        ``out``.
    """
    if not packed.is_cpu:
        return out.copy_(unpack(packed)).mul_(2 * length).sub_(length)
    table = np.where(BITS, length, -length).astype(str(out.dtype).removeprefix("torch."))
    rows, data = out.numpy().reshape(-1, 8), packed.contiguous().numpy()
    for start in range(0, len(data), TAKEN):
        place = slice(start, start + TAKEN)
        np.take(table, data[place], axis=0, out=rows[place], mode="clip")  # "clip" writes without a second buffer
    return out


def unpack_ternary(nonzero: Tensor, positive: Tensor, out: Tensor, *, length: float = 1.0) -> Tensor:
    """Writes ``length``, 0 or ``-length``: two bits per coordinate, the first of which says whether it moves."""
    return unpack_signs(positive, out, length=length).mul_(unpack(nonzero))


def vote(ballots: Tensor, *, tie: int | Tensor) -> Tensor:
    """Majority of every bit; where as many are set as not, the bit of ``tie``.

    Args:
        ballots: Packed signs, one row per voter, shape (voters, bytes), bytes a multiple of 8.
        tie: Bits of the ties: a byte repeated along the row, or bytes, shape (bytes,).

    Returns:
        Bytes, shape (bytes,).
    """
    more, equal = _compare(ballots)
    if equal is None:
        return more.view(torch.uint8)
    return more.view(torch.uint8) | (equal.view(torch.uint8) & tie)


def vote_ternary(ballots: Tensor) -> tuple[Tensor, Tensor]:
    """Majority of every bit with ties kept: the packed facts "no tie" and "majority positive"."""
    more, equal = _compare(ballots)
    nonzero = torch.full_like(more, -1) if equal is None else ~equal
    return nonzero.view(torch.uint8), more.view(torch.uint8)


def count(ballots: Tensor, *, present: Tensor | None = None) -> Tensor:
    """Votes for minus votes against, coordinate by coordinate.

    Args:
        ballots: Packed signs, shape (voters, bytes); at most 127 voters.
        present: One boolean per voter; the others abstain.

    Returns:
        int8, shape (8 * bytes,).
    """
    if len(ballots) > 127:
        raise InvalidInput(f"count: at most 127 voters fit into a signed byte, got {len(ballots)}.")
    total = torch.zeros(8 * ballots.shape[1], dtype=torch.int8, device=ballots.device)
    for index, row in enumerate(ballots):
        if present is None or bool(present[index]):
            total += unpack(row).view(torch.int8).mul(2).sub_(1)
    return total


def _compare(ballots: Tensor) -> tuple[Tensor, Tensor | None]:
    """Words that say where more than half of the bits are set, and (even numbers) where exactly half are.

    The votes are added up bit by bit: ``planes[k]`` holds binary digit k of 64 counts per word.
    """
    words, voters = ballots.contiguous().view(torch.int64), len(ballots)
    planes: list[Tensor] = []
    for number, row in enumerate(words, start=1):
        carry = row
        for index, plane in enumerate(planes):
            planes[index], carry = plane ^ carry, plane & carry
        if number.bit_length() > len(planes):
            planes.append(carry)
    half = voters // 2
    more, equal = torch.zeros_like(words[0]), torch.full_like(words[0], -1)
    for digit in reversed(range(len(planes))):
        if half >> digit & 1:
            equal = equal & planes[digit]
        else:
            more = more | (equal & planes[digit])
            equal = equal & ~planes[digit]
    return more, (equal if voters % 2 == 0 else None)


def _weights(device: torch.device) -> Tensor:
    return torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8, device=device)
