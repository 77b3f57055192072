"""Runs a job in several processes on loopback, bounded in time, and reaps them whatever happens."""

import multiprocessing
import tempfile
import time
import traceback
import warnings
from multiprocessing import connection
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch._dynamo", "signscope.optim.distributed"]
)  # torch is imported once, then processes are forked


def _child(job, rank, size, store, pipe, timeout, backend, arguments):
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    warnings.simplefilter("error")
    torch.set_num_threads(1)
    try:
        if backend == "nccl":
            torch.cuda.set_device(rank)
        dist.init_process_group(
            backend, init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=timeout)
        )
        pipe.send(("ok", job(rank, size, *arguments)))
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))
    finally:
        pipe.close()


def launch(job, size, *arguments, limit=90.0, collective_timeout=60.0, backend="gloo"):
    """Results of ``job(rank, size, *arguments)`` by rank; None for one that died without a word.

    The job is a function of a module that children can import. A rank that raises fails the test with its traceback.
    """
    with tempfile.TemporaryDirectory() as folder:
        children, results = [], [None] * size
        try:
            for rank in range(size):
                here, there = CONTEXT.Pipe(duplex=False)
                given = (job, rank, size, Path(folder) / "store", there, collective_timeout, backend, arguments)
                child = CONTEXT.Process(target=_child, args=given, daemon=True)
                child.start()
                there.close()
                children.append((child, here))
            _collect(children, results, limit)
        finally:
            for child, here in children:
                if child.is_alive():
                    child.kill()
                child.join(10)
                here.close()
    failures = [f"rank {rank}:\n{r[1]}" for rank, r in enumerate(results) if r is not None and r[0] == "failed"]
    assert not failures, "\n".join(failures)
    return [None if r is None else r[1] for r in results]


def _collect(children, results, limit):
    waiting = {here: rank for rank, (_, here) in enumerate(children)}
    end = time.monotonic() + limit
    while waiting:
        ready = connection.wait(list(waiting), timeout=max(0.0, end - time.monotonic()))
        assert ready, f"ranks {sorted(waiting.values())} did not finish within {limit:g} s"
        for here in ready:
            rank = waiting.pop(here)
            try:
                results[rank] = here.recv()
            except EOFError:
                results[rank] = None
