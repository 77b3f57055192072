"""Passes over flat memory on the CPU: bits from numbers and steps from bits, in NumPy, piece by piece in cache.

`kernels` holds the same four functions compiled, for where numba is installed: one pass each, and the same bits.
"""

import math
from functools import lru_cache

import numpy as np
import torch

PIECE = 2**19
"""Coordinates packed at a time: what one pass reads, the next still finds in cache."""
TAKEN = 2**16
"""Bytes unpacked at a time, for the same reason."""
ROW = 2**13
"""Coordinates compared with one row of thresholds, which stays in the innermost cache."""
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
"""The eight bits of every byte."""


def pack(values: np.ndarray, zeros: np.ndarray, out: np.ndarray, check: bool) -> bool:
    """Signs as bits.

    Args:
        values: Real numbers, contiguous, length a multiple of 8.
        zeros: Bits of the numbers that are zero: one byte for all eights of numbers, or one for each.
        out: Where the bytes go.
        check: Whether to look for NaN and infinities.

    Returns:
        Whether all numbers are finite; true without ``check``.
    """
    room = np.empty(min(PIECE, len(values)), dtype=bool)
    row = thresholds(int(zeros[0]), values.dtype.char) if len(zeros) == 1 else None
    finite = True
    for start in range(0, len(values), PIECE):
        piece, place = values[start : start + PIECE], slice(start // 8, (start + PIECE) // 8)
        finite = finite and (not check or _finite(piece))
        if row is None:
            _pack_twice(piece, zeros if len(zeros) == 1 else zeros[place], out[place], room=room[: len(piece)])
        else:
            _pack_once(piece, row, out[place], room=room[: len(piece)])
    return finite


def average_and_pack(
    average: np.ndarray, values: np.ndarray, kept: float, new: float, zeros: np.ndarray, out: np.ndarray
) -> None:
    """``average = kept * average + new * values`` in three roundings, and its signs as bits.

    Args:
        average: Running average, contiguous, length a multiple of 8; changed.
        values: What it takes in.
        kept: Factor of the average.
        new: Factor of the values.
        zeros: As for `pack`.
        out: Where the bytes go.
    """
    for start in range(0, len(values), PIECE):
        piece, place = average[start : start + PIECE], slice(start // 8, (start + PIECE) // 8)
        torch.from_numpy(piece).mul_(kept).add_(torch.from_numpy(values[start : start + PIECE]) * new)
        pack(piece, zeros if len(zeros) == 1 else zeros[place], out[place], False)


def unpack(packed: np.ndarray, out: np.ndarray, length: float) -> None:
    """Writes ``length`` where a bit is set and ``-length`` elsewhere, eight numbers per byte."""
    rows, table = out.reshape(-1, 8), _table(length, out.dtype.char)
    for start in range(0, len(packed), TAKEN):
        place = slice(start, start + TAKEN)
        np.take(table, packed[place], axis=0, out=rows[place], mode="clip")  # "clip" writes without a second buffer


def step(values: np.ndarray, packed: np.ndarray, length: float, kept: float) -> None:
    """Multiplies by ``kept``, then subtracts ``length`` where a bit is set and adds it elsewhere.

    Args:
        values: Real numbers, contiguous; changed. Of a last incomplete byte so many bits count as there are numbers.
        packed: Their bits.
        length: Length of the step.
        kept: Factor before the step.
    """
    signs = np.empty(min(8 * TAKEN, 8 * len(packed)), dtype=values.dtype)
    for start in range(0, len(values), 8 * TAKEN):
        piece, bits = values[start : start + 8 * TAKEN], packed[start // 8 : start // 8 + TAKEN]
        unpack(bits, signs[: 8 * len(bits)], length)
        if kept != 1:
            piece *= piece.dtype.type(kept)
        piece -= signs[: len(piece)]


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


def _pack_once(values: np.ndarray, row: np.ndarray, out: np.ndarray, *, room: np.ndarray) -> None:
    """Signs of a piece by one comparison with the thresholds."""
    whole = len(values) // ROW * ROW
    np.greater(values[:whole].reshape(-1, ROW), row, out=room[:whole].reshape(-1, ROW))
    np.greater(values[whole:], row[: len(values) - whole], out=room[whole:])
    out[:] = np.packbits(room, bitorder="little")


def _pack_twice(values: np.ndarray, zeros: np.ndarray, out: np.ndarray, *, room: np.ndarray) -> None:
    """Signs of a piece by two comparisons: what is positive, and what is not negative and has its bit in ``zeros``."""
    np.greater_equal(values, 0, out=room)
    at_least = np.packbits(room, bitorder="little")
    at_least &= zeros
    np.greater(values, 0, out=room)
    np.bitwise_or(np.packbits(room, bitorder="little"), at_least, out=out)


def _finite(piece: np.ndarray) -> bool:
    """By the sum, which a NaN or an infinity never leaves; an infinite sum may be an overflow. torch adds faster."""
    values = torch.from_numpy(piece)
    return math.isfinite(float(values.sum())) or bool(values.isfinite().all())


@lru_cache(maxsize=8)
def _threshold_row(zero: int, kind: str) -> np.ndarray:
    nothing = np.zeros((), dtype=kind)
    return np.where(np.tile(BITS[zero], ROW // 8), np.nextafter(nothing, -np.ones_like(nothing)), nothing)


@lru_cache(maxsize=8)
def _table(length: float, kind: str) -> np.ndarray:
    """Eight signed lengths for every byte."""
    return np.where(BITS, length, -length).astype(kind)
