"""Simulation on an accelerator: every tensor of a run lives there, and the runs are those of the CPU."""

import numpy as np
import pytest
import torch

import signscope as ss
from helpers.pretend_device import PretendDevice
from signscope.problems import bundled


@pytest.fixture
def cpu_generators(monkeypatch):
    """Generators of the pretended device: those of the CPU."""
    real = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": real("cpu"))


def test_the_pretended_device_refuses_to_mix():
    with PretendDevice():
        away = torch.ones(3, device="meta")
        assert away.device.type == "meta"
        assert float((away * 2).sum()) == 6
        assert (away * torch.tensor(2.0)).cpu().tolist() == [2.0, 2.0, 2.0]  # CUDA takes CPU scalars too
        with pytest.raises(RuntimeError, match="same device"):
            away + torch.ones(3)


def gaussian(noise="gaussian:0.3"):
    K = ss.LeastSquares(np.linspace(0.1, 1, 12), seed=0).cov.dense()
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0]
    return ss.LeastSquares(turn @ K.numpy() @ turn.T, noise=noise, seed=0)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (gaussian, {"horizon": 4}),
        (gaussian, {"horizon": 4, "batch_size": 3}),
        (lambda: ss.LeastSquares.from_data(*bundled("diabetes")), {"horizon": 4, "rows": "replace"}),
        (gaussian, {"horizon": 4, "lr": 300.0}),  # SGD's runs diverge
    ],
    ids=["rotated", "batch", "data", "diverging"],
)
def test_runs_on_a_device_are_those_of_the_cpu(cpu_generators, optimizer, make, options):
    problem = make()
    options = {"lr": 0.05, "num_runs": 6, "seed": 3, "dtype": "float32", **options}
    here = ss.simulate(problem, optimizer, **options)
    with PretendDevice() as device:
        there = ss.simulate(problem, optimizer, device="meta", **options)
    assert device.calls > 100
    assert there.status == here.status
    # the same numbers, up to the size of the pieces in which a device draws them
    torch.testing.assert_close(there.runs, here.runs, rtol=1e-5, atol=0, equal_nan=True)
