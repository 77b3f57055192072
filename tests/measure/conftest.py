"""Small models whose gradients are known by construction, on one thread."""

import pytest
import torch
from torch import nn

torch.set_num_threads(1)


class Vector(nn.Module):
    """One parameter vector; with the loss below its gradient is the mean row of the batch."""

    def __init__(self, dim, *, dtype=torch.float32, start=None):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(dim, dtype=dtype) if start is None else start.clone())


def linear_loss(model, batch):
    return (batch @ model.w).mean()


@pytest.fixture
def vector():
    return Vector


@pytest.fixture
def rows_loss():
    return linear_loss


@pytest.fixture
def net():
    """A classifier of 165 parameters with its data: 512 rows, 3 classes."""
    gen = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(5)
        model = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3)).double()
    x = torch.randn(512, 8, generator=gen, dtype=torch.float64)
    y = (x @ torch.randn(8, 3, generator=gen, dtype=torch.float64)).argmax(1)
    return model, x, y


def batches_of(x, y, size):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


@pytest.fixture
def cut():
    return batches_of
