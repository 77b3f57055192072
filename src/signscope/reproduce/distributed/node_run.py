"""One run on nodes, all in this process: the reference of the distributed optimizer, or averaged gradients."""

import math
import time
from typing import Any

import torch
from torch import Tensor

from signscope.reproduce.datasets import Dataset
from signscope.reproduce.distributed.contenders import BLOCK, CONTENDERS, Contender, sent
from signscope.reproduce.distributed.node_job import NodeJob
from signscope.reproduce.distributed.nodes import Nodes
from signscope.simulation.workers import simulate_workers


def train(job: NodeJob, data: Dataset) -> list[dict[str, Any]]:
    """Measurements of one run: moves, bytes sent per node, gradients per node, training loss and test accuracy."""
    began, contender = time.monotonic(), CONTENDERS[job.method]
    nodes = Nodes(job, data, finite_sum=contender.finite_sum)
    dim = sum(nodes.sizes)
    path = averaged(job, nodes) if contender.method is None else reference(job, nodes)
    rows: list[dict[str, Any]] = []
    for point, (moves, theta) in enumerate(zip(job.marks, path, strict=True)):
        found = nodes.measured(theta)
        status = "ok" if math.isfinite(found["train_loss"]) else "diverged"
        spent = sent(contender, dim, job.nodes, moves, period=job.period)
        calls = gradients(contender, moves, period=job.period) * job.accumulate
        rows.append({"point": point, "moves": moves, "bytes": spent, "gradients": calls, **found, "status": status})
    seconds = round(time.monotonic() - began, 3)
    return [{**row, "seconds": seconds} for row in rows]


def options(job: NodeJob, nodes: Nodes) -> dict[str, Any]:
    """Options of the method that `simulate_workers` and `DistributedSign` share, the learning rate left out."""
    contender = CONTENDERS[job.method]
    found = {**contender.options, "block_size": BLOCK, "seed": job.seed}
    if contender.radius:
        found["radius"] = contender.radius * nodes.largest()
    if contender.finite_sum:
        found["period"] = job.period
    return found


def rate(job: NodeJob, move: int) -> float:
    """Learning rate of a move: linear to 0."""
    return job.lr * (1 - move / job.steps)


def reference(job: NodeJob, nodes: Nodes) -> list[Tensor]:
    """Weights at the marks, by the single-process reference."""
    contender = CONTENDERS[job.method]
    assert contender.method is not None
    full = [lambda theta, j=j: nodes.full_gradient(theta, j) for j in range(job.nodes)]
    chosen, start = options(job, nodes), nodes.start
    run = simulate_workers(
        [lambda theta, call, j=j: nodes.gradient(theta, j, call) for j in range(job.nodes)],
        start,
        method=contender.method,
        lr=lambda move: rate(job, move),
        num_steps=job.steps,
        full_gradients=full if contender.finite_sum else None,
        record_every=job.interval,
        **chosen,
    )
    recorded = dict(zip(run.steps, run.path, strict=True))
    return [recorded[mark] for mark in job.marks]


def averaged(job: NodeJob, nodes: Nodes) -> list[Tensor]:
    """Weights at the marks when the nodes' gradients are averaged in full precision, as DDP does."""
    theta = torch.nn.Parameter(nodes.start)
    make: Any = torch.optim.AdamW if job.method == "adamw" else torch.optim.SGD
    extra: dict[str, float] = {} if job.method == "adamw" else {"momentum": 0.9}
    optimizer = make([theta], lr=job.lr, **extra)
    path = [theta.detach().clone()]
    for step in range(job.steps):
        optimizer.param_groups[0]["lr"] = rate(job, step)
        theta.grad = torch.stack([nodes.gradient(theta.detach(), j, step) for j in range(job.nodes)]).mean(0)
        optimizer.step()
        if step + 1 in job.marks:
            path.append(theta.detach().clone())
    return path


def gradients(contender: Contender, moves: int, *, period: int) -> int:
    """Batch gradients of one node in so many moves; a full gradient counts as ``period``."""
    if contender.finite_sum:
        full = math.ceil(moves / period)
        return full * period + (moves - full) * 2
    return contender.calls * moves - (contender.calls - 1) * min(moves, 1)
