"""Methods that vote: each worker sends one unscaled bit per coordinate. Biased on heterogeneous data."""

import torch
from torch import Tensor

from signscope.optim.distributed.method import (
    Grads,
    Method,
    Parcel,
    Round,
    averaged,
    buffer,
    decode_signs,
)
from signscope.optim.distributed.packing import count, pack_signs, vote, vote_ternary
from signscope.rules.compression import stochastic_sign


class MajorityVote(Method):
    """Signs of local gradients (signSGD) or of local averages (Signum); the majority decides."""

    name = "majority-vote"
    takes = ("momentum", "tie='ternary'")

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """Local averages."""
        return [averaged(now, grad) for now, grad in zip(rounds, grads["grad"], strict=True)]

    def encode(self, now: Round, value: Tensor) -> Parcel:
        """Signs."""
        return pack_signs(value, zero=now.zero_bits(value)), None

    def serve(self, now: Round, bits: Tensor, scales: Tensor | None) -> Parcel:
        """The majority."""
        if now.options.tie == "ternary":
            return torch.cat(vote_ternary(bits)), None
        like = bits.new_empty(8 * bits.shape[1])
        return vote(bits, tie=now.zero_bits(like, server=True)), None

    def alone(self, now: Round, value: Tensor, out: Tensor) -> None:
        """The sign itself, where zeros need no bit."""
        if now.options.tie == "ternary":
            torch.sign(value, out=out).mul_(now.length)
        else:
            super().alone(now, value, out)


class StoSign(MajorityVote):
    """Random signs with a common radius, P(+1) = (1 + g/R)/2; the majority decides."""

    name = "sto-sign"

    def encode(self, now: Round, value: Tensor) -> Parcel:
        """Random signs."""
        return draw(now, value, now.options.radius)

    def alone(self, now: Round, value: Tensor, out: Tensor) -> None:
        """The random sign decides."""
        Method.alone(self, now, value, out)


class MvStoSignSim(StoSign):
    """Random signs of local averages; the majority decides."""

    name = "mv-sto-signsgd-sim"
    momentum = 0.9


class SsvrMv(StoSign):
    """Random signs of local variance-reduced estimates; majority, or one random sign of the mean by the owner."""

    name = "ssvr-mv"
    two_points = True
    takes = ("tie='ternary'", "server", "ball")

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """The estimate of SSVR on this worker, inside the ball if there is one; without gradients, the first one."""
        if grads:
            for now, grad, previous in zip(rounds, grads["grad"], grads["grad@x_prev"], strict=True):
                now.state["v"].sub_(previous).mul_(1 - now.options.beta).add_(grad)
        values = [now.state["v"] for now in rounds]
        ball = rounds[0].options.ball
        if ball is not None and (norm := joint_norm(values)) > ball:
            for value in values:
                value.mul_(ball / norm)
        return values

    def serve(self, now: Round, bits: Tensor, scales: Tensor | None) -> Parcel:
        """The majority, or an unbiased random sign of the mean vote."""
        if now.options.server == "sign":
            return super().serve(now, bits, scales)
        votes = count(bits).to(torch.float32)
        return draw(now, votes, float(now.size), server=True)

    def decode(self, now: Round, bits: Tensor, scales: Tensor | None, out: Tensor) -> None:
        """Signs; a random sign is never zero."""
        decode_signs(now, bits, out, ternary=now.options.tie == "ternary" and now.options.server == "sign")


class Ssdm(Method):
    """Random signs with the l2 norm as radius; the mean of the votes is the step, not its sign."""

    name = "ssdm"
    momentum = 0.9
    one_bit_down = False
    takes = ("momentum",)

    def estimate(self, rounds: list[Round], grads: Grads) -> list[Tensor]:
        """Local averages, and their joint norm."""
        values = [averaged(now, grad) for now, grad in zip(rounds, grads["grad"], strict=True)]
        norm = joint_norm(values)
        for now, value in zip(rounds, values, strict=True):
            buffer(now, "norm", value.new_zeros(())).fill_(norm)
        return values

    def encode(self, now: Round, value: Tensor) -> Parcel:
        """Random signs, and per slice the number 1, or 0 for "no opinion" when everything is zero."""
        norm = float(now.state["norm"])
        opinion = value.new_full((now.size,), float(norm > 0))
        return draw(now, value, norm or 1.0)[0], opinion

    def serve(self, now: Round, bits: Tensor, scales: Tensor | None) -> Parcel:
        """Votes for minus votes against, one signed byte per coordinate."""
        assert scales is not None
        return count(bits, present=scales[:, 0] > 0).view(torch.uint8), None

    def decode(self, now: Round, bits: Tensor, scales: Tensor | None, out: Tensor) -> None:
        """The mean vote."""
        out.copy_(bits.view(-1).view(torch.int8)).div_(now.size).mul_(now.length)


def draw(now: Round, values: Tensor, radius: float, *, server: bool = False) -> Parcel:
    """Packed random signs with a common radius."""
    return now.draw(values, lambda v, uniforms: (stochastic_sign(v, radius, uniforms), None), server=server)


def joint_norm(values: list[Tensor]) -> float:
    """Euclidean norm over several flat tensors, in float64."""
    return float(sum(float(torch.linalg.vector_norm(v, dtype=torch.float64)) ** 2 for v in values)) ** 0.5
