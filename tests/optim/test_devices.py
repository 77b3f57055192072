"""Optimizers on an accelerator: nothing they keep stays behind on the CPU, and the steps are the same."""

import pytest
import torch
from torch import nn

from helpers.pretend_device import PretendDevice
from signscope import optim

SHAPES = [(5,), (4, 3), (300, 200)]
OPTIONS = {"lr": 0.01, "weight_decay": 0.1}
ONE = ("SignSGD", "Signum", "Lion", "EFSignSGD", "Muon")


def stepped(name, device, steps=4):
    """Parameters after some steps on ``device``, brought back, and the types of the devices of the state."""
    gen = torch.Generator().manual_seed(0)
    shapes = [shape for shape in SHAPES if name != "Muon" or len(shape) == 2]
    params = [nn.Parameter(torch.randn(shape, generator=gen).to(device)) for shape in shapes]
    targets = [[torch.randn(shape, generator=gen).to(device) for shape in shapes] for _ in range(steps)]
    opt = getattr(optim, name)(params, **OPTIONS)
    for target in targets:

        def closure(target=target):
            opt.zero_grad()
            loss = sum(((p - t) ** 2).sum() for p, t in zip(params, target, strict=True))
            loss.backward()
            return loss

        if name in ONE:
            closure()
            opt.step()
        else:
            opt.step(closure)
    kept = {v.device.type for state in opt.state.values() for v in state.values() if isinstance(v, torch.Tensor)}
    return [p.detach().cpu() for p in params], kept


@pytest.mark.parametrize("name", [*ONE, "SSVR"])
def test_steps_on_a_device_are_those_on_the_cpu(name):
    here, _ = stepped(name, "cpu")
    with PretendDevice() as device:
        there, kept = stepped(name, "meta")
    assert device.calls > 50
    assert kept <= {"meta"}
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a, b)
