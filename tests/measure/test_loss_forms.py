"""Forms of a loss that would give wrong numbers, or that torch refuses in words of its own."""

import pytest
import torch
from torch import nn

from signscope import InvalidInput
from signscope.measure import gradient_noise, smoothness

BATCHES = [(torch.ones(4, 3), torch.zeros(4, dtype=torch.long))] * 8


@pytest.mark.parametrize("measured", [gradient_noise, smoothness])
def test_a_criterion_that_sums_is_refused(measured):
    with pytest.raises(InvalidInput, match=r"CrossEntropyLoss with reduction='sum'.* use reduction='mean'"):
        measured(nn.Linear(3, 2), nn.CrossEntropyLoss(reduction="sum"), BATCHES)


@pytest.mark.parametrize(
    "loss",
    [
        lambda out, target: nn.functional.cross_entropy(out, target),
        lambda out, target: ((out - target) ** 2).mean(),
        lambda out: out.mean(),
    ],
)
@pytest.mark.parametrize("samples", ["batches", "each"])
def test_a_loss_of_other_arguments_is_told_what_it_is_called_with(loss, samples):
    with pytest.raises(InvalidInput, match=r"failed on a batch of .*: TypeError: .* called as loss_fn\(model, batch\)"):
        gradient_noise(nn.Linear(3, 2), loss, BATCHES, samples=samples)
