"""One training run under a budget of gradient calls, with its measurements along the way."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from signscope._core.errors import Unsupported
from signscope._core.random import stream
from signscope.optim import FullGradient
from signscope.reproduce.augment import crop_and_flip
from signscope.reproduce.datasets import Dataset
from signscope.reproduce.job import Job
from signscope.reproduce.machine import Machine
from signscope.reproduce.methods import METHODS
from signscope.reproduce.networks import build
from signscope.reproduce.unfinished import INTERVAL, restore, save

NUMBERS = 2**20  # numbers evaluated at once: 341 rows of CIFAR-10
Batch = tuple[Tensor, Tensor]
MakeNet = Callable[[Job, Dataset, int], nn.Module]
Measurement = Callable[["Loop", int], dict[str, Any]]


def train(
    job: Job,
    data: Dataset,
    *,
    machine: Machine | None = None,
    make_net: MakeNet | None = None,
    measure: Measurement | None = None,
    unfinished: Path | None = None,
    interval: float = INTERVAL,
) -> list[dict[str, Any]]:
    """Measurements of one run, ``points + 1`` rows.

    Each holds the gradient calls, passes and steps spent and what ``measure`` finds: by default training loss, l1 norm
    of the full gradient and test accuracy. A run that leaves the finite numbers ends with the status "diverged" and
    NaN afterwards.

    Args:
        job: The run.
        data: The training rows of ``job`` and the test, already on the device.
        machine: Where it is computed; None: one process on the CPU.
        make_net: (job, data, seed) -> network; None: that of `build`.
        measure: (loop, number of the measurement) -> named numbers and texts.
        unfinished: File for the state of a long run at its measurements; a run found there continues bit for bit.
        interval: Seconds between two savings.
    """
    started = saved = time.monotonic()
    machine, take = machine or Machine(), measure or measured_in_full
    make = make_net or (lambda job, data, seed: build(job.model, data, seed=seed))
    net = make(job, data, int(stream(job.seed, "init").integers(2**31))).to(machine.device)
    loop, cost = Loop(job, data, net, machine), METHODS[job.method].cost
    rows = restore(unfinished, job, net, loop.optimizer, device=machine.device)
    rows = rows or [take(loop, 0) | {"point": 0, "calls": 0, "passes": 0.0, "steps": 0}]
    loop.batches = shuffled(data, job, first=rows[-1]["steps"])
    for point in range(len(rows), job.points + 1):
        calls, step, target = rows[-1]["calls"], rows[-1]["steps"], job.budget * point / job.points
        while calls < target and calls + cost(step, job.period) <= job.budget:
            calls += cost(step, job.period)
            if not loop.step():
                return _diverged(rows, job, time.monotonic() - started)
            step += 1
        spent = {"point": point, "calls": calls, "passes": calls / job.period, "steps": step}
        rows.append(take(loop, point) | spent)
        if unfinished is not None and machine.told(time.monotonic() - saved >= interval):
            if machine.writes:
                save(unfinished, job, net, loop.optimizer, rows)
            saved = time.monotonic()
    seconds = round(time.monotonic() - started, 3)
    return [{**row, "status": "ok", "seconds": seconds} for row in rows]


class Loop:
    """Network, optimizer and batches of one run, moved on by `step`.

    Raises:
        Unsupported: Decay, clipping, bfloat16, compilation or parts of a batch with a method of several gradients.
    """

    def __init__(self, job: Job, data: Dataset, net: nn.Module, machine: Machine | None = None) -> None:
        self.job, self.data, self.net, self.method = job, data, net, METHODS[job.method]
        self.machine = machine or Machine()
        extra = job.decay or job.clip or job.precision != "float32" or self.machine != Machine(self.machine.device)
        if self.method.has_closure and extra:
            raise Unsupported(
                f"train: {self.method.label} takes several gradients per step; decay, clipping, bfloat16, compilation, "
                "micro-batches and several processes are for methods with one."
            )
        self.forward = torch.compile(net) if self.machine.compiled else net
        self.params = list(net.parameters())
        self.matrices = [param for param in self.params if param.ndim > 1]
        self.batches = shuffled(data, job)
        full = FullGradient(chunks(data.train_x, data.train_y), self.loss)
        self.optimizer = self.method.make(net, job, full)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy of a batch (over rows, and positions where every one has a class), with its graph."""
        return self.scored(batch)[0]

    def scored(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of a batch and its scores (rows, ..., classes)."""
        kind = torch.device(self.machine.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.job.precision == "bfloat16"):
            scores = self.forward(batch[0])
            return nn.functional.cross_entropy(scores.flatten(0, -2), batch[1].flatten()), scores

    def step(self) -> bool:
        """One step on the next batch; whether its loss is finite."""
        batch = next(self.batches)
        if self.method.has_closure:

            def closure() -> Tensor:
                self.optimizer.zero_grad()
                loss = self.loss(batch)
                loss.backward()
                return loss

            take: Any = self.optimizer.step  # torch's own signature wants closures that return floats
            return math.isfinite(take(closure))
        loss = self.gradient(batch)
        with torch.no_grad():
            if self.job.clip is not None:
                nn.utils.clip_grad_norm_(self.params, self.job.clip)
            for matrix in self.matrices if self.job.decay else []:
                matrix.mul_(1 - self.job.decay)
        self.optimizer.step()
        return math.isfinite(loss)

    def gradient(self, batch: Batch) -> float:
        """Gradient of the mean loss of a batch, over micro-batches and processes; that loss."""
        self.optimizer.zero_grad()
        x, y = (self.machine.share(part) for part in batch)
        whole, most = len(x), self.machine.micro_batch or len(x)
        total = x.new_zeros((), dtype=torch.float32)
        for part in zip(x.split(most), y.split(most), strict=True):
            loss = self.loss(part)
            share = loss * (len(part[0]) / whole) if whole > most else loss
            share.backward()
            total += share.detach()
        self.machine.average_([total, *(p.grad for p in self.params if p.grad is not None)])
        return float(total)


def shuffled(data: Dataset, job: Job, *, first: int = 0) -> Iterator[Batch]:
    """Mini-batches of full size from number ``first`` on, every row once per pass, without end.

    Rows that do not fill a batch are left out; each pass leaves out others. An augmented batch is stored as it is
    yielded, so that a method with two gradients sees it unchanged at both points. Measurements and full gradients
    are of the rows as they are.
    """
    rng, skipped, number = stream(job.seed, "batches", job.batch_size), first, first
    while True:
        order = torch.from_numpy(rng.permutation(job.rows)).to(data.train_x.device)
        for i in range(min(skipped, job.period), job.period):
            chosen = order[i * job.batch_size : (i + 1) * job.batch_size]
            x = data.train_x[chosen]
            yield crop_and_flip(x, seed=job.seed, batch=number) if job.augment else x, data.train_y[chosen]
            number += 1
        skipped = max(0, skipped - job.period)


def chunks(x: Tensor, y: Tensor) -> list[Batch]:
    """All rows, in parts that fit the memory; at most 2048 rows each."""
    rows = max(1, min(2048, NUMBERS // max(1, x[0].numel())))
    return list(zip(x.split(rows), y.split(rows), strict=True))


def measured_in_full(loop: Loop, point: int) -> dict[str, Any]:
    """Loss and l1 norm of the gradient over all training rows, and the test accuracy."""
    net, data = loop.net, loop.data
    total, sums = 0.0, [torch.zeros_like(p) for p in loop.params]
    for x, y in chunks(data.train_x, data.train_y):
        loss = nn.functional.cross_entropy(net(x), y, reduction="sum")
        for part, grad in zip(sums, torch.autograd.grad(loss, loop.params), strict=True):
            part += grad
        total += float(loss.detach())
    count = len(data.train_x)
    with torch.no_grad():
        right = sum(int((net(x).argmax(1) == y).sum()) for x, y in chunks(data.test_x, data.test_y))
    return {
        "train_loss": total / count,
        "grad_l1": float(sum(part.abs().sum() for part in sums)) / count,
        "test_accuracy": right / len(data.test_x),
    }


def _diverged(rows: list[dict[str, Any]], job: Job, seconds: float) -> list[dict[str, Any]]:
    empty = {name: "" if isinstance(value, str) else math.nan for name, value in rows[0].items()}
    nothing = {**empty, "calls": job.budget, "passes": job.epochs, "steps": -1}
    rows = rows + [{**nothing, "point": point} for point in range(len(rows), job.points + 1)]
    return [{**row, "status": "diverged", "seconds": round(seconds, 3)} for row in rows]
