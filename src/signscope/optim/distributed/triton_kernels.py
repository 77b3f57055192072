"""Packing and unpacking on GPUs: every number is read or written once, at the speed of memory.

PyTorch brings Triton along wherever it can use a GPU. The bits are those of the torch operations in `packing`, which
compares the two before these are used.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 512
"""Bytes per program: with 128 threads, 32 numbers for each."""


@triton.jit
def _pack(values, zeros, out, length, STRIDE: tl.constexpr, BLOCK: tl.constexpr):
    byte = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    lane, inside = tl.arange(0, 8), byte < length
    numbers = tl.load(values + byte[:, None] * 8 + lane[None, :], mask=inside[:, None], other=0.0)
    at_zero = tl.load(zeros + byte * STRIDE, mask=inside, other=0).to(tl.int32)
    above, equal = numbers > 0, numbers == 0
    bits = above | (equal & (((at_zero[:, None] >> lane[None, :]) & 1) == 1))
    tl.store(out + byte, tl.sum(bits.to(tl.int32) << lane[None, :], 1).to(tl.uint8), mask=inside)


@triton.jit
def _unpack(packed, step, out, length, BLOCK: tl.constexpr):
    byte = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    lane, inside = tl.arange(0, 8), byte < length
    bits = (tl.load(packed + byte, mask=inside, other=0).to(tl.int32)[:, None] >> lane[None, :]) & 1
    up = tl.load(step)
    tl.store(out + byte[:, None] * 8 + lane[None, :], tl.where(bits == 1, up, -up), mask=inside[:, None])


def pack_signs(values: Tensor, zero: int | Tensor) -> Tensor:
    """Signs as bits, as `packing.pack_signs`."""
    out = values.new_empty(len(values) // 8, dtype=torch.uint8)
    zeros = zero if isinstance(zero, Tensor) else torch.full((1,), zero, dtype=torch.uint8, device=values.device)
    with torch.cuda.device_of(values):  # Triton starts programs on the current device, whatever they are given
        _pack[_grid(out)](values, zeros.contiguous(), out, len(out), STRIDE=min(1, zeros.numel() - 1), BLOCK=BLOCK)
    return out


def unpack_signs(packed: Tensor, out: Tensor, length: float) -> Tensor:
    """Signed lengths from bits, as `packing.unpack_signs`."""
    step = out.new_full((1,), length)  # as an argument it would be rounded to float32
    with torch.cuda.device_of(out):
        _unpack[_grid(packed)](packed.contiguous(), step, out, len(packed), BLOCK=BLOCK)
    return out


def _grid(packed: Tensor) -> tuple[int]:
    return (triton.cdiv(len(packed), BLOCK),)
