"""What one process of a distributed noise measurement does with its share of the batches."""

import warnings

import torch
from torch import nn

from signscope.measure import gradient_noise

NUM_BATCHES = 18


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


def reports(rank, size, kinds):
    """Reports by kind, or the message of the error."""
    found = {}
    for kind in kinds:
        try:
            found[kind] = measured(kind, rank, size)
        except ValueError as error:
            found[kind] = str(error)
    return found
