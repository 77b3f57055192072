"""Properties that hold for all gradients: scale, oddness, permutation, reshaping, untouched inputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.optim_catalogue import BY_NAME, Sum

EXACT = ["signsgd", "signum", "lion"]
ONE = [*EXACT, "ef_signsgd"]
SEEDS = st.integers(0, 2**31 - 1)


def run(name, start, grads, **changes):
    row = BY_NAME[name]
    param = nn.Parameter(start.clone())
    opt = row.cls([param], **{**row.options, **changes})
    for g in grads:
        param.grad = g.clone()
        opt.step()
    return param.detach()


def data(seed, shape=(4, 3), steps=6):
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=gen, dtype=torch.float64), torch.randn(
        steps, *shape, generator=gen, dtype=torch.float64
    )


@pytest.mark.parametrize("name", EXACT)
@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, power=st.integers(-30, 30))
def test_gradients_may_be_multiplied_by_a_positive_number(name, seed, power):
    start, grads = data(seed)
    assert torch.equal(run(name, start, grads), run(name, start, grads * 2.0**power))


@pytest.mark.parametrize("name", ONE)
@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_negated_start_and_gradients_negate_the_path(name, seed):
    start, grads = data(seed)
    assert torch.equal(run(name, start, grads, weight_decay=0.1), -run(name, -start, -grads, weight_decay=0.1))
    flipped = run(name, start, -grads, maximize=True, weight_decay=0.1)
    assert torch.equal(flipped, run(name, start, grads, weight_decay=0.1))


@pytest.mark.parametrize("name", ONE)
@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_coordinates_may_be_permuted_and_reshaped(name, seed):
    start, grads = data(seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    flat = run(name, start.flatten()[order], grads.flatten(1)[:, order])
    assert torch.allclose(flat, run(name, start, grads).flatten()[order], rtol=1e-13)


@pytest.mark.parametrize("name", ONE)
@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_gradients_are_read_only(name, seed):
    start, grads = data(seed)
    param = nn.Parameter(start.clone())
    opt = BY_NAME[name].cls([param], **BY_NAME[name].options)
    for g in grads:
        param.grad = g.clone()
        opt.step()
        assert torch.equal(param.grad, g)


@pytest.mark.parametrize("name", ["ssvr", "ssvr_fs", "spider_sign", "signsvrg"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), at=st.integers(0, 9))
def test_saved_anywhere_and_resumed_is_uninterrupted(name, seed, at):
    row, problem = BY_NAME[name], Sum(seed)
    whole = row.path(10, problem=problem)
    params = problem.parameters()
    opt = row.make(problem, params)
    row.advance(opt, problem, params, at)
    fresh = [nn.Parameter(p.detach().clone()) for p in params]
    resumed = row.make(problem, fresh)
    resumed.load_state_dict(opt.state_dict())
    path = row.advance(resumed, problem, fresh, 10 - at, first=at)
    assert all(torch.equal(a, b) for a, b in zip(path[-1], whole[-1], strict=True))


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, lr=st.floats(1e-4, 1.0))
def test_error_feedback_loses_nothing(seed, lr):
    start, grads = data(seed)
    param = nn.Parameter(start.clone())
    opt = BY_NAME["ef_signsgd"].cls([param], lr=lr)
    for t, g in enumerate(grads):
        param.grad = g.clone()
        opt.step()
        expected = start - lr * grads[: t + 1].sum(0)
        assert torch.allclose(param.detach() - opt.state[param]["error"], expected, atol=1e-13)
