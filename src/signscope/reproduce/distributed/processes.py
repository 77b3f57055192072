"""The same runs on real processes on this machine: weights and counted bytes next to those of the reference."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from signscope.reproduce.datasets import load
from signscope.reproduce.distributed.contenders import CONTENDERS, sent
from signscope.reproduce.distributed.node_job import NodeJob
from signscope.reproduce.distributed.node_run import options, rate, reference
from signscope.reproduce.distributed.nodes import Nodes, flat

LIMIT = 600.0  # seconds for all runs with one number of nodes
PATIENCE = 120.0  # seconds in which another rank must answer


@dataclass(frozen=True)
class Check:
    """What came out of one run on processes.

    Attributes:
        job: The run.
        is_equal: Whether the weights at every mark are those of the reference, on every rank, bit for bit.
        has_bytes: Whether every rank sent the bytes of the formula (bits, scales and full-precision parts).
    """

    job: NodeJob
    is_equal: bool
    has_bytes: bool


def check_processes(jobs: Sequence[NodeJob], data: str, *, rows: int | None) -> list[Check]:
    """Runs jobs with `DistributedSign` on gloo processes, one process per node.

    Args:
        jobs: Runs of one-bit methods.
        data: Name of the data for `load`.
        rows: Rows that are kept, as for the reference.

    Raises:
        RuntimeError: A process failed, with its last words.
        subprocess.TimeoutExpired: The processes did not finish in time; they are stopped.
    """
    loaded, found = load(data).head(rows), []
    for size in dict.fromkeys(job.nodes for job in jobs):
        own = [job for job in jobs if job.nodes == size]
        results = _launch(own, data, rows, size)
        for index, job in enumerate(own):
            nodes = Nodes(job, loaded, finite_sum=CONTENDERS[job.method].finite_sum)
            path = torch.stack(reference(job, nodes))
            dim = sum(nodes.sizes)
            expected = sent(CONTENDERS[job.method], dim, size, job.steps, period=job.period)
            ranks = [result[index] for result in results]
            is_equal = all(torch.equal(rank["path"], path) for rank in ranks)
            found.append(Check(job, is_equal, all(rank["bytes"] == expected for rank in ranks)))
    return found


def _launch(jobs: Sequence[NodeJob], data: str, rows: int | None, size: int) -> list[list[dict[str, Any]]]:
    """Results by rank."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = {"jobs": [asdict(job) for job in jobs], "data": data, "rows": rows, "size": size}
        (folder / "jobs.json").write_text(json.dumps(given), encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(folder)]
        children = [
            subprocess.Popen([*command, str(rank)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for rank in range(size)
        ]
        try:
            words = [child.communicate(timeout=LIMIT)[1] for child in children]
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                    child.wait()
        for rank, child in enumerate(children):
            if child.returncode:
                raise RuntimeError(f"process {rank} of {size} failed:\n{words[rank][-2000:]}")
        return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


def _child(folder: Path, rank: int) -> None:
    """What one process does: all jobs, one after the other."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    given = json.loads((folder / "jobs.json").read_text(encoding="utf-8"))
    data = load(given["data"]).head(given["rows"])
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=given["size"],
        timeout=timedelta(seconds=PATIENCE),
    )
    try:
        jobs = [NodeJob(**job) for job in given["jobs"]]
        results = [_walk(job, Nodes(job, data, finite_sum=CONTENDERS[job.method].finite_sum), rank) for job in jobs]
        torch.save(results, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def _walk(job: NodeJob, nodes: Nodes, rank: int) -> dict[str, Any]:
    """One run of this rank: gradients of its own rows alone."""
    from signscope.optim.distributed import DistributedSign

    contender = CONTENDERS[job.method]
    assert contender.method is not None
    start = nodes.start
    chosen = options(job, nodes)
    nodes.put(start)

    def full() -> Tensor:
        optimizer.zero_grad()
        loss = nodes.local_loss(rank)
        loss.backward()
        return loss

    if contender.finite_sum:
        chosen["full_gradient"] = full
    optimizer = DistributedSign(nodes.params, lr=job.lr, method=contender.method, **chosen)
    path = [start]
    for step in range(job.steps):
        optimizer.param_groups[0]["lr"] = rate(job, step)

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss = nodes.loss(nodes.batch(rank, step))
            loss.backward()
            return loss

        optimizer.step(closure)
        if step + 1 in job.marks:
            path.append(flat(nodes.params))
    wire = optimizer.rounds.wire
    return {"path": torch.stack(path), "bytes": float(wire.payload_bytes + wire.dense_bytes)}


if __name__ == "__main__":
    _child(Path(sys.argv[1]), int(sys.argv[2]))
