"""Muon: the practical form is torch's, the plain form is the theory's."""

import math

import pytest
import torch
from torch import nn

from signscope import optim
from signscope._core.errors import InvalidInput

OPTIONS = [
    {},
    {"lr": 0.02, "weight_decay": 0.0, "momentum": 0.8},
    {"nesterov": False},
    {"adjust_lr_fn": "match_rms_adamw"},
    {"adjust_lr_fn": "original", "ns_steps": 3},
    {"ns_coefficients": (1.875, -1.25, 0.375), "eps": 1e-5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_practical_form_is_torch_optim_muon_bit_for_bit(options, dtype):
    gen = torch.Generator().manual_seed(0)
    shapes = [(6, 4), (4, 6), (16, 16), (1, 5)]
    starts = [torch.randn(s, generator=gen, dtype=torch.float64).to(dtype) for s in shapes]
    ours, theirs = ([nn.Parameter(s.clone()) for s in starts] for _ in range(2))
    opts = optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    for _ in range(4):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=gen, dtype=torch.float64).to(dtype)
            q.grad = p.grad.clone()
        for opt in opts:
            opt.step()
        for p, q in zip(ours, theirs, strict=True):
            assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("option", "value"), [("ns_dtype", None), ("polar", "svd"), ("maximize", True), ("ns_steps", 4)]
)
def test_own_options_move_the_path(option, value):
    ends = []
    for options in ({}, {option: value}):
        param = nn.Parameter(torch.eye(4, 6))
        opt = optim.Muon([param], lr=0.1, **options)
        param.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        opt.step()
        ends.append(param.detach())
    assert not torch.equal(*ends)


def test_plain_muon_on_an_embedded_diagonal_is_signsgd():
    """F(W) = sum f_i((Q W P')_ii): the matrix sign of its gradient is Q' diag(sign g) P."""
    gen = torch.Generator().manual_seed(0)
    m, n = 5, 8
    Q = torch.linalg.qr(torch.randn(m, m, generator=gen, dtype=torch.float64))[0]
    P = torch.eye(m, n, dtype=torch.float64)
    x = nn.Parameter(torch.randn(m, generator=gen, dtype=torch.float64))
    W = nn.Parameter(Q.T @ torch.diag(x.detach()) @ P)
    centre = torch.randn(m, generator=gen, dtype=torch.float64)

    def loss(point):
        return ((point - centre) ** 2 / 2 + 0.3 * torch.cos(2 * point)).sum()

    vector, matrix = optim.SignSGD([x], lr=0.01), optim.Muon.plain([W], lr=0.01)
    for _ in range(60):
        vector.zero_grad()
        matrix.zero_grad()
        loss(x).backward()
        loss((Q @ W @ P.T).diagonal()).backward()
        vector.step()
        matrix.step()
        assert torch.allclose((Q @ W @ P.T).diagonal(), x, atol=1e-12)


def test_shape_factors():
    for kind, expected in ((None, math.sqrt(3)), ("match_rms_adamw", 0.2 * math.sqrt(12)), ("none", 1.0)):
        param = nn.Parameter(torch.zeros(12, 4, dtype=torch.float64))
        opt = optim.Muon([param], lr=1.0, momentum=0.0, nesterov=False, polar="svd", adjust_lr_fn=kind)
        param.grad = torch.eye(12, 4, dtype=torch.float64)
        opt.step()
        assert torch.allclose(param.detach(), -expected * torch.eye(12, 4, dtype=torch.float64))


def test_only_matrices_are_taken():
    with pytest.raises(InvalidInput, match=r"must be 2-D, got one of shape \(3,\)"):
        optim.Muon([nn.Parameter(torch.zeros(3))])
