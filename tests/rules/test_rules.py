"""Rules against torch.optim and against their invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from signscope import rules


def gradients(num_steps: int, *shape: int) -> Tensor:
    gen = torch.Generator().manual_seed(0)
    scale = torch.logspace(-3, 3, num_steps, dtype=torch.float64)
    return torch.randn(num_steps, *shape, generator=gen, dtype=torch.float64) * scale.view(-1, *[1] * len(shape))


def torch_adam_path(grads: Tensor, *, lr: float, betas: tuple[float, float], eps: float) -> Tensor:
    theta = torch.zeros(grads.shape[1:], dtype=grads.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=lr, betas=betas, eps=eps)
    path = []
    for grad in grads:
        theta.grad = grad.clone()
        optimizer.step()
        path.append(theta.detach().clone())
    return torch.stack(path)


def our_adam_path(grads: Tensor, *, lr: float, betas: tuple[float, float], eps: float, late: int = 0) -> Tensor:
    theta = torch.zeros(grads.shape[1:], dtype=grads.dtype)
    first, second = torch.zeros_like(theta), torch.zeros_like(theta)
    path = []
    for step, grad in enumerate(grads, start=1 + late):
        direction, first, second = rules.adam(grad, first, second, step, betas=betas, eps=eps)
        theta = theta - lr * direction
        path.append(theta)
    return torch.stack(path)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.5, 0.0), (0.95, 0.9)])
@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_adam_is_torch_adam(betas, eps):
    grads = gradients(50, 4, 3)
    ours = our_adam_path(grads, lr=0.01, betas=betas, eps=eps)
    theirs = torch_adam_path(grads, lr=0.01, betas=betas, eps=eps)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    late = our_adam_path(grads, lr=0.01, betas=betas, eps=eps, late=1)  # teeth: steps counted from 2
    if betas != (0.0, 0.5) or eps == 0.1:
        with pytest.raises(AssertionError):
            torch.testing.assert_close(late, theirs, rtol=1e-12, atol=1e-14)


def test_adam_without_memory_is_signsgd():
    (grad,) = gradients(1, 20)
    zero = torch.zeros_like(grad)
    direction, first, second = rules.adam(grad, zero, zero, 1, betas=(0.0, 0.0), eps=0.0)
    torch.testing.assert_close(direction, rules.signsgd(grad), rtol=1e-15, atol=0)
    torch.testing.assert_close((first, second), (grad, grad**2), rtol=1e-15, atol=0)


def test_rules_leave_their_inputs_alone():
    grad, first, second = gradients(3, 5)
    second = second.abs()
    before = [t.clone() for t in (grad, first, second)]
    rules.adam(grad, first, second, 3, betas=(0.9, 0.99), eps=1e-8)
    rules.signsgd(grad)
    assert all(torch.equal(a, b) for a, b in zip(before, (grad, first, second), strict=True))


@pytest.mark.parametrize(("option", "value"), [("betas", (0.8, 0.999)), ("betas", (0.9, 0.99)), ("eps", 1e-2)])
def test_every_option_of_adam_moves_the_path(option, value):
    base = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}
    grads = gradients(5, 3)
    assert not torch.equal(our_adam_path(grads, **base), our_adam_path(grads, **{**base, option: value}))


def test_sign_of_zero_is_zero_and_sgd_is_the_gradient():
    grad = torch.tensor([-2.0, -0.0, 0.0, 1e-300], dtype=torch.float64)
    assert rules.signsgd(grad).tolist() == [-1, 0, 0, 1]
    assert rules.sgd(grad) is grad


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=30)
def test_directions_ignore_the_scale_of_the_gradient_and_follow_its_sign(scale, seed):
    gen = torch.Generator().manual_seed(seed)
    grads = torch.randn(4, 6, generator=gen, dtype=torch.float64)
    base = {"lr": 1.0, "betas": (0.9, 0.99), "eps": 0.0}
    path = our_adam_path(grads, **base)
    torch.testing.assert_close(our_adam_path(scale * grads, **base), path, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(our_adam_path(-grads, **base), -path, rtol=0, atol=0)
    assert torch.equal(rules.signsgd(scale * grads), rules.signsgd(grads))
    assert torch.equal(rules.signsgd(-grads), -rules.signsgd(grads))
