"""A script for torchrun: every worker saves after each step; in the first life, rank 1 is killed in step 6."""

import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.distributed_jobs import SIZES, Run, flat

STEPS = 10
folder = Path(sys.argv[1])
torch.set_num_threads(1)
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
life = os.environ["TORCHELASTIC_RESTART_COUNT"]  # a store of its own: torchrun's may still hold addresses of the dead
dist.init_process_group("gloo", init_method=f"file://{folder}/store-{life}", rank=rank, world_size=size)
run = Run(rank, size, method="dvr-sign", block_size=16)
files = sorted(folder.glob(f"{rank}-*.pt"))
last = min((len(list(folder.glob(f"{r}-*.pt"))) for r in range(size)), default=0)  # a step that all workers saved
if last:
    saved = torch.load(folder / f"{rank}-{last:03d}.pt")
    for p, part in zip(run.params, saved["params"].split(SIZES), strict=True):
        p.data.copy_(part.view(p.shape))
    run.opt.load_state_dict(saved["opt"])
    run.call = last
dist.barrier()
while run.call < STEPS:
    if run.call == 6 and rank == 1 and life == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    run.advance(1)
    unfinished = folder / f"unfinished-{rank}"  # a worker may be stopped while it writes
    torch.save({"opt": run.opt.state_dict(), "params": flat(run.params)}, unfinished)
    unfinished.replace(folder / f"{rank}-{run.call:03d}.pt")
torch.save((flat(run.params), last), folder / f"end-{rank}.pt")
dist.destroy_process_group()
