"""Signs as bits: packing, unpacking, and votes counted on the packed words.

The format is fixed: bit ``i % 8`` of byte ``i // 8`` belongs to coordinate ``i`` (little-endian bit order), and a
set bit means +1. On the CPU NumPy or compiled code passes over the memory of the tensors, on GPUs Triton does where it
is there, elsewhere torch operations.
"""

import warnings
from functools import lru_cache
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope.optim.distributed import passes

EVEN, ODD = 0x55, 0xAA
"""Bytes whose set bits are the even, or the odd, coordinates."""
COUNTED = 2**16
"""Bytes of a ballot counted at a time on the CPU."""
WORD = 64
"""Coordinates per word of a vote; lengths of votes are multiples of it."""

GATHERING = 0x0102040810204080
"""Eight bytes of 0 or 1, as one number, times this: their bits in order in the top byte."""
WORTH = 2**20
"""Coordinates from which it pays to load the compiled passes (half a second); later they serve shorter ones too."""

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
    words = positive.contiguous().view(torch.int64) * GATHERING  # the top byte collects the lowest bits of all eight
    return words.bitwise_right_shift_(56).to(torch.uint8)


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
        kernels = _on_gpu(values.device)
        return _pack_signs(values, zero) if kernels is None else kernels.pack_signs(values, zero)
    packed = np.empty(len(values) // 8, dtype=np.uint8)
    zeros = zero.numpy() if isinstance(zero, Tensor) else np.array([zero], dtype=np.uint8)
    passes_for(len(values)).pack(values.detach().numpy(), zeros, packed, False)
    return torch.from_numpy(packed)


def _pack_signs(values: Tensor, zero: int | Tensor) -> Tensor:
    """By torch operations."""
    row = None if isinstance(zero, Tensor) else _thresholds(zero, values.dtype, values.device)
    if row is not None:
        return pack((values.view(-1, 8) > row).view(-1))
    return (pack(values >= 0) & zero) | pack(values > 0)


@lru_cache(maxsize=8)
def _thresholds(zero: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Eight numbers that exactly those exceed whose bit is set, as in `passes`; None where numbers next to 0 are 0."""
    nothing = torch.zeros(8, dtype=dtype, device=device)
    bits = unpack(torch.full((1,), zero, dtype=torch.uint8, device=device))
    row = torch.where(bits, torch.nextafter(nothing, nothing - 1), nothing)
    return row if int((row < 0).sum()) == zero.bit_count() else None


def passes_for(size: int) -> ModuleType:
    """Who passes over so many coordinates on the CPU: `passes`, or the same functions compiled."""
    return _compiled(size) or passes


def _compiled(size: int) -> ModuleType | None:
    return _kernels() if size >= WORTH or _kernels.cache_info().currsize else None


@lru_cache(maxsize=1)
def _kernels() -> ModuleType | None:
    """The compiled functions; None without numba."""
    try:
        from signscope.optim.distributed import kernels
    except ImportError:
        return None
    return kernels if kernels.usable() else None


@lru_cache(maxsize=8)
def _on_gpu(device: torch.device) -> ModuleType | None:
    """Triton's kernels for a device, where they give the same bits as torch operations; None elsewhere."""
    if device.type != "cuda":
        return None
    try:
        from signscope.optim.distributed import triton_kernels
    except ImportError:
        return None
    return triton_kernels if _agrees(triton_kernels, device) else None


def _agrees(kernels: ModuleType, device: torch.device) -> bool:
    """Whether kernels give the bits of the torch operations for numbers of all kinds; warns where they do not."""
    gen = torch.Generator().manual_seed(0)
    special = torch.tensor([0.0, -0.0, 1e-45, -1e-45, float("inf"), -float("inf"), 1e38, -1e38])
    values = torch.cat([torch.randn(8 * 777, generator=gen), special]).to(device)
    zeros = torch.randint(256, (778,), dtype=torch.uint8, generator=gen).to(device)
    try:
        for numbers in (values, values.double()):
            for zero in (EVEN, ODD, zeros):
                packed = _pack_signs(numbers, zero)
                steps = [run(packed, torch.empty_like(numbers), 0.1) for run in (_unpack_signs, kernels.unpack_signs)]
                if not (torch.equal(kernels.pack_signs(numbers, zero), packed) and torch.equal(*steps)):
                    raise ArithmeticError("they give other bits")
    except Exception as cause:  # whatever a compiler and a driver may raise: the torch operations do without them
        warnings.warn(
            f"signscope: Triton's kernels cannot be used on {device} ({type(cause).__name__}: {str(cause)[:200]}); "
            "torch operations pack the signs instead, with the same result in a few times the time.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


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
        kernels = _on_gpu(packed.device)
        return _unpack_signs(packed, out, length) if kernels is None else kernels.unpack_signs(packed, out, length)
    passes_for(len(out)).unpack(packed.contiguous().numpy(), out.numpy(), length)
    return out


def _unpack_signs(packed: Tensor, out: Tensor, length: float) -> Tensor:
    """By torch operations."""
    up = out.new_full((), length)
    return torch.where(unpack(packed), up, -up, out=out)


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
    kernels = _compiled(8 * ballots.numel()) if ballots.is_cpu else None
    if kernels is not None:
        ties = np.full(8, tie, dtype=np.uint8) if isinstance(tie, int) else tie.contiguous().numpy()
        kernels.vote(*(part.view(np.uint64) for part in (ballots.contiguous().numpy(), ties, result.numpy())))
        return result
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
