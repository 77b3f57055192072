"""The contract of two-gradient methods: same batch, same randomness, buffers move once, nothing half-done."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from helpers.optim_catalogue import BY_NAME, Sum
from signscope import optim
from signscope._core.errors import InvalidInput, Unsupported


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def batches(count=6, rows=16):
    gen = torch.Generator().manual_seed(1)
    return [torch.randn(rows, 4, generator=gen) for _ in range(count)]


def backward_on(model, batch):
    loss = model(batch).square().mean()
    loss.backward()
    return loss


def make(kind, net, data, **options):
    options = {"lr": 0.01, **options}
    if kind == "ssvr":
        return optim.SSVR(net.parameters(), **options)
    full = optim.FullGradient(data, lambda batch: net(batch).square().mean())
    cls = {"ssvr_fs": optim.SSVRFS, "spider_sign": optim.SpiderSign, "signsvrg": optim.SignSVRG}[kind]
    return cls(net.parameters(), full_gradient=full, period=3, **options)


KINDS = pytest.mark.parametrize("kind", ["ssvr", "ssvr_fs", "spider_sign", "signsvrg"])


@KINDS
@pytest.mark.parametrize("named", [True, False])
def test_batch_norm_moves_once_and_randomness_is_that_of_one_pass(kind, named):
    """After each step that calls the closure, buffers and random states are those of a single pass at that point."""
    model, data = network(), batches()
    opt = make(kind, model, data, model=model if named else None)
    for batch in data:
        twin = network()
        twin.load_state_dict(model.state_dict())
        torch.manual_seed(7)
        calls = []
        opt.step(lambda batch=batch, calls=calls: (calls.append(1), backward_on(model, batch))[1])
        state = torch.get_rng_state()
        torch.manual_seed(7)
        if calls:
            backward_on(twin, batch)
        assert torch.equal(torch.get_rng_state(), state)
        for a, b in zip(model.buffers(), twin.buffers(), strict=True):
            assert torch.equal(a, b)
        if calls:
            for p, q in zip(model.parameters(), twin.parameters(), strict=True):
                assert torch.equal(p.grad, q.grad)  # .grad is the gradient at the current point


def test_both_gradients_see_the_same_mask():
    param, seen = nn.Parameter(torch.zeros(1000)), []

    def closure():
        mask = nn.functional.dropout(torch.ones(1000), 0.5)
        extra = random.random() + np.random.rand()  # noqa: NPY002 - the global states are replayed, too
        seen.append((mask.clone(), extra))
        loss = (mask * param).sum() * extra
        loss.backward()
        return loss

    opt = optim.SSVR([param], lr=0.01)
    opt.step(closure)
    opt.step(closure)  # trial, previous point, current point
    opt.step(closure)
    assert len(seen) == 1 + 3 + 2
    for a, b in ((1, 2), (2, 3), (4, 5)):
        assert torch.equal(seen[a][0], seen[b][0])
        assert seen[a][1] == seen[b][1]
    assert not torch.equal(seen[0][0], seen[1][0])
    assert not torch.equal(seen[3][0], seen[4][0])


def test_micro_batches_equal_one_batch():
    data = batches(8)
    ends = []
    for cut in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        opt = optim.SSVR(model.parameters(), lr=0.01, beta=0.2)
        for batch in data:
            parts = batch.double().chunk(4) if cut else [batch.double()]
            loss = opt.step([lambda part=part, model=model: backward_on(model, part) for part in parts])
        ends.append([p.detach() for p in model.parameters()])
        assert opt.counters["gradient_calls"] == 1 + 2 * 7
    assert torch.isfinite(loss)
    for a, b in zip(*ends, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)


def test_a_closure_that_takes_the_next_batch_is_refused():
    model, data = nn.Linear(4, 1), iter(batches(20))
    opt = optim.SSVR(model.parameters(), lr=0.01)
    opt.step(lambda: backward_on(model, next(data)))
    with pytest.raises(InvalidInput, match="not replayable: evaluated again at the same point it gave loss"):
        opt.step(lambda: backward_on(model, next(data)))


def test_check_every_finds_a_closure_that_turns_bad():
    model, data, opts = nn.Linear(4, 1), batches(40), {}
    for every in (0, 3):
        opts[every] = optim.SSVR(model.parameters(), lr=0.0, check_every=every)
        loose = iter(data)
        for step in range(5):
            batch = data[0]
            closure = (
                (lambda batch=batch: backward_on(model, batch))
                if step < 3
                else (lambda loose=loose: backward_on(model, next(loose)))
            )
            if every and step == 4:
                with pytest.raises(InvalidInput, match="not replayable"):
                    opts[every].step(closure)
            else:
                opts[every].step(closure)


@KINDS
def test_a_closure_that_fails_leaves_everything_as_it_was(kind):
    model, data = network(), batches()
    opt = make(kind, model, data)
    for batch in data[:2]:
        opt.step(lambda batch=batch: backward_on(model, batch))
    before = [t.clone() for t in (*model.parameters(), *(s for d in opt.state.values() for s in d.values()))]

    def failing():
        backward_on(model, data[2])
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        opt.step(failing)
    after = [*model.parameters(), *(s for d in opt.state.values() for s in d.values())]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert model[1].num_batches_tracked == (2 if kind == "ssvr" else 1)
    opt.step(lambda: backward_on(model, data[2]))


@KINDS
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(kind, bad):
    row = BY_NAME[kind]
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params)
    row.advance(opt, problem, params, 2)
    before = [t.clone() for t in (*params, *(s for d in opt.state.values() for s in d.values()))]

    def poisoned():
        loss = problem.closure(params, 0)()
        params[1].grad[0, 0] = bad
        return loss

    opt.check_every = None
    opt.step(poisoned)
    after = [*params, *(s for d in opt.state.values() for s in d.values())]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert opt.skipped_steps == 1
    path = row.advance(opt, problem, params, 3, first=2)  # and the run goes on as if the step had not been
    clean = row.path(5)
    assert all(torch.equal(a, b) for a, b in zip(path[-1], clean[-1], strict=True))


@KINDS
def test_loss_scale_changes_nothing_but_the_range(kind):
    model, data = network(3).double(), [b.double() for b in batches()]
    start = {k: v.clone() for k, v in model.state_dict().items()}
    ends = []
    for scale in (None, 1024.0, "dynamic"):
        model.load_state_dict(start)
        opt = make(kind, model, data, loss_scale=scale)
        for batch in data:

            def closure(batch=batch, opt=opt):
                loss = model(batch).square().mean()
                opt.scale(loss).backward()
                return loss

            torch.manual_seed(5)
            opt.step(closure)
        ends.append([p.detach().clone() for p in model.parameters()])
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))  # powers of two are exact


def test_dynamic_loss_scale_halves_and_recovers(monkeypatch):
    monkeypatch.setattr("signscope.optim.loss_scale.GROWTH_INTERVAL", 3)
    param = nn.Parameter(torch.ones(2))
    opt = optim.SSVR([param], lr=0.01, loss_scale="dynamic", check_every=None)

    def closure(factor=1.0):
        loss = param.sum() * factor
        opt.scale(loss).backward()
        return loss

    opt.step(lambda: closure(1e38))
    assert opt.skipped_steps == 1
    assert opt.counters["loss_scale"] == 2.0**15
    for _ in range(3):
        opt.step(closure)
    assert opt.counters["loss_scale"] == 2.0**16
    assert torch.equal(param.grad, torch.ones(2))


def test_clipping_uses_one_factor_for_both_gradients():
    row, seen = BY_NAME["ssvr"], []
    for limit in (None, 1e9, 0.5):
        seen.append(row.path(max_grad_norm=limit)[-1])
    assert all(torch.equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params, max_grad_norm=0.5)
    v = None
    for t in range(6):
        sample, x, x_prev = problem.order[t], [p.detach().clone() for p in params], []
        if v is not None:
            x_prev = [opt.state[p]["x_prev"].clone() for p in params]
        opt.step(problem.closure(params, sample))
        g = [problem.gradient(i)(y, sample) for i, y in enumerate(x)]
        factor = min(1.0, 0.5 / (torch.cat([y.flatten() for y in g]).norm() + 1e-6))
        if v is None:
            v = [factor * y for y in g]
        else:
            gp = [problem.gradient(i)(y, sample) for i, y in enumerate(x_prev)]
            v = [factor * a + 0.8 * (c - factor * b) for a, b, c in zip(g, gp, v, strict=True)]
        for p, expected in zip(params, v, strict=True):
            assert torch.allclose(opt.state[p]["v"], expected, rtol=1e-11)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_compiled_models_and_their_buffers():
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    compiled = torch.compile(model, backend="eager")
    twin = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    twin.load_state_dict(model.state_dict())
    opts = [optim.SSVR(m.parameters(), lr=0.01) for m in (model, twin)]
    for batch in batches():
        opts[0].step(lambda batch=batch: backward_on(compiled, batch))
        opts[1].step(lambda batch=batch: backward_on(twin, batch))
    assert model[1].num_batches_tracked == 6
    for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@KINDS
def test_parameters_that_change_between_steps_are_refused(kind):
    model, data = network(), batches()
    opt = make(kind, model, data)
    for batch in data[:2]:
        opt.step(lambda batch=batch: backward_on(model, batch))
    with torch.no_grad():
        model[0].weight.add_(0.1)
    with pytest.raises(InvalidInput, match="the parameters changed between steps 2 and 3"):
        opt.step(lambda: backward_on(model, data[2]))
    opt.restart()
    opt.step(lambda: backward_on(model, data[2]))
    assert opt.counters["steps"] == 1
    tolerant = make(kind, model, data, allow_changes=True)
    for batch in data:
        tolerant.step(lambda batch=batch: backward_on(model, batch))
        with torch.no_grad():
            model[0].weight.clamp_(-0.1, 0.1)


def test_half_precision_below_the_limit_is_refused():
    half = nn.Linear(4, 1).bfloat16()
    opt = optim.SSVR(half.parameters(), lr=1e-4)
    with pytest.raises(Unsupported, match=r"bfloat16 and lr=0.0001. Below lr=0.001"):
        opt.step(lambda: backward_on(half, torch.ones(2, 4).bfloat16()))
    model, batch = nn.Linear(4, 1), batches()[0]

    def under_autocast():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(batch).float().square().mean()
        loss.backward()
        return loss

    opt = optim.SSVR(model.parameters(), lr=1e-4)
    opt.step(under_autocast)
    with pytest.raises(Unsupported, match=r"autocast\) with lr=0.0001"):
        opt.step(under_autocast)
    opt = optim.SSVR(model.parameters(), lr=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # around the step it is switched off
        for _ in range(3):
            opt.step(lambda: backward_on(model, batch))


def test_surrounding_precision_settings_come_back():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    model = nn.Linear(4, 1)
    opt = optim.SSVR(model.parameters(), lr=0.01)
    for batch in batches():
        opt.step(lambda batch=batch: backward_on(model, batch))
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_reused_gradient_memory_does_not_leak_between_points():
    """A gradient that is a view into a bucket is overwritten by the next backward; the first one must survive."""
    param, bucket = nn.Parameter(torch.ones(3)), torch.zeros(5)
    view = bucket[1:4]

    def closure():
        view.copy_(2 * param.detach())
        param.grad = view
        return param.detach().square().sum()

    opt = optim.SSVR([param], lr=0.1, beta=0.5, check_every=None)
    for _ in range(3):
        opt.step(closure)
        assert torch.allclose(opt.state[param]["v"], 2 * opt.state[param]["x_prev"])
