"""One process of a distributed noise measurement: its share of the batches, reports to files.

python noise_rank.py RANK SIZE STORE OUT
"""

import datetime
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from signscope.measure import gradient_noise

NUM_BATCHES = 18
KINDS = ("plain", "each", "ddp", "fails")


def model_and_batches():
    """The same model and the batches of the whole data on every process."""
    torch.random.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    gen = torch.Generator().manual_seed(1)
    sizes = [4 + k % 3 for k in range(NUM_BATCHES)]
    x = [torch.randn(size, 6, generator=gen, dtype=torch.float64) for size in sizes]
    y = [torch.randint(0, 3, (size,), generator=gen) for size in sizes]
    x[7][0, 0] = float("nan")
    return model, list(zip(x, y, strict=True))


def measured(kind, rank, size):
    """The report of one kind of measurement."""
    model, batches = model_and_batches()
    mine = batches[rank::size]
    if kind == "fails" and rank == 1:
        mine = [(x, y[:-1]) for x, y in mine]
    if kind == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    samples = "each" if kind == "each" else "batches"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gradient_noise(model, nn.CrossEntropyLoss(), mine, num_batches=len(mine), samples=samples)


def main(rank, size, store, out):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, size), rank=rank, world_size=size,
        timeout=datetime.timedelta(seconds=60),
    )  # fmt: skip
    for kind in KINDS:
        try:
            measured(kind, rank, size).save(f"{out}-{kind}.json")
        except ValueError as error:
            Path(f"{out}-{kind}.json").write_text(str(error), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
