"""torchrun starts a killed run again, which ends where an uninterrupted one ends, bit for bit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import distributed_jobs as jobs
from signscope.simulation.workers import simulate_workers

SCRIPT = Path(__file__).parents[2] / "helpers" / "elastic_job.py"


@pytest.mark.slow
@pytest.mark.multiproc
def test_a_killed_run_is_started_again_and_ends_the_same(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1"]
    done = subprocess.run([*command, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    hills = jobs.Hills(2)
    expected = simulate_workers(
        [hills.gradient(j) for j in range(2)], hills.start, method="dvr-sign", lr=1e-3, num_steps=10, block_size=16
    )
    for rank in range(2):
        final, last = torch.load(tmp_path / f"end-{rank}.pt")
        assert last in (5, 6)  # the survivor may be stopped before it has saved its sixth step
        assert torch.equal(final, expected.final)
