"""Half precision under two-gradient methods: loss scale, refusals at the start, a warning later."""

import warnings

import pytest
import torch
from torch import nn

from signscope import optim
from signscope._core.errors import Unsupported


def data(count=8):
    gen = torch.Generator().manual_seed(1)
    return [torch.randn(16, 4, generator=gen) for _ in range(count)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def closure_of(opt, model, batch, *, dtype, factor=1.0):
    def closure():
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            output = model(batch)
        loss = output.float().square().mean() * factor
        opt().scale(loss).backward()
        return loss

    return closure


def make(kind, model, batches, *, dtype, factor=1.0, **options):
    """A two-gradient method, its closure for a batch, and a full gradient under the same autocast."""
    box = []

    def on(batch):
        return closure_of(lambda: box[0], model, batch, dtype=dtype, factor=factor)

    if kind == "ssvr":
        box.append(optim.SSVR(model.parameters(), beta=0.3, **options))
    else:
        cls = {"ssvr_fs": optim.SSVRFS, "spider_sign": optim.SpiderSign, "signsvrg": optim.SignSVRG}[kind]
        full = on(torch.cat(batches))
        box.append(cls(model.parameters(), full_gradient=full, period=4, **options))
    return box[0], on


KINDS = pytest.mark.parametrize("kind", ["ssvr", "ssvr_fs", "spider_sign", "signsvrg"])


@KINDS
def test_float16_gradients_need_the_loss_scale_and_follow_float32_with_it(kind):
    """With losses of 1e-6 the gradients of float16 layers vanish; scaled, they are those of float32."""
    estimates = {}
    for name, dtype, scale in (
        ("full", None, None),
        ("scaled", torch.float16, "dynamic"),
        ("bare", torch.float16, None),
    ):
        model, batches = network(), data()
        opt, on = make(kind, model, batches, dtype=dtype, factor=1e-6, lr=0.01, loss_scale=scale)
        for batch in batches[:3]:
            opt.step(on(batch))
        key = "h" if kind == "signsvrg" else "v"
        estimates[name] = torch.cat([opt.state[p][key].flatten() for p in model.parameters()])
        assert opt.skipped_steps == 0
    size = estimates["full"].abs().sum()
    assert (estimates["scaled"] - estimates["full"]).abs().sum() < 0.05 * size
    assert (estimates["bare"] - estimates["full"]).abs().sum() > 0.3 * size


def test_an_overflow_of_the_scaled_loss_changes_nothing_and_halves_the_scale():
    model, batches = network(), data()
    opt, on = make("ssvr", model, batches, dtype=torch.float16, lr=0.01, loss_scale="dynamic", factor=1e3)
    before = [p.detach().clone() for p in model.parameters()]
    opt.step(on(batches[0]))
    assert opt.skipped_steps == 1
    assert opt.counters["loss_scale"] == 2.0**15
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    for _ in range(12):
        opt.step(on(batches[0]))
    assert opt.counters["steps"] > 0
    assert opt.counters["steps"] + opt.skipped_steps == 13


@KINDS
@pytest.mark.parametrize("check_every", [0, None])
def test_autocast_in_the_closure_is_refused_below_the_limit(kind, check_every):
    """Also without the replay test; nothing has changed when it is."""
    model, batches = network(), data()
    opt, on = make(kind, model, batches, dtype=torch.bfloat16, lr=1e-4, check_every=check_every)
    opt.step(on(batches[0]))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(Unsupported, match=r"the closure computes in torch.bfloat16 \(autocast\) with lr=0.0001"):
        opt.step(on(batches[1]))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    opt.step(closure_of(lambda: opt, model, batches[1], dtype=None))  # in full precision the run goes on


@KINDS
@pytest.mark.parametrize("half", ["autocast", "weights"])
def test_a_rate_that_falls_below_the_limit_is_reported_once(kind, half):
    model, batches = network(), data()
    dtype = torch.bfloat16 if half == "autocast" else None
    if half == "weights":
        model.bfloat16()
        batches = [b.bfloat16() for b in batches]
    opt, on = make(kind, model, batches, dtype=dtype, lr=4e-3)
    opt.step(on(batches[0]))
    opt.step(on(batches[1]))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for batch in batches[2:6]:
            opt.param_groups[0]["lr"] /= 4.1
            opt.step(on(batch))
    coarse = [w for w in seen if w.category is optim.CoarseDifferences]
    assert len(coarse) == 1
    assert "lr=0.00097561. Below lr=0.001" in str(coarse[0].message)


@KINDS
def test_weights_in_half_precision_are_refused_below_the_limit_before_the_first_step(kind):
    model, batches = network().bfloat16(), [b.bfloat16() for b in data()]
    opt, on = make(kind, model, batches, dtype=None, lr=1e-4)
    with pytest.raises(Unsupported, match=r"the parameters are torch.bfloat16 and lr=0.0001. Below lr=0.001"):
        opt.step(on(batches[0]))
    assert not opt.state
