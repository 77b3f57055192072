"""Parameters with a life of their own: frozen, unused, tied, of several precisions."""

import pytest
import torch
from torch import nn

from helpers.optim_catalogue import BY_NAME, ROWS, Sum
from signscope import optim

REPLAYED = pytest.mark.parametrize("name", ["ssvr", "ssvr_fs", "spider_sign", "signsvrg"])


MISSED = (2, 5)


class Holes(Sum):
    """Some samples do not reach the first tensor: its gradient is None there."""

    def loss(self, params, s):
        if s not in MISSED:
            return super().loss(params, s)
        free = [params[0].detach(), *params[1:]]
        return super().loss(free, s)

    def gradient(self, index):
        full = super().gradient(index)
        return lambda x, s: torch.zeros_like(x) if index == 0 and s in MISSED else full(x, s)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_parameter_that_some_batches_miss_has_gradient_zero_there(row):
    problem = Holes()
    missed = [t for t in range(20) if problem.order[t] in MISSED]
    assert 0 < missed[0] < missed[-1]
    path = row.path(20, problem=problem, weight_decay=0.1)
    reference = row.reference_path(20, problem=problem, weight_decay=0.1)
    for step, (point, expected) in enumerate(zip(path, reference, strict=True)):
        for a, b in zip(point, expected, strict=True):
            if row.name == "signsgd" and step > missed[0]:
                continue  # no memory: a parameter without gradient is left alone, also by weight decay
            assert torch.allclose(a, b, rtol=1e-12, atol=1e-12), step


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_frozen_parameter_stays_and_moves_when_freed(row):
    problem = Sum()
    params = problem.parameters()
    params[1].requires_grad_(False)
    opt = row.make(problem, params, weight_decay=0.1)
    row.advance(opt, problem, params, 3)
    assert torch.equal(params[1], problem.starts[1])
    assert not torch.equal(params[0].detach(), problem.starts[0])
    params[1].requires_grad_(True)
    row.advance(opt, problem, params, 3, first=3)
    assert not torch.equal(params[1].detach(), problem.starts[1])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_tied_weights_are_one_parameter(row):
    """A weight used twice moves as the one weight of the sum of its uses."""
    ends = []
    for tied in (True, False):
        weight = nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4))
        first, second = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)
        first.weight = second.weight = weight
        model = nn.ModuleList([first, second])

        def loss(tied=tied, weight=weight, first=first, second=second):
            x = torch.eye(4, dtype=torch.float64)
            value = (first(x) * second(2 * x)).sum() if tied else (2 * weight**2).sum()
            value.backward()
            return value

        extra = {"full_gradient": loss} if row.kind == "sum" else {}
        assert len(list(model.parameters())) == 1
        opt = row.cls(model.parameters(), **{**row.options, **extra})
        for _ in range(6):
            opt.zero_grad()
            opt.step(loss)
        ends.append(weight.detach())
    assert torch.allclose(*ends, rtol=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("master", [False, True])
def test_half_precision_parameters_follow_the_loop(row, dtype, master):
    problem = Sum(dtype=dtype)
    path = row.path(3, problem=problem, master_weights=master)
    reference = row.reference_path(3, problem=Sum())
    coarse = 8 * torch.finfo(dtype).eps
    for a, b in zip(path[-1], reference[-1], strict=True):
        assert a.dtype == dtype
        assert (a.double() - b).abs().median() < coarse  # a sign may turn where a gradient is near zero


@REPLAYED
def test_half_precision_state_is_float32_and_points_are_those_of_the_weights(name):
    row, problem = BY_NAME[name], Sum(dtype=torch.bfloat16)
    params = problem.parameters()
    opt = row.make(problem, params)
    row.advance(opt, problem, params, 3)
    for p in params:
        for key, tensor in opt.state[p].items():
            assert tensor.dtype == (torch.bfloat16 if key.startswith("x_") else torch.float32)


def test_groups_of_different_precision_in_one_optimizer():
    half, single, double = (nn.Parameter(torch.ones(40, dtype=t)) for t in (torch.bfloat16, None, torch.float64))
    opt = optim.Signum([half, single, double], lr=0.25)
    for p in (half, single, double):
        p.grad = torch.full_like(p, 0.3)
    opt.step()
    assert all(torch.equal(p.detach(), torch.full_like(p, 0.75)) for p in (half, single, double))
