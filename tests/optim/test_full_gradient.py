"""The full gradient over a loader is the gradient of the mean over all rows."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from signscope import optim
from signscope._core.errors import InvalidInput


class Recorder:
    def __init__(self):
        self.seen, self.closed = [], 0

    def update(self, done, message=""):
        self.seen.append(done)

    def close(self):
        self.closed += 1


def setting(rows=23, size=5):
    gen = torch.Generator().manual_seed(0)
    X, y = torch.randn(rows, 4, generator=gen).double(), torch.randn(rows, 1, generator=gen).double()
    torch.manual_seed(0)
    model = nn.Linear(4, 1).double()
    return X, y, model, DataLoader(TensorDataset(X, y), batch_size=size, shuffle=True)


def loss_of(model):
    return lambda batch: (model(batch[0]) - batch[1]).square().mean()


def test_unequal_batches_are_weighted_by_their_rows_and_progress_is_shown():
    X, y, model, loader = setting()
    meter = Recorder()
    full = optim.FullGradient(loader, loss_of(model), progress=meter)
    opt = optim.SignSVRG(model.parameters(), lr=0.0, full_gradient=full, period=4)
    state = torch.get_rng_state()
    loss = opt.step(lambda: None)
    assert torch.equal(torch.get_rng_state(), state)
    model.zero_grad()
    expected = loss_of(model)((X, y))
    expected.backward()
    assert torch.allclose(loss, expected, rtol=1e-13)
    for p in model.parameters():
        assert torch.allclose(opt.state[p]["h"], p.grad, rtol=1e-12)
    assert meter.seen == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert meter.closed == 1


def test_rows_may_be_counted_by_the_caller_and_batches_may_be_nested():
    X, y, model, _ = setting()
    batches = [{"inputs": {"x": X[:20]}, "y": y[:20]}, {"inputs": {"x": X[20:]}, "y": y[20:]}]

    def batch_loss(batch):
        return (model(batch["inputs"]["x"]) - batch["y"]).square().mean()

    seen = []
    for rows in (None, lambda batch: len(batch["y"]), lambda batch: 1):
        full = optim.FullGradient(batches, batch_loss, rows=rows)
        opt = optim.SpiderSign(model.parameters(), lr=0.0, full_gradient=full, period=4)
        opt.step(lambda: None)
        seen.append(next(iter(opt.state.values()))["v"])
    assert torch.equal(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


def test_sums_are_kept_in_float32_for_half_precision():
    X, y, model, _ = setting(rows=400)
    half = nn.Linear(4, 1).bfloat16()
    half.load_state_dict(model.state_dict())
    batches = [(X[i : i + 1].bfloat16(), y[i : i + 1].bfloat16()) for i in range(400)]
    opt = optim.SpiderSign(
        half.parameters(), lr=0.01, full_gradient=optim.FullGradient(batches, loss_of(half)), period=9
    )
    opt.step(lambda: None)
    exact = nn.Linear(4, 1).double()
    exact.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
    v = opt.state[half.weight]["v"]
    assert v.dtype == torch.float32
    with torch.no_grad():
        exact.weight.copy_(opt.state[half.weight]["x_prev"])
        exact.bias.copy_(opt.state[half.bias]["x_prev"])
    loss_of(exact)((X, y)).backward()
    assert (v - exact.weight.grad).abs().max() < 2e-3 * exact.weight.grad.abs().max() + 2e-3


def test_loaders_that_cannot_give_a_full_gradient_are_refused():
    X, y, model, _ = setting()
    with pytest.raises(InvalidInput, match="is an iterator, used up after one pass"):
        optim.FullGradient(iter([1]), loss_of(model))
    dropping = DataLoader(TensorDataset(X, y), batch_size=5, drop_last=True)
    with pytest.raises(InvalidInput, match="drops its last batch"):
        optim.FullGradient(dropping, loss_of(model))
    opt = optim.SpiderSign(model.parameters(), full_gradient=optim.FullGradient([3], loss_of(model)), period=2)
    with pytest.raises(InvalidInput, match=r"no tensor with rows in a batch of type int; pass rows="):
        opt.step(lambda: None)
    opt = optim.SpiderSign(model.parameters(), full_gradient=optim.FullGradient([], loss_of(model)), period=2)
    with pytest.raises(InvalidInput, match="nothing to evaluate"):
        opt.step(lambda: None)


@pytest.mark.parametrize("cls", [optim.SSVRFS, optim.SpiderSign, optim.SignSVRG])
def test_training_reaches_the_least_squares_solution(cls):
    X, y, model, loader = setting()
    with_ones = torch.cat([X, torch.ones(len(X), 1).double()], 1)
    floor = (with_ones @ torch.linalg.lstsq(with_ones, y).solution - y).square().mean()
    opt = cls(model.parameters(), lr=0.05, full_gradient=optim.FullGradient(loader, loss_of(model)), period=5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)
    assert loss_of(model)((X, y)) > floor + 0.1
    for _ in range(30):
        for batch in loader:
            opt.step(lambda batch=batch: _backward(loss_of(model)(batch)))
        scheduler.step()
    assert loss_of(model)((X, y)) < floor + 0.01


@pytest.mark.parametrize("cls", [optim.SSVRFS, optim.SpiderSign, optim.SignSVRG])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [0, 3])
def test_a_full_gradient_that_is_not_finite_changes_nothing_and_is_taken_again(cls, bad, at):
    """At the first checkpoint and at a later one; the run then goes on as if nothing had been."""
    ends = []
    for poisoned in (False, True):
        X, y, model, _ = setting()
        batches = list(zip(X.split(6), y.split(6), strict=True))
        spoil = []

        def batch_loss(batch, model=model, spoil=spoil):
            return loss_of(model)(batch) * (bad if spoil and spoil.pop() else 1.0)

        opt = cls(model.parameters(), lr=0.05, full_gradient=optim.FullGradient(batches, batch_loss), period=3)
        for step in range(7):

            def closure(step=step, model=model, batches=batches):
                return _backward(loss_of(model)(batches[step % len(batches)]))

            if poisoned and step == at:
                before = [
                    t.clone() for t in (*model.parameters(), *(s for d in opt.state.values() for s in d.values()))
                ]
                spoil.append(True)
                opt.step(closure)
                after = [*model.parameters(), *(s for d in opt.state.values() for s in d.values())]
                assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
                assert opt.skipped_steps == 1
            opt.step(closure)
        assert opt.counters["steps"] == 7
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def _backward(loss):
    loss.backward()
    return loss
