"""One training run under a budget of gradient calls, with its measurements along the way."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from signscope._core.random import stream
from signscope.optim import FullGradient
from signscope.reproduce.datasets import Dataset
from signscope.reproduce.methods import METHODS, Method
from signscope.reproduce.networks import build

CHUNK = 2048  # rows evaluated at once
MEASURED = ("train_loss", "grad_l1", "test_accuracy")
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Job:
    """What determines a run; equal jobs give equal results.

    Attributes:
        data: Name of the data set.
        rows: Training rows used.
        model: Network.
        method: Key of `METHODS`.
        lr: Learning rate.
        beta: Weight of the new sample; None for the method's own (or none).
        batch_size: Rows per mini-batch.
        epochs: Budget: passes over the training rows, counted in gradient calls.
        points: Measurements after the first.
        seed: Of initialisation and batches; runs of different methods with one seed share both.
    """

    data: str
    rows: int
    model: str
    method: str
    lr: float
    beta: float | None
    batch_size: int
    epochs: float
    points: int
    seed: int

    @property
    def period(self) -> int:
        """Mini-batches per pass, the m of the finite sum and the distance of checkpoints."""
        return max(1, self.rows // self.batch_size)

    @property
    def budget(self) -> int:
        """Gradient calls (mini-batch gradients) of the run; no step begins that would exceed it."""
        return max(1, round(self.epochs * self.period))


def train(job: Job, data: Dataset, *, device: str = "cpu") -> list[dict[str, Any]]:
    """Measurements of one run, ``points + 1`` rows.

    Each holds the gradient calls, passes and steps spent, the training loss, the l1 norm of the full gradient and
    the test accuracy. A run that leaves the finite numbers ends with the status "diverged" and NaN afterwards.

    Args:
        job: The run.
        data: The training rows of ``job`` and the test, already on the device.
        device: Of the network.
    """
    started, method = time.monotonic(), METHODS[job.method]
    net = build(job.model, data, seed=int(stream(job.seed, "init").integers(2**31))).to(device)
    loop = Loop(job, data, net, method)
    calls = step = 0
    rows = [_measure(net, data) | {"point": 0, "calls": 0, "passes": 0.0, "steps": 0}]
    for point in range(1, job.points + 1):
        target = job.budget * point / job.points
        while calls < target and calls + method.cost(step, job.period) <= job.budget:
            calls += method.cost(step, job.period)
            if not loop.step():
                return _diverged(rows, job, time.monotonic() - started)
            step += 1
        spent = {"point": point, "calls": calls, "passes": calls / job.period, "steps": step}
        rows.append(_measure(net, data) | spent)
    seconds = round(time.monotonic() - started, 3)
    return [{**row, "status": "ok", "seconds": seconds} for row in rows]


class Loop:
    """Network, optimizer and batches of one run, moved on by `step`."""

    def __init__(self, job: Job, data: Dataset, net: nn.Module, method: Method) -> None:
        self.net, self.method = net, method
        self.batches = shuffled(data, job)
        chunks = [(data.train_x[i : i + CHUNK], data.train_y[i : i + CHUNK]) for i in range(0, job.rows, CHUNK)]
        full = FullGradient(chunks, self.loss)
        beta = method.beta if job.beta is None else job.beta
        self.optimizer = method.make(net, job.lr, beta, job.period, full)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy of a batch, with its graph."""
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def step(self) -> bool:
        """One step on the next batch; whether its loss is finite."""
        batch = next(self.batches)

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(batch)
            loss.backward()
            return loss

        if self.method.has_closure:
            take: Any = self.optimizer.step  # torch's own signature wants closures that return floats
            loss = take(closure)
        else:
            loss = closure().detach()
            self.optimizer.step()
        return math.isfinite(loss)


def shuffled(data: Dataset, job: Job) -> Iterator[Batch]:
    """Mini-batches of full size, every row once per pass (the remainder is left out), without end."""
    rng, rows = stream(job.seed, "batches", job.batch_size), job.rows
    while True:
        order = torch.from_numpy(rng.permutation(rows)).to(data.train_x.device)
        for i in range(job.period):
            chosen = order[i * job.batch_size : (i + 1) * job.batch_size]
            yield data.train_x[chosen], data.train_y[chosen]


def _measure(net: nn.Module, data: Dataset) -> dict[str, Any]:
    params = list(net.parameters())
    total, sums = 0.0, [torch.zeros_like(p) for p in params]
    for i in range(0, len(data.train_x), CHUNK):
        x, y = data.train_x[i : i + CHUNK], data.train_y[i : i + CHUNK]
        loss = nn.functional.cross_entropy(net(x), y, reduction="sum")
        for part, grad in zip(sums, torch.autograd.grad(loss, params), strict=True):
            part += grad
        total += float(loss.detach())
    count = len(data.train_x)
    with torch.no_grad():
        right = sum(
            int((net(data.test_x[i : i + CHUNK]).argmax(1) == data.test_y[i : i + CHUNK]).sum())
            for i in range(0, len(data.test_x), CHUNK)
        )
    return {
        "train_loss": total / count,
        "grad_l1": float(sum(part.abs().sum() for part in sums)) / count,
        "test_accuracy": right / len(data.test_x),
    }


def _diverged(rows: list[dict[str, Any]], job: Job, seconds: float) -> list[dict[str, Any]]:
    nothing = {
        "calls": job.budget,
        "passes": job.epochs,
        "steps": -1,
        **dict.fromkeys(MEASURED, math.nan),
    }
    rows = rows + [{"point": point, **nothing} for point in range(len(rows), job.points + 1)]
    return [{**row, "status": "diverged", "seconds": round(seconds, 3)} for row in rows]
