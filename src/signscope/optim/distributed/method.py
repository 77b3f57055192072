"""What a distributed method is: a worker's estimate, its message, the answer of the owner of a slice, the update."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from signscope._core.private_stream import SERVER, private_stream
from signscope.optim.distributed.buckets import Bucket
from signscope.optim.distributed.options import Options
from signscope.optim.distributed.packing import WORD, pack, pack_signs, parity, unpack_signs, unpack_ternary

Parcel = tuple[Tensor, Tensor | None]
"""Bits as bytes, and scales or nothing; both flat, slice after slice."""
Compressor = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""Booleans, and scales or nothing, from values and uniform numbers."""
STRETCH = 2**16
"""Coordinates compressed or averaged at a time on the CPU: what comes between is never written to memory."""
Grads = dict[str, list[Tensor]]
"""By point ("grad", "grad@x_prev"), one flat padded tensor per bucket."""


@dataclass
class Round:
    """One step of one bucket on one rank.

    Attributes:
        options: What the user chose.
        rank: Rank of this worker, which owns the slice of the same number.
        size: Number of workers n.
        step: Number of the step, from 0.
        bucket: The layout.
        index: Number of the bucket.
        weights: Weight of every worker, with sum 1.
        length: Factor of the update (the learning rate, where it is the same everywhere).
        state: Tensors that stay between steps, by name; of this bucket and this rank alone.
    """

    options: Options
    rank: int
    size: int
    step: int
    bucket: Bucket
    index: int
    weights: list[float]
    length: float
    state: dict[str, Tensor] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """First coordinate of the slice that this rank owns."""
        return self.rank * self.bucket.chunk

    def draw(self, values: Tensor, compress: Compressor, *, server: bool = False) -> Parcel:
        """Packed random signs (and scales) of a flat tensor, from uniform numbers private to this rank and step.

        On the CPU piece by piece, so that the numbers never leave the cache: the same stream, hence the same bits.

        Args:
            values: Flat, whole blocks.
            compress: From values and uniform numbers in [0, 1) to booleans and, with some methods, scales.
            server: Whether the owner of a slice draws, or the worker.
        """
        stream = self._stream(values, server)
        bits, scales = list[Tensor](), list[Tensor]()
        for place in self.stretches(values):
            piece = values[place]
            uniforms = torch.rand(len(piece), generator=stream, dtype=piece.dtype, device=piece.device)
            positive, scale = compress(piece, uniforms)
            bits.append(pack(positive))
            scales += [] if scale is None else [scale]
        return torch.cat(bits), torch.cat(scales) if scales else None

    def stretches(self, values: Tensor) -> list[slice]:
        """Whole blocks and words of a flat tensor, on the CPU so few that they stay in cache."""
        unit = math.lcm(WORD, self.bucket.block_size)
        size = max(STRETCH // unit, 1) * unit if values.is_cpu else len(values)
        return [slice(start, min(start + size, len(values))) for start in range(0, len(values), size)]

    def zero_bits(self, like: Tensor, *, server: bool = False) -> int | Tensor:
        """Bits for coordinates that are exactly zero (a worker) or tied (an owner).

        By parity, ranks alternate: an even number of workers without an opinion cancels.
        """
        if self.options.tie != "random":
            return parity(self.step if server else self.step + self.rank)
        stream, size = self._stream(like, server), (len(like) // 8,)
        return torch.randint(256, size, generator=stream, dtype=torch.uint8, device=like.device)

    def _stream(self, like: Tensor, server: bool) -> torch.Generator:
        rank = SERVER + self.rank if server else self.rank
        return private_stream(self.options.seed, rank, self.step, self.index, device=like.device)


class Method:
    """Base class. A round is: ``estimate`` for all buckets, then per bucket ``encode``, ``serve``, ``decode``."""

    name: ClassVar[str]
    two_points: ClassVar[bool] = False
    finite_sum: ClassVar[bool] = False
    weighted: ClassVar[bool] = False  # whether workers may have unequal weights
    lr_inside: ClassVar[bool] = False
    momentum: ClassVar[float] = 0.0
    one_bit_down: ClassVar[bool] = True
    takes: ClassVar[tuple[str, ...]] = ()  # options that other methods refuse

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """What every bucket is about to send, before it is made small."""
        return grads["grad"]

    def encode(self, now: Round, value: Tensor) -> Parcel:
        """The message of this worker, all slices."""
        raise NotImplementedError

    def serve(self, now: Round, bits: Tensor, scales: Tensor | None) -> Parcel:
        """The answer for the slice of this rank, from one row of bits (and scales) per worker."""
        raise NotImplementedError

    def decode(self, now: Round, bits: Tensor, scales: Tensor | None, out: Tensor) -> None:
        """Writes the update, to be subtracted, from one row per owner."""
        decode_signs(now, bits, out, ternary=now.options.tie == "ternary")

    def alone(self, now: Round, value: Tensor, out: Tensor) -> None:
        """The round of a single worker: nothing is sent."""
        bits, scales = self.encode(now, value)
        bits, scales = self.serve(now, bits[None], None if scales is None else scales[None])
        self.decode(now, bits[None], None if scales is None else scales[None], out)


def buffer(now: Round, name: str, like: Tensor) -> Tensor:
    """Tensor ``name`` of the state, zeros at first."""
    if name not in now.state:
        now.state[name] = torch.zeros_like(like)
    return now.state[name]


def averaged(now: Round, grad: Tensor) -> Tensor:
    """Running average of gradients, started by the first; the gradient itself without momentum.

    Written as two roundings, so that it does not depend on where a tensor was cut.
    """
    momentum = now.options.momentum
    if momentum == 0:
        return grad
    if "m" not in now.state:
        now.state["m"] = grad.clone()
        return now.state["m"]
    return now.state["m"].mul_(momentum).add_(grad * (1 - momentum))


def encode_signs(now: Round, value: Tensor) -> Parcel:
    """Signs of an owner's slice: one bit, or two where zeros are kept."""
    if now.options.tie == "ternary":
        return torch.cat([pack(value != 0), pack(value > 0)]), None
    return pack_signs(value, zero=now.zero_bits(value, server=True)), None


def decode_signs(now: Round, bits: Tensor, out: Tensor, *, ternary: bool) -> None:
    """The update from one or two packed planes per owner."""
    if not ternary:
        unpack_signs(bits.view(-1), out, length=now.length)
        return
    half = bits.shape[1] // 2
    unpack_ternary(bits[:, :half].reshape(-1), bits[:, half:].reshape(-1), out, length=now.length)


def decode_scaled(now: Round, bits: Tensor, scales: Tensor, out: Tensor, *, length: float) -> None:
    """The update from signs and one scale per block."""
    bits, scales = bits.view(-1), scales.view(-1)
    for place in now.stretches(out):
        piece = _scaled(now, bits, scales, place, out[place])
        if length != 1:
            piece.mul_(length)


def take_in(now: Round, total: Tensor, bits: Tensor, scales: Tensor, *, kept: float = 1.0) -> None:
    """``total = kept * total + mean``, the weighted mean of scaled signs over the workers, in the order of ranks."""
    for place in now.stretches(total):
        mean = torch.zeros_like(total[place])
        for row, own, weight in zip(bits, scales, now.weights, strict=True):
            mean.add_(_scaled(now, row, own * weight, place, torch.empty_like(mean)))
        now.bucket.clear_padding(mean, start=now.start + place.start)
        total[place].mul_(kept).add_(mean)


def _scaled(now: Round, bits: Tensor, scales: Tensor, place: slice, out: Tensor) -> Tensor:
    """Writes the signs of a stretch of flat bits, times their scales."""
    size = now.bucket.block_size
    unpack_signs(bits[place.start // 8 : place.stop // 8], out)
    out.view(-1, size).mul_(scales[place.start // size : place.stop // size, None])
    return out
