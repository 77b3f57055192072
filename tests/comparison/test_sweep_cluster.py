"""Sweeps on a real Dask cluster on 127.0.0.1: the same digits, also when a worker is killed in the middle."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from signscope._core.errors import InvalidInput
from signscope.comparison import run_sweep

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.multiproc,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tornado"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
GRID = {"dim": [20, 30], "noise": ["gaussian:0.3", "laplace:0.4"], "lr": [0.1, 0.2], "optimizers": ["sgd", "signsgd"]}
GRID |= {"horizon": 1.0, "num_runs": 8}
COUNT = 16


def same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns="seconds"), b.drop(columns="seconds"))


@contextlib.contextmanager
def workers(address, count):
    """Worker processes without a nanny: nobody replaces one that is killed."""
    words = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
    words += ["--nthreads", "1", "--host", "127.0.0.1", "--death-timeout", "60"]
    found = [subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield found
    finally:
        for process in found:
            process.kill()
        for process in found:
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def scheduler():
    """A scheduler in this process, without workers."""
    options = {"n_workers": 0, "processes": False, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**options, protocol="tcp://", silence_logs=50) as cluster:
        yield cluster


class Killer:
    """Kills the worker that is computing once the first cells are there."""

    def __init__(self, cluster, processes):
        self.cluster, self.processes, self.killed, self.shares = cluster, processes, None, []

    def update(self, done, message=""):
        self.shares.append(done)
        if self.killed is None and done >= 2 / COUNT:
            busy = [w.pid for w in self.cluster.scheduler.workers.values() if w.processing]
            self.killed = next(p for p in self.processes if p.pid in busy)
            os.kill(self.killed.pid, signal.SIGKILL)

    def close(self):
        pass


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(scheduler, tmp_path):
    begun = time.monotonic()
    with workers(scheduler.scheduler_address, 2) as processes:
        while len(scheduler.scheduler.workers) < 2 and time.monotonic() < begun + 60:
            time.sleep(0.02)
        killer = Killer(scheduler, processes)
        found = run_sweep(**GRID, scheduler=scheduler.scheduler_address, out=tmp_path, progress=killer)
        assert killer.killed.wait(timeout=30) == -signal.SIGKILL
        assert len(scheduler.scheduler.workers) == 1
        assert killer.shares == [i / COUNT for i in range(COUNT + 1)]  # each cell came once
    assert time.monotonic() - begun < 180
    assert all(process.poll() is not None for process in processes)
    same(found, run_sweep(**GRID))
    assert (tmp_path / "sweep.csv").read_text(encoding="utf-8").count("\n") == 1 + COUNT
    same(run_sweep(**GRID, out=tmp_path), found)  # all there: the cluster is not needed any more


def test_nobody_at_the_address_and_no_workers_are_told(scheduler, monkeypatch):
    monkeypatch.setattr("signscope.comparison.sweep_workers.PATIENCE", 0.5)
    with pytest.raises(InvalidInput, match="no Dask scheduler answers"):
        run_sweep(dim=8, lr=0.1, horizon=0.5, optimizers="sgd", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="has no workers"):
        run_sweep(dim=8, lr=0.1, horizon=0.5, optimizers="sgd", scheduler=scheduler.scheduler_address)


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidInput, match="extra `cluster`, as the README"):
        run_sweep(dim=8, lr=0.1, horizon=0.5, optimizers="sgd", scheduler="tcp://127.0.0.1:9")
