"""Methods whose messages carry scales: the server's average converges to the common optimum, also when data differ."""

from functools import partial

import torch
from torch import Tensor

from signscope.optim.distributed.method import (
    Grads,
    Method,
    Parcel,
    Round,
    buffer,
    decode_scaled,
    encode_signs,
    take_in,
)
from signscope.optim.distributed.packing import pack_signs, unpack
from signscope.rules.compression import block_mean_sign, block_stochastic_sign


class DvrSign(Method):
    """Compressed differences of gradients, averaged by the owners of z; the sign of z is the step."""

    name = "dvr-sign"
    two_points = True
    weighted = True
    takes = ("tie='ternary'", "max_scale")

    def _kept(self, now: Round) -> float:
        """Weight of the old estimate."""
        return 1 - now.options.beta

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """h, except for a single worker, whose z is updated here without compression."""
        values: list[Tensor] = []
        pairs = zip(grads["grad"], grads["grad@x_prev"], strict=True)
        for now, (grad, previous) in zip(rounds, pairs, strict=True):
            if now.size == 1:
                values.append(now.state["z"].sub_(previous).mul_(self._kept(now)).add_(grad))
            else:
                values.append(previous.mul_(-self._kept(now)).add_(grad))
        return values

    def encode(self, now: Round, value: Tensor) -> Parcel:
        """Q(h)."""
        return now.draw(value, partial(block_stochastic_sign, block_size=now.bucket.block_size))

    def serve(self, now: Round, bits: Tensor, scales: Tensor | None) -> Parcel:
        """Z takes the mean message in."""
        assert scales is not None
        take_in(now, now.state["z"], bits, scales, kept=self._kept(now))
        return self.answer(now)

    def begin(self, now: Round, rows: Tensor) -> None:
        """Z starts as the weighted mean of uncompressed rows, one per worker."""
        z = buffer(now, "z", rows[0]).zero_()
        for row, weight in zip(rows, now.weights, strict=True):
            z.add_(row * weight)

    def answer(self, now: Round) -> Parcel:
        """The sign of z."""
        return encode_signs(now, now.state["z"])

    def alone(self, now: Round, value: Tensor, out: Tensor) -> None:
        """The answer of the only owner, who is the only worker."""
        bits, scales = self.answer(now)
        self.decode(now, bits[None], None if scales is None else scales[None], out)


class DvrQ(DvrSign):
    """The same average; the step is an unbiased compression of z."""

    name = "dvr-q"
    takes = ("max_scale",)

    def answer(self, now: Round) -> Parcel:
        """Q(z), drawn by the owner."""
        return now.draw(now.state["z"], partial(block_stochastic_sign, block_size=now.bucket.block_size), server=True)

    def decode(self, now: Round, bits: Tensor, scales: Tensor | None, out: Tensor) -> None:
        """Scaled signs."""
        assert scales is not None
        decode_scaled(now, bits, scales, out, length=now.length)

    def alone(self, now: Round, value: Tensor, out: Tensor) -> None:
        """Z itself: what is not sent need not be compressed."""
        out.copy_(now.state["z"]).mul_(now.length)


class _FiniteSum(DvrSign):
    """z adds up compressed differences and starts anew from full gradients every ``period`` steps."""

    finite_sum = True

    def _kept(self, now: Round) -> float:
        return 1.0

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """Differences; a single worker adds them to z."""
        pairs = zip(grads["grad"], grads["grad@x_prev"], strict=True)
        values = [grad.sub_(previous) for grad, previous in pairs]
        return [now.state["z"].add_(v) if now.size == 1 else v for now, v in zip(rounds, values, strict=True)]


class DvrSignFs(_FiniteSum):
    """Finite-sum version with the sign of z."""

    name = "dvr-sign-fs"


class DvrQFs(DvrQ, _FiniteSum):
    """Finite-sum version with a compression of z."""

    name = "dvr-q-fs"
    finite_sum = True
    estimate = _FiniteSum.estimate
    _kept = _FiniteSum._kept


class EfSign(Method):
    """Scaled signs with error feedback on both ways: what a message leaves out is added to the next."""

    name = "ef-sign"
    weighted = True
    lr_inside = True
    takes = ("max_scale",)

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """What should be applied: lr times the gradient, and what was left undone."""
        pairs = zip(rounds, grads["grad"], strict=True)
        return [buffer(now, "e", grad).add_(grad) for now, grad in pairs]

    def encode(self, now: Round, value: Tensor) -> Parcel:
        """Signs and mean sizes; the error stays here."""
        return self._compress(now, value, start=0)

    def serve(self, now: Round, bits: Tensor, scales: Tensor | None) -> Parcel:
        """Signs and mean sizes of the mean message, with the owner's own error."""
        assert scales is not None
        if now.size == 1:
            return bits[0], scales[0]
        wanted = buffer(now, "server_e", scales.new_empty(now.bucket.chunk))
        take_in(now, wanted, bits, scales)
        return self._compress(now, wanted, start=now.start, server=True)

    def decode(self, now: Round, bits: Tensor, scales: Tensor | None, out: Tensor) -> None:
        """Scaled signs; the learning rate is already inside."""
        assert scales is not None
        decode_scaled(now, bits, scales, out, length=1.0)

    def _compress(self, now: Round, wanted: Tensor, *, start: int, server: bool = False) -> Parcel:
        """The message that comes closest to what is wanted, of which the rest stays in its place."""
        zero, counts = now.zero_bits(wanted, server=server), now.bucket.counts(wanted, start=start)
        size = now.bucket.block_size
        packed, scales = wanted.new_empty(len(wanted) // 8, dtype=torch.uint8), torch.empty_like(counts)
        for place in now.stretches(wanted):
            piece, blocks = wanted[place], slice(place.start // size, place.stop // size)
            bytes_ = slice(place.start // 8, place.stop // 8)
            packed[bytes_] = pack_signs(piece, zero=zero if isinstance(zero, int) else zero[bytes_])
            scales[blocks], left = block_mean_sign(piece, unpack(packed[bytes_]), counts[blocks], block_size=size)
            piece.copy_(left)
        now.bucket.clear_padding(wanted, start=start)
        return packed, scales
