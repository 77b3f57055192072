"""Messages of workers and answers of the server, written densely: no bits, no slices sent, one vector per worker.

The methods are typed from their algorithm boxes, so that agreement with `signscope.optim.distributed` is evidence.
Shared are only the keys of the random streams and the pure rules.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from signscope._core.private_stream import SERVER, private_stream
from signscope.rules.compression import block_stochastic_sign, dvr_estimate, dvr_message, stochastic_sign
from signscope.rules.variance_reduced import ssvr

TWO_POINTS = ("ssvr-mv", "dvr-sign", "dvr-q", "dvr-sign-fs", "dvr-q-fs")
FINITE_SUM = ("dvr-sign-fs", "dvr-q-fs")
METHODS = ("majority-vote", "sto-sign", "mv-sto-signsgd-sim", "ssdm", "ef-sign", *TWO_POINTS)
MOMENTUM = {"ssdm": 0.9, "mv-sto-signsgd-sim": 0.9}
"""Default weight of the past in the local averages; 0 elsewhere."""


@dataclass(frozen=True)
class Setting:
    """Everything that does not change during a run; the meaning of the options is that of `DistributedSign`."""

    method: str
    num_workers: int
    dims: tuple[int, ...]  # coordinates per bucket
    beta: float
    momentum: float
    radius: float
    ball: float | None
    server: str
    block_size: int
    tie: str
    seed: int
    weights: tuple[float, ...]
    max_scale: float | None = None

    @property
    def is_scaled(self) -> bool:
        """Whether messages carry a scale per block."""
        return self.method == "ef-sign" or self.method.startswith("dvr")

    @property
    def sends_nothing(self) -> bool:
        """Whether z is where the only worker is, so that nothing need be compressed."""
        return self.num_workers == 1 and self.method.startswith("dvr")

    @cached_property
    def chunks(self) -> list[int]:
        """Length of an owner's slice of every bucket."""
        unit = math.lcm(64, self.block_size)
        return [max(1, -(-dim // (self.num_workers * unit))) * unit for dim in self.dims]

    @property
    def places(self) -> Tensor:
        """Where the coordinates lie in the padded vector."""
        parts, start = [], 0
        for dim, chunk in zip(self.dims, self.chunks, strict=True):
            parts.append(torch.arange(start, start + dim))
            start += chunk * self.num_workers
        return torch.cat(parts)


@dataclass
class Crowd:
    """All workers and the server between two steps; every tensor is padded.

    Attributes:
        setting: What does not change.
        places: Where the coordinates lie, for padding and unpadding.
        averages: Per worker: momentum, SSVR estimate or error, by name.
        z: Estimate or error of the server.
        valid: What is no padding.
    """

    setting: Setting
    places: Tensor
    averages: list[dict[str, Tensor]]
    z: Tensor | None = None
    valid: Tensor = field(init=False)

    def __post_init__(self) -> None:
        total = self.setting.num_workers * sum(self.setting.chunks)
        self.valid = torch.zeros(total, dtype=torch.bool)
        self.valid[self.places] = True

    def pad(self, vector: Tensor) -> Tensor:
        """The vector with zeros between and behind the buckets."""
        padded = torch.zeros(len(self.valid), dtype=vector.dtype)
        padded[self.places] = vector
        return padded

    # --- random numbers -------------------------------------------------------------------------------------------

    def worker_uniforms(self, worker: int, step: int, like: Tensor) -> Tensor:
        """What a worker draws for all buckets."""
        sizes = [self.setting.num_workers * chunk for chunk in self.setting.chunks]
        return torch.cat([self._draw(worker, step, b, size, like) for b, size in enumerate(sizes)])

    def server_uniforms(self, step: int, like: Tensor) -> Tensor:
        """What the owners of the slices draw."""
        return torch.cat(
            [
                self._draw(SERVER + owner, step, b, chunk, like)
                for b, chunk in enumerate(self.setting.chunks)
                for owner in range(self.setting.num_workers)
            ]
        )

    def _draw(self, rank: int, step: int, bucket: int, size: int, like: Tensor) -> Tensor:
        return torch.rand(size, generator=private_stream(self.setting.seed, rank, step, bucket), dtype=like.dtype)

    def fill(self, step: int, *, worker: int | None = None) -> Tensor:
        """Booleans for coordinates without an opinion: of a worker, or (None) of the server at a tie."""
        index = torch.arange(len(self.valid))
        if self.setting.tie != "random":
            return (step + (worker or 0) + index) % 2 == 1
        chunks, size = self.setting.chunks, self.setting.num_workers
        if worker is not None:
            parts = [(worker, b, size * chunk) for b, chunk in enumerate(chunks)]
        else:
            parts = [(SERVER + k, b, chunk) for b, chunk in enumerate(chunks) for k in range(size)]
        return torch.cat([self._coins(rank, step, b, length) for rank, b, length in parts])

    def positive(self, values: Tensor, step: int, *, worker: int | None = None) -> Tensor:
        """Which values go up; a zero, if there is one outside the padding, goes by `fill`."""
        zero = (values == 0) & self.valid
        return (values > 0) | (zero & self.fill(step, worker=worker)) if bool(zero.any()) else values > 0

    def _coins(self, rank: int, step: int, bucket: int, size: int) -> Tensor:
        stream = private_stream(self.setting.seed, rank, step, bucket)
        byte = torch.randint(256, (size // 8,), generator=stream, dtype=torch.uint8)
        return (byte[:, None] >> torch.arange(8) & 1).bool().view(-1)

    # --- messages -------------------------------------------------------------------------------------------------

    def message(self, worker: int, step: int, grad: Tensor, grad_prev: Tensor | None, *, lr: float) -> Tensor:
        """What worker sends, decoded: plus or minus 1 in votes, scaled signs with weights elsewhere."""
        own, setting = self.averages[worker], self.setting
        kind = setting.method
        if kind == "ef-sign":
            wanted = own.get("e", torch.zeros_like(grad)) + lr * grad
            positive = self.positive(wanted, step, worker=worker)
            scales, own["e"] = self.scaled(wanted, positive)
            return self.spread(self.believed(scales) * setting.weights[worker], positive)
        if kind.startswith("dvr"):
            assert grad_prev is not None
            h = dvr_message(grad, grad_prev, beta=0.0 if kind in FINITE_SUM else setting.beta)
            uniforms = self.worker_uniforms(worker, step, h)
            positive, scales = block_stochastic_sign(h, uniforms, block_size=setting.block_size)
            return self.spread(self.believed(scales) * setting.weights[worker], positive)
        if kind == "ssvr-mv":
            return self.random_sign(worker, step, self.local_ssvr(own, grad, grad_prev), setting.radius)
        if setting.momentum > 0:
            grad = own["m"] = setting.momentum * own["m"] + (1 - setting.momentum) * grad if "m" in own else grad
        if kind == "majority-vote" and setting.num_workers == 1 and setting.tie == "ternary":
            return torch.sign(grad)  # the only worker's zeros need no bit
        if kind == "majority-vote":
            return torch.where(self.positive(grad, step, worker=worker), 1.0, -1.0).to(grad)
        if kind == "ssdm":
            norm = self.norm(grad)
            return self.random_sign(worker, step, grad, norm) if norm > 0 else torch.zeros_like(grad)
        return self.random_sign(worker, step, grad, setting.radius)

    def local_ssvr(self, own: dict[str, Tensor], grad: Tensor, grad_prev: Tensor | None) -> Tensor:
        """The estimate of SSVR; without an earlier gradient it is the one that was started."""
        if grad_prev is not None:
            own["v"] = ssvr(grad, grad_prev, own["v"], beta=self.setting.beta)
        ball = self.setting.ball
        if ball is not None and (norm := self.norm(own["v"])) > ball:
            own["v"] = own["v"] * (ball / norm)
        return own["v"]

    def random_sign(self, worker: int, step: int, values: Tensor, radius: float) -> Tensor:
        """Plus or minus 1 with the mean values / radius."""
        positive = stochastic_sign(values, radius, self.worker_uniforms(worker, step, values))
        return torch.where(positive, 1.0, -1.0).to(values)

    def norm(self, vector: Tensor) -> float:
        """Euclidean norm, in float64, bucket by bucket."""
        parts = vector.split([self.setting.num_workers * chunk for chunk in self.setting.chunks])
        return sum(float(torch.linalg.vector_norm(p, dtype=torch.float64)) ** 2 for p in parts) ** 0.5

    def scaled(self, wanted: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
        """Mean size per block of real coordinates, and what scaled signs leave undone."""
        block = self.setting.block_size
        counts = self.valid.view(-1, block).sum(1).clamp(min=1).to(wanted.dtype)
        scales = wanted.view(-1, block).abs().sum(1) / counts
        return scales, torch.where(self.valid, wanted - self.spread(scales, positive), 0.0)

    def believed(self, scales: Tensor) -> Tensor:
        """What a receiver takes scales for: 0 if they are NaN, infinite or negative, at most ``max_scale``."""
        fine = torch.where(scales.isfinite() & (scales >= 0), scales, 0.0)
        return fine if self.setting.max_scale is None else fine.clamp(max=self.setting.max_scale)

    def spread(self, scales: Tensor, positive: Tensor) -> Tensor:
        """Scaled signs, one per coordinate."""
        each = scales.repeat_interleave(self.setting.block_size)
        return torch.where(positive, each, -each)

    # --- answers --------------------------------------------------------------------------------------------------

    def answer(self, step: int, messages: list[Tensor]) -> Tensor:
        """The step's direction from all messages (`ef-sign`: the step itself)."""
        total = torch.zeros_like(messages[0])
        for message in messages:
            total = total + message
        kind, setting = self.setting.method, self.setting
        if kind == "ssdm":
            return total / setting.num_workers
        if kind == "ef-sign":
            return self._feedback(step, torch.where(self.valid, total, 0.0))
        if kind.startswith("dvr"):
            assert self.z is not None
            beta = 0.0 if kind in FINITE_SUM else setting.beta
            self.z = dvr_estimate(torch.where(self.valid, total, 0.0), self.z, beta=beta)
            return self.from_z(step)
        if kind == "ssvr-mv" and setting.server == "random":
            uniforms = self.server_uniforms(step, total.float())
            positive = stochastic_sign(total.float(), float(setting.num_workers), uniforms)
            return torch.where(positive, 1.0, -1.0).to(total)
        return self._sign(step, total)

    def alone(self, step: int, grad: Tensor, grad_prev: Tensor) -> Tensor:
        """The round of a single worker of the dvr methods."""
        assert self.z is not None
        finite_sum = self.setting.method in FINITE_SUM
        self.z = self.z + (grad - grad_prev) if finite_sum else ssvr(grad, grad_prev, self.z, beta=self.setting.beta)
        return self.from_z(step)

    def from_z(self, step: int) -> Tensor:
        """What the server of DVR broadcasts, decoded."""
        assert self.z is not None
        if not self.setting.method.startswith("dvr-q"):
            return self._sign(step, self.z)
        if self.setting.sends_nothing:
            return self.z
        uniforms = self.server_uniforms(step, self.z)
        positive, scales = block_stochastic_sign(self.z, uniforms, block_size=self.setting.block_size)
        return self.spread(self.believed(scales), positive)

    def _sign(self, step: int, values: Tensor) -> Tensor:
        if self.setting.tie == "ternary":
            return torch.sign(values)
        return torch.where(self.positive(values, step), 1.0, -1.0).to(values)

    def _feedback(self, step: int, mean: Tensor) -> Tensor:
        if self.setting.num_workers == 1:
            return mean
        wanted = mean if self.z is None else self.z + mean
        positive = self.positive(wanted, step)
        scales, self.z = self.scaled(wanted, positive)
        return self.spread(self.believed(scales), positive)
