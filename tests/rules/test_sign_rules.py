"""The pure rules: special cases, properties, untouched inputs, and the in-place forms of `signscope.optim`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope import optim
from signscope.rules.feedback import ef_signsgd
from signscope.rules.momentum import lion, signum
from signscope.rules.spectral import QUINTIC, muon, newton_schulz, polar_factor
from signscope.rules.variance_reduced import signsvrg, spider_sign, ssvr, ssvr_fs

SEEDS = st.integers(0, 2**31 - 1)


def tensors(seed, count, shape=(5, 4)):
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=gen, dtype=torch.float64).unbind()


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS)
def test_rules_leave_their_inputs_alone(seed):
    a, b, c, d, e = tensors(seed, 5)
    copies = [t.clone() for t in (a, b, c, d, e)]
    signum(a, b, momentum=0.9)
    lion(a, b, betas=(0.9, 0.99))
    ef_signsgd(a, b, lr=0.1)
    ssvr(a, b, c, beta=0.3)
    ssvr_fs(a, b, c, d, e, beta=0.3)
    spider_sign(a, b, c)
    signsvrg(a, b, c)
    polar_factor(a)
    newton_schulz(a)
    muon(a, b, momentum=0.9, nesterov=True)
    assert all(torch.equal(x, y) for x, y in zip((a, b, c, d, e), copies, strict=True))


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, beta=st.floats(0.01, 1.0))
def test_variance_reduced_rules_in_their_special_cases(seed, beta):
    g, gp, gt, v, h = tensors(seed, 5)
    assert torch.equal(ssvr(g, gp, v, beta=1.0), g)
    assert torch.allclose(ssvr(g, gp, gp, beta=beta), g)  # an exact estimate stays exact
    assert torch.allclose(ssvr_fs(g, gp, h, gp, h, beta=beta), g)  # one component: g_tau = h
    published = (1 - beta) * v + beta * (g - gt + h) + (1 - beta) * (g - gp)
    assert torch.allclose(ssvr_fs(g, gp, gt, v, h, beta=beta), published)
    assert torch.allclose(ssvr_fs(g, gp, gt, v, h, beta=1.0), signsvrg(g, gt, h))
    assert torch.allclose(spider_sign(g, gp, v), ssvr(g, gp, v, beta=0.0))


def test_momentum_rules_on_the_reference_data():
    v = torch.tensor([0.5], dtype=torch.float64)
    for g, expected in ((1.1, 0.65), (0.5, 0.6125), (0.6, 0.609375)):
        s, v = signum(torch.tensor([g], dtype=torch.float64), v, momentum=0.75)
        assert s == 1
        assert v.item() == pytest.approx(expected, rel=1e-14)
    (g, m) = tensors(0, 2)
    assert torch.equal(lion(g, m, betas=(0.9, 0.9))[0], signum(g, m, momentum=0.9)[0])
    assert torch.equal(signum(g, m, momentum=0.0)[0], torch.sign(g))
    assert torch.equal(torch.sign(torch.zeros(2)), signum(torch.zeros(2), torch.zeros(2), momentum=0.5)[0])


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, lr=st.floats(1e-3, 1.0))
def test_error_feedback_keeps_the_rest_and_contracts(seed, lr):
    g, e = tensors(seed, 2)
    update, rest = ef_signsgd(g, e, lr=lr)
    p = lr * g + e
    assert torch.allclose(update + rest, p, atol=1e-14)
    density = p.abs().sum() ** 2 / (p.numel() * p.square().sum())
    assert rest.square().sum().item() == pytest.approx(((1 - density) * p.square().sum()).item(), rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, power=st.integers(-20, 20))
def test_polar_factor_is_the_sign_of_a_matrix(seed, power):
    (G,) = tensors(seed, 1, (6, 4))
    O = polar_factor(G)  # noqa: E741
    assert torch.allclose(O.T @ O, torch.eye(4, dtype=torch.float64), atol=1e-12)
    assert torch.linalg.svdvals(G).sum().item() == pytest.approx((G * O).sum().item(), rel=1e-12)  # the dual norm
    assert torch.allclose(polar_factor(G * 2.0**power), O, atol=1e-12)
    assert torch.allclose(polar_factor(G.T), O.T, atol=1e-10)
    d = G[:, 0]
    assert torch.allclose(polar_factor(torch.diag(d)), torch.diag(torch.sign(d)), atol=1e-12)


def test_polar_factor_invents_no_directions():
    assert torch.equal(polar_factor(torch.zeros(3, 5)), torch.zeros(3, 5))
    low = torch.outer(torch.ones(4), torch.arange(3.0) - 1).double()
    assert torch.linalg.svdvals(polar_factor(low)).sum().item() == pytest.approx(1.0)
    assert torch.linalg.svdvals(torch.linalg.svd(low, full_matrices=False)[0]).sum() > 2.9  # teeth: plain U V' has more


def test_newton_schulz_does_not_converge_but_maps_into_the_known_range():
    a, b, c = QUINTIC
    s = torch.logspace(-6, 0, 20_001, dtype=torch.float64)
    y = s.clone()
    for _ in range(5):
        y = a * y + b * y**3 + c * y**5
    matrix = torch.diag(s[::200])
    through = newton_schulz(matrix, steps=5).diagonal() / 1
    norm = matrix.norm()
    expected = s[::200] / norm
    for _ in range(5):
        expected = a * expected + b * expected**3 + c * expected**5
    assert torch.allclose(through, expected, rtol=1e-10)
    resolved = y[s >= 1.6e-3]
    assert resolved.min() > 0.68
    assert resolved.max() < 1.2025
    assert s[y >= 0.5].min().item() == pytest.approx(1.07e-3, rel=0.02)
    assert s[y >= 0.7].min().item() == pytest.approx(1.55e-3, rel=0.02)
    assert (y[0] / s[0]).item() == pytest.approx(484.9, rel=1e-3)
    assert torch.equal(newton_schulz(torch.zeros(3, 4)), torch.zeros(3, 4))
    good = newton_schulz(tensors(1, 1, (4, 9))[0], coefficients=(15 / 8, -10 / 8, 3 / 8), steps=14)
    assert torch.allclose(good, polar_factor(tensors(1, 1, (4, 9))[0]), atol=1e-8)


@pytest.mark.parametrize("polar", ["svd", "newton-schulz"])
def test_muon_class_is_its_rule(polar):
    x, *grads = tensors(4, 6)
    param, buffer = torch.nn.Parameter(x.clone()), torch.zeros_like(x)
    opt = optim.Muon([param], lr=0.1, weight_decay=0.0, polar=polar, adjust_lr_fn="none", ns_dtype=None)
    for g in grads:
        param.grad = g.clone()
        opt.step()
        matrix, buffer = muon(g, buffer, momentum=0.95, nesterov=True)
        x = x - 0.1 * (polar_factor(matrix) if polar == "svd" else newton_schulz(matrix))
        assert torch.allclose(param.detach(), x, rtol=1e-12, atol=1e-13)


def test_in_place_forms_are_bit_equal_to_the_rules():
    x, *grads = tensors(5, 9)
    lion_x, signum_x, ef_x = (torch.nn.Parameter(x.clone()) for _ in range(3))
    opts = optim.Lion([lion_x], lr=0.1), optim.Signum([signum_x], lr=0.1), optim.EFSignSGD([ef_x], lr=0.1)
    m, v, e, points = torch.zeros_like(x), grads[0].clone(), torch.zeros_like(x), [x, x, x]
    for g in grads:
        for param, opt in zip((lion_x, signum_x, ef_x), opts, strict=True):
            param.grad = g.clone()
            opt.step()
        s, m = lion(g, m, betas=(0.9, 0.99))
        points[0] = points[0] - 0.1 * s
        s, v = signum(g, v, momentum=0.9)
        points[1] = points[1] - 0.1 * s
        update, e = ef_signsgd(g, e, lr=0.1)
        points[2] = points[2] - update
        for param, point in zip((lion_x, signum_x, ef_x), points, strict=True):
            assert torch.equal(param.detach(), point)
