"""What the one-gradient optimizers do with the ordinary life of a training script."""

import pytest
import torch
from torch import nn

from helpers.optim_catalogue import BY_NAME, ROWS, Sum
from signscope import optim
from signscope._core.errors import InvalidInput, Unsupported

NAMES = ["signsgd", "signum", "lion", "ef_signsgd", "muon"]
NAME = pytest.mark.parametrize("name", NAMES)


@NAME
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_counted(name, bad):
    row, problem = BY_NAME[name], Sum()
    params = problem.parameters()
    opt = row.make(problem, params, weight_decay=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    params[2].grad[0, 0] = bad
    opt.step()
    assert opt.skipped_steps == 1
    assert not opt.state
    assert all(torch.equal(p.detach(), s) for p, s in zip(params, problem.starts, strict=True))
    path = row.advance(opt, problem, params, 5)
    expected = row.path(5, weight_decay=0.1)
    assert all(torch.equal(a, b) for a, b in zip(path[-1], expected[-1], strict=True))


def test_huge_but_finite_gradients_are_taken():
    param = nn.Parameter(torch.zeros(10))
    opt = optim.SignSGD([param], lr=0.1)
    param.grad = torch.full((10,), 3e38)  # their sum overflows
    opt.step()
    assert opt.skipped_steps == 0
    assert torch.equal(param.detach(), torch.full((10,), -0.1))


@NAME
def test_sign_of_zero_is_zero(name):
    row = BY_NAME[name]
    param = nn.Parameter(torch.ones(3, 3))
    opt = row.cls([param], **row.options)
    param.grad = torch.zeros(3, 3)
    opt.step()
    assert torch.equal(param.detach(), torch.ones(3, 3))


@NAME
def test_weight_decay_is_decoupled(name):
    row = BY_NAME[name]
    param = nn.Parameter(torch.ones(3, 3, dtype=torch.float64))
    opt = row.cls([param], **{**row.options, "weight_decay": 0.5})
    param.grad = torch.zeros(3, 3, dtype=torch.float64)
    opt.step()
    assert torch.allclose(param.detach(), torch.full((3, 3), 1 - 0.05 * 0.5, dtype=torch.float64), rtol=1e-15)


@NAME
def test_grad_scaler_skips_and_unscales(name):
    row = BY_NAME[name]
    ends = []
    for scale in (None, 2.0**10):
        torch.manual_seed(0)
        model = nn.Linear(6, 4, bias=False)
        opt = row.cls(model.parameters(), **row.options)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        for t in range(4):
            opt.zero_grad()
            loss = model(torch.full((2, 6), t + 1.0)).square().mean()
            scaler.scale(loss * (float("inf") if t == 2 else 1.0)).backward()
            scaler.step(opt)
            scaler.update()
        ends.append(model.weight.detach())
    assert torch.equal(*ends)


@NAME
def test_step_takes_a_closure_and_hooks_and_schedulers(name):
    row = BY_NAME[name]
    param, calls = nn.Parameter(torch.ones(2, 2)), []
    opt = row.cls([param], **row.options)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=4)
    opt.register_step_post_hook(lambda *_: calls.append(1))

    def closure():
        opt.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss

    losses = [opt.step(closure).item() for _ in range(3)]
    scheduler.step()
    assert losses[0] == 4
    assert losses[2] < losses[0]
    assert len(calls) == 3
    assert opt.param_groups[0]["lr"] < 0.05


@NAME
def test_half_precision_keeps_float32_state(name):
    row = BY_NAME[name]
    param = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
    opt = row.cls([param], **row.options)
    param.grad = torch.full((4, 4), 0.7, dtype=torch.bfloat16)
    opt.step()
    opt.step()
    assert param.dtype == torch.bfloat16
    assert all(t.dtype == torch.float32 for t in opt.state[param].values())
    assert not torch.equal(param.detach(), torch.ones_like(param))


def test_bf16_weights_that_cannot_move_are_reported_with_numbers():
    param = nn.Parameter(torch.tensor([1.0, 1.0, 0.01], dtype=torch.bfloat16))
    opt = optim.SignSGD([param], lr=1e-3)
    param.grad = torch.ones_like(param)
    with pytest.warns(optim.StuckWeights, match=r"lr=0.001 is below half a unit in the last place of 67% .* 0.0039"):
        opt.step()
    assert param[0] == 1
    opt.step()  # the warning comes once per rate


def test_master_weights_move_where_bf16_cannot():
    param = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    opt = optim.SignSGD([param], lr=1e-3, master_weights=True)
    for _ in range(10):
        param.grad = torch.ones_like(param)
        opt.step()
    assert torch.allclose(opt.state[param]["master"], torch.full((3,), 0.99))
    assert torch.equal(param.detach(), torch.full((3,), 0.99).bfloat16())


BAD = [
    ("signsgd", {"lr": -1.0}, r"`lr` must be 0 or more, got -1"),
    ("signsgd", {"lr": float("nan")}, r"`lr` must be finite, got nan"),
    ("signum", {"momentum": 1.0}, r"`momentum` must lie in \[0, 1\), got 1"),
    ("signum", {"beta": 0.0}, r"`beta` must lie in \(0, 1\], got 0"),
    ("signum", {"start": "ones"}, r"`start` must be one of 'gradient', 'zeros'; got 'ones'"),
    ("signum", {"weight_decay": -0.1}, r"`weight_decay` must be 0 or more, got -0.1"),
    ("lion", {"betas": (0.9, 1.0)}, r"`betas\[1\]` must lie in \[0, 1\), got 1"),
    ("ssvr", {"beta": 0.0}, r"`beta` must lie in \(0, 1\], got 0"),
    ("ssvr", {"beta": 1.5}, r"`beta` must lie in \(0, 1\], got 1.5"),
    ("ssvr", {"init_batches": 0}, r"`init_batches` must be a whole number of at least 1, got 0"),
    ("ssvr", {"check_every": -1}, r"`check_every` must be a whole number of at least 0, got -1"),
    ("ssvr", {"loss_scale": 0.0}, r"`loss_scale` must be above 0, got 0"),
    ("ssvr", {"max_grad_norm": -2.0}, r"`max_grad_norm` must be above 0, got -2"),
    ("ssvr_fs", {"period": 0}, r"`period` must be a whole number of at least 1, got 0"),
    ("signsvrg", {"full_gradient": None}, r"`full_gradient` must be a FullGradient"),
    ("muon", {"polar": "qr"}, r"`polar` must be one of 'newton-schulz', 'svd'; got 'qr'"),
    ("muon", {"adjust_lr_fn": "max"}, r"`adjust_lr_fn` must be one of"),
    ("muon", {"ns_coefficients": (1.0, 2.0)}, r"must be three numbers"),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_wrong_values_are_refused_with_the_value(name, options, message):
    row, problem = BY_NAME[name], Sum()
    extra = {"full_gradient": lambda: None} if row.kind == "sum" else {}
    with pytest.raises(InvalidInput, match=message):
        row.cls(problem.parameters(), **{**row.options, **extra, **options})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_unknown_options_are_refused(row):
    problem = Sum()
    params = problem.parameters()
    with pytest.raises(TypeError, match="momentom"):
        row.make(problem, params, momentom=0.9)
    with pytest.raises(InvalidInput, match=r"unknown option `momentom` = 0.9 in a parameter group; the options are"):
        row.make(problem, [{"params": params, "momentom": 0.9}])


@pytest.mark.parametrize("name", ["ssvr", "ssvr_fs", "spider_sign", "signsvrg"])
def test_closures_are_needed_and_must_call_backward(name):
    row, problem = BY_NAME[name], Sum()
    params = problem.parameters()
    opt = row.make(problem, params)
    with pytest.raises(InvalidInput, match="needs a closure"):
        opt.step()
    with pytest.raises(InvalidInput, match="takes a function or a list of functions, got 3"):
        opt.step(3)
    with pytest.raises(InvalidInput, match=r"a list of functions, got \[3\]"):
        opt.step([3])
    row.advance(opt, problem, params, 1)
    with pytest.raises(InvalidInput, match=r"no parameter has a gradient. It must call backward"):
        opt.step(lambda: problem.loss(params, 0))
    with pytest.raises(InvalidInput, match="needs a closure"):
        torch.amp.GradScaler("cpu", enabled=False).step(opt)
    with pytest.raises(InvalidInput, match="a parameter group was added after 1 steps"):
        opt.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    row.advance(opt, problem, params, 1, first=1)


def test_groups_are_added_before_the_first_gradient_of_a_replayed_method():
    row, problem = BY_NAME["ssvr"], Sum()
    params = problem.parameters()
    opt = row.make(problem, params[:1], init_batches=3)
    opt.add_param_group({"params": params[1:], "lr": 0.01})
    row.advance(opt, problem, params, 1)  # one of three gradients: nothing has moved yet
    with pytest.raises(InvalidInput, match="a parameter group was added after 0 steps"):
        opt.add_param_group({"params": [nn.Parameter(torch.ones(2))]})


@pytest.mark.parametrize("name", ["signsgd", "signum", "lion"])
def test_one_clipping_factor_for_all_steps_changes_nothing(name):
    """Clipping to a small norm multiplies gradients of equal size by one factor, which the sign does not see."""
    ends, gen = [], torch.Generator().manual_seed(0)
    directions = nn.functional.normalize(torch.randn(6, 16, generator=gen, dtype=torch.float64))
    for limit in (None, 2.0**-3):
        param = nn.Parameter(torch.ones(16, dtype=torch.float64))
        opt = BY_NAME[name].cls([param], **BY_NAME[name].options)
        for direction in directions:
            param.grad = direction.clone()
            if limit is not None:
                assert nn.utils.clip_grad_norm_([param], limit) > limit
            opt.step()
        ends.append(param.detach())
    assert torch.equal(*ends)


def test_sparse_and_complex_gradients_are_refused():
    table = nn.Embedding(5, 2, sparse=True)
    opt = optim.Signum(table.parameters(), lr=0.1)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(Unsupported, match="sparse gradients"):
        opt.step()
    with pytest.raises(Unsupported, match="complex"):
        optim.SignSGD([nn.Parameter(torch.ones(2, dtype=torch.complex64))])


def test_compiled_models_train():
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    compiled, opt = torch.compile(model, backend="eager"), optim.Signum(model.parameters(), lr=0.01)
    batch = torch.ones(3, 4)
    losses = []
    for _ in range(5):
        opt.zero_grad()
        loss = (compiled(batch) - 1).square().mean()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
