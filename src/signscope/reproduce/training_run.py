"""One training run under a budget of gradient calls, with its measurements along the way."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from signscope._core.random import stream
from signscope.optim import FullGradient
from signscope.reproduce.augment import crop_and_flip
from signscope.reproduce.datasets import Dataset
from signscope.reproduce.job import Job
from signscope.reproduce.methods import METHODS, Method
from signscope.reproduce.networks import build
from signscope.reproduce.unfinished import INTERVAL, restore, save

NUMBERS = 2**20  # numbers evaluated at once: 341 rows of CIFAR-10
MEASURED = ("train_loss", "grad_l1", "test_accuracy")
Batch = tuple[Tensor, Tensor]


def train(
    job: Job, data: Dataset, *, device: str = "cpu", unfinished: Path | None = None, interval: float = INTERVAL
) -> list[dict[str, Any]]:
    """Measurements of one run, ``points + 1`` rows.

    Each holds the gradient calls, passes and steps spent, the training loss, the l1 norm of the full gradient and
    the test accuracy. A run that leaves the finite numbers ends with the status "diverged" and NaN afterwards.

    Args:
        job: The run.
        data: The training rows of ``job`` and the test, already on the device.
        device: Of the network.
        unfinished: File for the state of a long run at its measurements; a run found there continues bit for bit.
        interval: Seconds between two savings.
    """
    started = saved = time.monotonic()
    method = METHODS[job.method]
    net = build(job.model, data, seed=int(stream(job.seed, "init").integers(2**31))).to(device)
    loop = Loop(job, data, net, method)
    rows = restore(unfinished, job, net, loop.optimizer, device=device)
    rows = rows or [_measure(net, data) | {"point": 0, "calls": 0, "passes": 0.0, "steps": 0}]
    loop.batches = shuffled(data, job, first=rows[-1]["steps"])
    for point in range(len(rows), job.points + 1):
        calls, step, target = rows[-1]["calls"], rows[-1]["steps"], job.budget * point / job.points
        while calls < target and calls + method.cost(step, job.period) <= job.budget:
            calls += method.cost(step, job.period)
            if not loop.step():
                return _diverged(rows, job, time.monotonic() - started)
            step += 1
        spent = {"point": point, "calls": calls, "passes": calls / job.period, "steps": step}
        rows.append(_measure(net, data) | spent)
        if unfinished is not None and time.monotonic() - saved >= interval:
            save(unfinished, job, net, loop.optimizer, rows)
            saved = time.monotonic()
    seconds = round(time.monotonic() - started, 3)
    return [{**row, "status": "ok", "seconds": seconds} for row in rows]


class Loop:
    """Network, optimizer and batches of one run, moved on by `step`."""

    def __init__(self, job: Job, data: Dataset, net: nn.Module, method: Method) -> None:
        self.net, self.method = net, method
        self.batches = shuffled(data, job)
        full = FullGradient(chunks(data.train_x, data.train_y), self.loss)
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


def _measure(net: nn.Module, data: Dataset) -> dict[str, Any]:
    params = list(net.parameters())
    total, sums = 0.0, [torch.zeros_like(p) for p in params]
    for x, y in chunks(data.train_x, data.train_y):
        loss = nn.functional.cross_entropy(net(x), y, reduction="sum")
        for part, grad in zip(sums, torch.autograd.grad(loss, params), strict=True):
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
    nothing = {
        "calls": job.budget,
        "passes": job.epochs,
        "steps": -1,
        **dict.fromkeys(MEASURED, math.nan),
    }
    rows = rows + [{"point": point, **nothing} for point in range(len(rows), job.points + 1)]
    return [{**row, "status": "diverged", "seconds": round(seconds, 3)} for row in rows]
