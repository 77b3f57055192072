"""Signs as bits: packing, unpacking, and votes counted on the packed words.

The format is fixed: bit ``i % 8`` of byte ``i // 8`` belongs to coordinate ``i`` (little-endian bit order), and a
set bit means +1. On the CPU numpy packs views of the tensors, piece by piece in cache; on other devices torch does.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import InvalidInput

EVEN, ODD = 0x55, 0xAA
"""Bytes whose set bits are the even, or the odd, coordinates."""
PIECE = 2**19
"""Coordinates packed at a time: what one pass reads, the next still finds in cache."""
TAKEN = 2**16
"""Bytes unpacked at a time, for the same reason."""
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
"""The eight bits of every byte."""
COUNTED = 2**16
"""Bytes of a ballot counted at a time on the CPU."""
ROW = 2**13
"""Coordinates compared with one row of thresholds, which stays in the innermost cache."""
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
    flat, room = values.detach().numpy(), np.empty(min(PIECE, len(values)), dtype=bool)
    row = None if isinstance(zero, Tensor) else thresholds(zero, flat.dtype.char)
    for start in range(0, len(flat), PIECE):
        piece, place = flat[start : start + PIECE], slice(start // 8, (start + PIECE) // 8)
        if row is None:
            fill = zero.numpy()[place] if isinstance(zero, Tensor) else np.uint8(zero)
            _pack_twice(piece, packed[place], zero=fill, room=room[: len(piece)])
        else:
            pack_piece(piece, packed[place], row=row, room=room[: len(piece)])
    return torch.from_numpy(packed)


def pack_piece(values: np.ndarray, out: np.ndarray, *, row: np.ndarray, room: np.ndarray) -> None:
    """Signs of a piece that fits into cache, by one comparison.

    Args:
        values: Real numbers, length a multiple of 8.
        out: Where the bytes go.
        row: From `thresholds`.
        room: Booleans of the length of the values, overwritten.
    """
    whole = len(values) // ROW * ROW
    np.greater(values[:whole].reshape(-1, ROW), row, out=room[:whole].reshape(-1, ROW))
    np.greater(values[whole:], row[: len(values) - whole], out=room[whole:])
    out[:] = np.packbits(room, bitorder="little")


def thresholds(zero: int, kind: str) -> np.ndarray | None:
    """A row of `ROW` numbers that exactly those values exceed whose bit is set: 0, or the negative number next to it.

    Args:
        zero: Byte of the bits of zeros.
        kind: Character of the precision.

    Returns:
        The row; None where the processor was told to take numbers next to zero for zero.
    """
    row = _threshold_row(zero, kind)
    return row if (row[:8] < 0).sum() == zero.bit_count() else None


def _pack_twice(values: np.ndarray, out: np.ndarray, *, zero: np.ndarray | np.uint8, room: np.ndarray) -> None:
    """Signs of a piece by two comparisons: what is positive, and what is not negative and has its bit in ``zero``."""
    np.greater_equal(values, 0, out=room)
    at_least = np.packbits(room, bitorder="little")
    at_least &= zero
    np.greater(values, 0, out=room)
    np.bitwise_or(np.packbits(room, bitorder="little"), at_least, out=out)


@lru_cache(maxsize=8)
def _threshold_row(zero: int, kind: str) -> np.ndarray:
    nothing = np.zeros((), dtype=kind)
    return np.where(np.tile(BITS[zero], ROW // 8), np.nextafter(nothing, -np.ones_like(nothing)), nothing)


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
    table = _table(length, str(out.dtype).removeprefix("torch."))
    rows, data = out.numpy().reshape(-1, 8), packed.contiguous().numpy()
    for start in range(0, len(data), TAKEN):
        place = slice(start, start + TAKEN)
        np.take(table, data[place], axis=0, out=rows[place], mode="clip")  # "clip" writes without a second buffer
    return out


@lru_cache(maxsize=8)
def _table(length: float, dtype: str) -> np.ndarray:
    """Eight signed lengths for every byte."""
    return np.where(BITS, length, -length).astype(dtype)


def unpack_ternary(nonzero: Tensor, positive: Tensor, out: Tensor, *, length: float = 1.0) -> Tensor:
    """Writes ``length``, 0 or ``-length``: two bits per coordinate, the first of which says whether it moves."""
    return unpack_signs(positive, out, length=length).mul_(unpack(nonzero))


def vote(ballots: Tensor, *, tie: int | Tensor, out: Tensor | None = None) -> Tensor:
    """Majority of every bit; where as many are set as not, the bit of ``tie``.

    Args:
        ballots: Packed signs, one row per voter, shape (voters, bytes), bytes a multiple of 8.
        tie: Bits of the ties: a byte repeated along the row, or bytes, shape (bytes,).
        out: Where to write, shape (bytes,).

    Returns:
        Bytes, shape (bytes,).
    """
    result = torch.empty_like(ballots[0]) if out is None else out
    for place in _places(ballots):
        more, equal = _compare(ballots[:, place])
        bits = more.view(torch.uint8)
        if equal is not None:
            bits |= equal.view(torch.uint8) & (tie if isinstance(tie, int) else tie[place])
        result[place] = bits
    return result


def vote_ternary(ballots: Tensor) -> tuple[Tensor, Tensor]:
    """Majority of every bit with ties kept: the packed facts "no tie" and "majority positive"."""
    nonzero, positive = torch.full_like(ballots[0], 255), torch.empty_like(ballots[0])
    for place in _places(ballots):
        more, equal = _compare(ballots[:, place])
        positive[place] = more.view(torch.uint8)
        if equal is not None:
            nonzero[place] = equal.bitwise_not_().view(torch.uint8)
    return nonzero, positive


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


def _places(ballots: Tensor) -> list[slice]:
    """Stretches of the rows; on the CPU short ones, so that the counts stay in cache."""
    length = ballots.shape[1]
    step = COUNTED if ballots.is_cpu else max(length, 1)
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _compare(ballots: Tensor) -> tuple[Tensor, Tensor | None]:
    """Words that say where more than half of the bits are set, and (even numbers) where exactly half are.

    The votes are added up bit by bit: ``planes[k]`` holds binary digit k of 64 counts per word.
    """
    words, voters = [row.view(torch.int64) for row in ballots], len(ballots)
    planes: list[Tensor] = []
    for number, carry in enumerate(words, start=1):
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
