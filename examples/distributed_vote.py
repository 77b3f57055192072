"""Four workers that send one bit per weight, on digits: what happens when each sees other digits?

    torchrun --standalone --nproc_per_node=4 examples/distributed_vote.py

NCCL where there is a GPU for every worker, gloo on CPUs elsewhere; started alone it is a group of one. With the same
digits everywhere a majority vote does well. When every worker has its own digits the vote is biased, and DVR-Sign,
whose messages carry one scale per block, is not.
"""

# %%
import os
import tempfile

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn

from signscope.optim.distributed import DistributedSign

HORIZON = 12  # passes over the rows
BATCH = 32
LR = {"majority-vote": 0.003, "dvr-sign": 0.003, "ef-sign": 0.3}  # the last is a rate of SGD

# %% The group: torchrun tells who we are
place = int(os.environ.get("LOCAL_RANK", "0"))
on_gpus = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # NCCL takes one worker per GPU
device = torch.device("cuda", place) if on_gpus else torch.device("cpu")
if on_gpus:
    torch.cuda.set_device(device)
if "RANK" in os.environ:
    dist.init_process_group("nccl" if on_gpus else "gloo")
else:
    dist.init_process_group("gloo", init_method=f"file://{tempfile.mkdtemp()}/store", rank=0, world_size=1)
rank, size = dist.get_rank(), dist.get_world_size()
torch.set_num_threads(1)

# %% The rows: dealt out in order (all digits everywhere), or sorted by label (each worker has its own digits)
X, y = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
X = ((X - X.mean()) / X.std()).float()


def rows_of(worker: int, *, skewed: bool) -> torch.Tensor:
    order = torch.argsort(y, stable=True) if skewed else torch.arange(len(y))
    each = len(y) // size
    return order[worker * each : (worker + 1) * each] if skewed else order[worker::size][:each]


# %% The same loop for every method; the closure may be called twice on one batch
def train(method: str, *, skewed: bool) -> tuple[float, float]:
    torch.manual_seed(0)  # the same start on every rank; checked at the first step
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).to(device)
    opt = DistributedSign(model.parameters(), lr=LR[method], method=method, beta=0.2, timeout=60)
    rows = rows_of(rank, skewed=skewed)
    gen = torch.Generator().manual_seed(rank)
    steps = HORIZON * (len(rows) // BATCH)
    for step in range(steps):
        for group in opt.param_groups:
            group["lr"] = LR[method] * (1 - step / steps)
        batch = rows[torch.randint(len(rows), (BATCH,), generator=gen)]

        def backward_on(batch=batch) -> torch.Tensor:
            opt.zero_grad()
            loss = nn.functional.cross_entropy(model(X[batch].to(device)), y[batch].to(device))
            loss.backward()
            return loss.detach()

        opt.step(backward_on)
    with torch.no_grad():
        right = (model(X.to(device)).argmax(1).cpu() == y).float().mean()
    return float(right), opt.payload_bytes / steps


# %% The table
for skewed in (False, True):
    for method in LR:
        right, sent = train(method, skewed=skewed)
        if rank == 0:
            split = "own digits " if skewed else "all digits "
            print(f"{split} {method:14} {100 * right:5.1f}% right, {sent:.0f} bytes per step and worker")
dist.destroy_process_group()
