"""`Probe`: samples of a training run that is not changed by them."""

import copy
import itertools
import json
import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from signscope import InvalidInput
from signscope.measure import Probe

CRITERION = nn.CrossEntropyLoss()


def trained(net, probe=None, steps=6):
    model, x, y = net
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(1, steps + 1):
        opt.zero_grad()
        noisy = x + 0.01 * torch.randn_like(x)  # from the global generator, which a probe must leave alone
        CRITERION(model(noisy), y).backward()
        opt.step()
        if probe is not None:
            probe(step)
    return [p.detach().clone() for p in model.parameters()]


def test_the_run_is_not_changed(net, cut):
    model, x, y = net
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32, shuffle=True)
    twin = (copy.deepcopy(model), x, y)
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        plain = trained(twin)
        torch.random.manual_seed(0)
        probed = trained(net, Probe(model, CRITERION, loader, every=2, num_batches=8, smoothness_options=FEW))
    assert all(torch.equal(a, b) for a, b in zip(plain, probed, strict=True))


class Jittered(torch.utils.data.TensorDataset):
    """Rows with noise from numpy and from Python's own generator, as augmentation often draws it."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + float(np.random.standard_normal()) + random.random(), y  # noqa: NPY002


@pytest.mark.parametrize("kind", ["generator", "augmentation"])
def test_the_run_is_not_changed_through_the_loader_they_share(net, kind):
    """A generator of the loader's own, or rows that draw from numpy and from Python."""
    model, x, y = net
    start, ends = copy.deepcopy(model.state_dict()), []
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    for every in (None, 3):
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        model.load_state_dict(start)
        own = {"generator": torch.Generator().manual_seed(1), "shuffle": True} if kind == "generator" else {}
        rows = torch.utils.data.TensorDataset if kind == "generator" else Jittered
        loader = torch.utils.data.DataLoader(rows(x[:64], y[:64]), batch_size=8, **own)
        probe = None if every is None else Probe(model, CRITERION, loader, every=every, num_batches=8)
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        for step, (a, b) in enumerate(itertools.chain(loader, loader)):
            opt.zero_grad()
            CRITERION(model(a), b).backward()
            opt.step()
            if probe is not None:
                probe(step)
        ends.append([p.detach().clone() for p in model.parameters()])
    np.random.set_state(before[0])  # noqa: NPY002
    random.setstate(before[1])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_layers_may_be_frozen_and_released_during_the_run(net, cut):
    model, x, y = net
    probe = Probe(model, CRITERION, cut(x, y, 32), every=1, num_batches=8)
    probe(1)
    model[0].requires_grad_(False)
    assert math.isnan(probe(2)["path_smoothness"])
    ends = []
    for move in (0.0, 0.1):
        with torch.no_grad():
            model[2].weight += move
        ends.append(torch.autograd.grad(CRITERION(model(x[:32]), y[:32]), list(model[2].parameters())))
    change = sum(float((b - a).abs().sum()) for a, b in zip(*ends, strict=True))
    assert probe(3)["path_smoothness"] == pytest.approx(change / 0.1, rel=1e-9)


FEW = {"num_batches": 2, "num_restarts": 1, "num_lanczos": 4, "num_probes": 2}


def test_samples_files_and_continuation(net, cut, tmp_path):
    model, x, y = net
    with Probe(
        model, CRITERION, cut(x, y, 32), every=2, num_batches=8, folder=tmp_path, smoothness_options=FEW
    ) as probe:
        trained(net, probe)
    assert [r["step"] for r in probe.records] == [2, 4, 6]
    table = pd.read_csv(tmp_path / "probe.csv")
    assert list(table["step"]) == [2, 4, 6]
    assert table["density"].tolist() == pytest.approx(probe.to_frame()["density"].tolist())
    content = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))
    assert set(content[0]["layers"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert content[0]["path_smoothness"] == "nan"
    assert content[-1]["smoothness_maximum"] == probe.smoothness.maximum
    assert probe.smoothness.num_batches == FEW["num_batches"]
    assert probe.report.density == probe.records[-1]["density"]
    with pytest.raises(InvalidInput, match="already holds samples"):
        Probe(model, CRITERION, cut(x, y, 32), folder=tmp_path)
    again = Probe(model, CRITERION, cut(x, y, 32), every=2, num_batches=8, folder=tmp_path, existing="append")
    again(8)
    assert list(pd.read_csv(tmp_path / "probe.csv")["step"]) == [2, 4, 6, 8]
    fresh = Probe(model, CRITERION, cut(x, y, 32), every=2, num_batches=8, folder=tmp_path, existing="replace")
    fresh(10)
    assert list(pd.read_csv(tmp_path / "probe.csv")["step"]) == [10]
    assert fresh(11) is None


def test_smoothness_along_the_path_of_a_quadratic():
    """||H dx||_1 / ||dx||_inf, by hand."""
    hessian = torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)) + 0.2
    model = nn.Module()
    model.w = nn.Parameter(torch.ones(3, dtype=torch.float64))
    batches = [torch.randn(2, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(8)]
    probe = Probe(
        model, lambda m, b: 0.5 * m.w @ hessian @ m.w + (b @ m.w).mean(), batches, every=1, num_batches=8, mode="eval"
    )
    probe(1)
    move = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)
    with torch.no_grad():
        model.w += move
    assert probe(2)["path_smoothness"] == pytest.approx(float((hessian @ move).abs().sum() / 0.3), rel=1e-9)
    assert torch.isnan(torch.tensor(probe(3)["path_smoothness"]))  # nothing moved


def test_tensorboard_events(net, cut, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    model, x, y = net
    with Probe(model, CRITERION, cut(x, y, 64), every=1, num_batches=8, folder=tmp_path, tensorboard=True) as probe:
        probe(1)
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"signscope/density" in content
    assert b"signscope/density/0.weight" in content


def test_bad_input(net, cut, tmp_path):
    model, x, y = net
    with pytest.raises(InvalidInput, match="is an iterator"):
        Probe(model, CRITERION, iter(cut(x, y, 32)))
    with pytest.raises(InvalidInput, match="needs a `folder`"):
        Probe(model, CRITERION, cut(x, y, 32), tensorboard=True)
    with pytest.raises(InvalidInput, match="`every`"):
        Probe(model, CRITERION, cut(x, y, 32), every=0)
    with pytest.raises(InvalidInput, match="`existing`"):
        Probe(model, CRITERION, cut(x, y, 32), folder=tmp_path, existing="yes")
