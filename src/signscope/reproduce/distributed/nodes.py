"""The nodes of a run: the network, the rows of every node, gradients of one node at a time."""

import numpy as np
import torch
from torch import Tensor, nn

from signscope._core.random import stream
from signscope.reproduce.datasets import Dataset
from signscope.reproduce.distributed.node_job import NodeJob
from signscope.reproduce.distributed.splits import deal
from signscope.reproduce.networks import build

CHUNK = 2048


class Nodes:
    """What all nodes of a job share; a gradient of node j is computed from its own rows and one batch number alone.

    Args:
        job: The run.
        data: Its data.
        finite_sum: Whether batches are components: a fixed partition of a node's rows.
    """

    def __init__(self, job: NodeJob, data: Dataset, *, finite_sum: bool = False) -> None:
        self.job, self.data = job, data
        self.net = build(job.model, data, seed=int(stream(job.seed, "init").integers(2**31)))
        self.params = list(self.net.parameters())
        self.sizes = [p.numel() for p in self.params]
        options = {"nodes": job.nodes, "each": job.rows, "split": job.split, "alpha": job.alpha, "seed": job.seed}
        self.dealt = torch.from_numpy(deal(data.train_y.tolist(), **options))
        used = self.dealt.reshape(-1)
        self.train_x, self.train_y = data.train_x[used], data.train_y[used]
        count = job.steps * job.accumulate
        self.order = [self._batches(j, count, finite_sum) for j in range(job.nodes)]

    def _batches(self, node: int, count: int, finite_sum: bool) -> Tensor:
        """Rows (among those of the node) of every batch, shape (batches, rows), every row once per pass."""
        job, rng = self.job, stream(self.job.seed, "batches", node)
        components = np.arange(job.period * job.batch_size).reshape(job.period, job.batch_size)
        passes = []
        for _ in range(-(-count // job.period)):
            if finite_sum:
                passes.append(components[rng.permutation(job.period)])
            else:
                passes.append(rng.permutation(job.rows)[: components.size].reshape(components.shape))
        return torch.from_numpy(np.concatenate(passes)[:count])

    @property
    def start(self) -> Tensor:
        """The first weights, flat."""
        return flat(self.params)

    def batch(self, node: int, step: int) -> tuple[Tensor, Tensor]:
        """Rows and classes of one local gradient."""
        k = self.job.accumulate
        rows = self.dealt[node][self.order[node][step * k : (step + 1) * k].reshape(-1)]
        return self.data.train_x[rows], self.data.train_y[rows]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean cross entropy at the network's weights."""
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def local_loss(self, node: int) -> Tensor:
        """Mean cross entropy of all rows of a node."""
        return self.loss((self.data.train_x[self.dealt[node]], self.data.train_y[self.dealt[node]]))

    def gradient(self, theta: Tensor, node: int, step: int) -> Tensor:
        """Gradient of a node's batch."""
        self.put(theta)
        return flat(torch.autograd.grad(self.loss(self.batch(node, step)), self.params))

    def full_gradient(self, theta: Tensor, node: int) -> Tensor:
        """Gradient of all rows of a node."""
        self.put(theta)
        return flat(torch.autograd.grad(self.local_loss(node), self.params))

    def largest(self) -> float:
        """Largest entry of any node's first gradient at the start."""
        theta = self.start
        return max(float(self.gradient(theta, j, 0).abs().max()) for j in range(self.job.nodes))

    def put(self, theta: Tensor) -> None:
        """Set the weights."""
        with torch.no_grad():
            for param, part in zip(self.params, theta.split(self.sizes), strict=True):
                param.copy_(part.view(param.shape))

    @torch.no_grad()
    def measured(self, theta: Tensor) -> dict[str, float]:
        """Training loss over the rows of all nodes, and test accuracy."""
        self.put(theta)
        total = 0.0
        for x, y in zip(self.train_x.split(CHUNK), self.train_y.split(CHUNK), strict=True):
            total += float(nn.functional.cross_entropy(self.net(x), y, reduction="sum"))
        pairs = zip(self.data.test_x.split(CHUNK), self.data.test_y.split(CHUNK), strict=True)
        right = sum(int((self.net(x).argmax(1) == y).sum()) for x, y in pairs)
        return {"train_loss": total / len(self.train_y), "test_accuracy": right / len(self.data.test_y)}


def flat(tensors: "list[nn.Parameter] | tuple[Tensor, ...]") -> Tensor:
    """All entries end to end."""
    return torch.cat([t.detach().reshape(-1) for t in tensors])
