"""What is measured along the runs: losses on rows held fixed, and the gradient's noise on batches of its own."""

import json
import math
from typing import Any

import torch
from torch import Tensor

from signscope._core.random import stream
from signscope.measure import NoiseReport, gradient_noise
from signscope.reproduce.training_run import Batch, Loop

LOSSES = ("train_loss", "test_loss", "test_accuracy")
NOISES = (
    "density",
    "density_low",
    "density_high",
    "density_body",
    "grad_density",
    "sigma1",
    "sigma2",
    "grad_l1",
    "noise_scale",
    "never_seen",
    "phase3",
)
MEASURED: dict[str, type] = {**dict.fromkeys((*LOSSES, *NOISES), float), "layers": str}
"""Columns of runs.csv. ``density_body`` leaves out embeddings; ``layers`` holds the density of every layer as JSON."""
ROWS = 128  # evaluated at a measurement, of training and test each


class Probing:
    """The measurement of a run, see `train`.

    Losses are means over the first `ROWS` (or ``rows``) training and test rows. Where the job has ``probes``, the noise
    is measured by `gradient_noise` on as many fresh random batches per process, of the job's size or of a micro-batch
    (the density does not depend on it; the shares of phases are those at the job's size).

    Args:
        rows: Rows for the losses.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self.rows = rows

    def __call__(self, loop: Loop, point: int) -> dict[str, Any]:
        """Losses and noise at the current weights; the run itself is not changed."""
        data = loop.data
        train, _ = self._evaluated(loop, data.train_x, data.train_y)
        test, right = self._evaluated(loop, data.test_x, data.test_y)
        found: dict[str, Any] = {"train_loss": train, "test_loss": test, "test_accuracy": right}
        if not loop.job.probes:
            return {**found, **dict.fromkeys(NOISES, math.nan), "layers": "{}"}
        return {**found, **flattened(self.noise(loop, point), loop.job.batch_size)}

    def noise(self, loop: Loop, point: int) -> NoiseReport:
        """The report on ``probes`` batches per process, drawn for this measurement."""
        job, machine = loop.job, loop.machine
        rng = stream(job.seed, "probe", point, machine.rank)
        size = max(1, min(job.batch_size // machine.size, machine.micro_batch or job.batch_size))
        chosen = (torch.from_numpy(rng.choice(job.rows, size)).to(loop.data.train_x.device) for _ in range(job.probes))
        batches = [(loop.data.train_x[rows], loop.data.train_y[rows]) for rows in chosen]

        def loss(net: Any, batch: Batch) -> Tensor:
            scores = net(batch[0])
            return torch.nn.functional.cross_entropy(scores.flatten(0, -2), batch[1].flatten())

        dtype = torch.bfloat16 if job.precision == "bfloat16" else None
        return gradient_noise(loop.net, loss, batches, num_batches=job.probes, autocast=dtype, seed=job.seed)

    def _evaluated(self, loop: Loop, x: Tensor, y: Tensor) -> tuple[float, float]:
        """Mean loss and share of right answers."""
        total, right, count = 0.0, 0, 0
        most = loop.machine.micro_batch or max(1, min(ROWS, loop.job.batch_size))
        with torch.no_grad():
            for part in zip(x[: self.rows].split(most), y[: self.rows].split(most), strict=True):
                loss, scores = loop.scored(part)
                total += float(loss) * len(part[0])
                right += int((scores.argmax(-1) == part[1]).sum())
                count += part[1].numel()
        return total / min(self.rows, len(x)), right / count


def flattened(report: NoiseReport, batch_size: int) -> dict[str, Any]:
    """The columns of a noise report; shares of phases at ``batch_size``."""
    whole = report.overall
    names = ("density", "density_low", "density_high", "grad_density", "sigma1", "sigma2", "grad_l1", "noise_scale")
    return {
        **{name: float(getattr(whole, name)) for name in names},
        "density_body": whole.density if report.body is None else report.body.density,
        "never_seen": whole.never_seen / whole.dim,
        "phase3": report.phases_at(batch_size)[2],
        "layers": json.dumps({layer.name: round(layer.density, 5) for layer in report.layers}),
    }
