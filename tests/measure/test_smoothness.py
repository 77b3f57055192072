"""`smoothness` on quadratics whose constants are known, on a network against curvlinops, and its limits."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from signscope import InvalidInput
from signscope.measure import SmoothnessReport, smoothness
from signscope.measure.diagonal import hutchinson
from signscope.measure.largest_eigenvalue import spectrum_ends
from signscope.measure.sign_search import climb

CRITERION = nn.CrossEntropyLoss()


def quadratic(hessian, start=None):
    """Model and loss 1/2 w'Hw; batches only say how many rows they have."""
    dim = len(hessian)
    model = nn.Module()
    model.w = nn.Parameter(torch.ones(dim, dtype=hessian.dtype) if start is None else start)
    return model, lambda m, batch: 0.5 * m.w @ hessian @ m.w + 0 * batch.sum()


ROWS = [torch.zeros(3, 1, dtype=torch.float64)] * 4


def wishart(dim=12, seed=0, columns=12):
    a = torch.randn(dim, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.T / columns


def by_enumeration(hessian):
    """max ||Hs||_1 and max |u'Hu| over entries in {-1, 0, 1}."""
    dim = len(hessian)
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=dim)), dtype=hessian.dtype)
    return float((signs @ hessian).abs().sum(1).max()), float(((signs @ hessian) * signs).sum(1).abs().max())


def test_a_convex_quadratic():
    hessian = wishart()
    lipschitz, bregman = by_enumeration(hessian)
    model, loss = quadratic(hessian, torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    found = smoothness(model, loss, ROWS, num_restarts=16, num_probes=200)
    assert found.maximum <= lipschitz * (1 + 1e-12)
    assert found.maximum == pytest.approx(lipschitz, rel=0.1)
    assert found.bregman_maximum == pytest.approx(found.maximum)
    assert bregman == pytest.approx(lipschitz)  # convex
    assert found.crossfit == pytest.approx(found.maximum)  # the same Hessian on both halves
    assert found.largest_eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-8)
    assert found.low == pytest.approx(float(torch.linalg.eigvalsh(hessian)[0]), rel=1e-8)
    assert found.trace == pytest.approx(float(hessian.trace()), abs=4.5 * found.trace_stderr)
    assert found.diagonal_l1 == pytest.approx(float(hessian.trace()), rel=0.05)
    assert found.layers[0].diagonal == pytest.approx(hessian.diagonal().tolist(), abs=0.2)
    assert found.density == pytest.approx(found.maximum / (12 * found.largest_eigenvalue))


def test_directions_agree_with_the_hessian():
    hessian = wishart(seed=4)
    model, loss = quadratic(hessian, torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    way = smoothness(model, loss, ROWS).direction
    signs = torch.sign(hessian @ model.w.detach())
    assert way.lipschitz_product == pytest.approx(float((hessian @ signs).abs().sum()), rel=1e-12)
    assert way.bregman_product == pytest.approx(float(signs @ hessian @ signs), rel=1e-12)
    assert way.lipschitz == pytest.approx(way.lipschitz_product, rel=1e-6)
    assert way.bregman == pytest.approx(way.bregman_product, rel=1e-6)
    assert way.step == pytest.approx(1e-3, rel=1e-9)


def test_the_two_forms_differ_by_two_on_a_saddle():
    """diag(1, -1): L_lip = 2, L_B = 1."""
    saddle = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    model, loss = quadratic(saddle)
    found = smoothness(model, loss, ROWS)
    assert found.maximum == pytest.approx(2)
    assert found.bregman_maximum == pytest.approx(1)
    assert (found.low, found.high) == pytest.approx((-1, 1))
    assert found.trace == pytest.approx(0, abs=1e-12)
    assert found.diagonal_l1 == pytest.approx(2)


@pytest.mark.parametrize("seed", range(6))
def test_indefinite_quadratics_keep_the_order_of_the_forms(seed):
    gen = torch.Generator().manual_seed(seed)
    square = torch.randn(8, 8, generator=gen, dtype=torch.float64)
    hessian = square + square.T
    exact, _ = by_enumeration(hessian)
    values = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], repeat=8)), dtype=torch.float64)
    bregman = float(((values @ hessian) * values).sum(1).abs().max())
    starts = [torch.sign(torch.randn(8, generator=gen, dtype=torch.float64)) for _ in range(16)]
    found = [climb(lambda v: hessian @ v, start, num_iterations=30) for start in starts]
    for one, signs in zip(found, starts, strict=True):
        assert one.lipschitz / 2 <= one.bregman + 1e-12
        assert one.bregman <= bregman + 1e-12
        assert one.lipschitz == pytest.approx(float(one.left @ hessian @ one.right))
        for value in one.values:  # of s, sign(Hs), sign(H sign(Hs)) ...
            assert value == pytest.approx(float((hessian @ signs).abs().sum()))
            signs = torch.sign(hessian @ signs)
        assert one.lipschitz == pytest.approx(max(one.values)) == pytest.approx(one.values[-1])
    assert max(len(one.values) for one in found) > 2
    assert max(one.lipschitz for one in found) == pytest.approx(exact, rel=0.05)
    assert max(one.lipschitz for one in found) <= exact * (1 + 1e-12)


def test_restarts_help_and_one_random_sign_is_far_too_low():
    """Means over Wishart matrices of dim 12; the specification has .746/.932/.991 for 1/4/16 restarts and .38-.58."""
    gen, ratios, single = torch.Generator().manual_seed(0), [], []
    for seed in range(20):
        hessian = wishart(seed=seed)
        exact, _ = by_enumeration(hessian)
        starts = [torch.sign(torch.randn(12, generator=gen, dtype=torch.float64)) for _ in range(16)]
        values = [climb(lambda v, h=hessian: h @ v, s, num_iterations=30).lipschitz / exact for s in starts]
        ratios.append([values[0], max(values[:4]), max(values)])
        single.append(float((hessian @ starts[0]).abs().sum()) / exact)
    one, four, many = np.mean(ratios, axis=0)
    assert one < four < many
    assert one > 0.8
    assert many > 0.97
    assert np.mean(single) < 0.7


def test_crossfitting_takes_out_the_noise_of_the_maximum():
    """True Hessian I; batches add noise as large as the signal. On its own batches the maximum is far too high."""
    dim = 40
    gen = torch.Generator().manual_seed(0)
    noise = [torch.randn(dim, dim, generator=gen, dtype=torch.float64) * 0.4 for _ in range(8)]
    batches = [torch.eye(dim, dtype=torch.float64) + (n + n.T) / 2 for n in noise]
    model, _ = quadratic(torch.eye(dim, dtype=torch.float64))
    found = smoothness(model, lambda m, b: 0.5 * m.w @ b @ m.w, batches, num_batches=8)
    assert found.maximum > 1.5 * dim  # the truth is L = dim
    assert found.crossfit <= dim + 4.5 * found.crossfit_stderr
    assert found.linf == found.crossfit
    alone = smoothness(model, lambda m, b: 0.5 * m.w @ b @ m.w, batches, num_batches=1)
    assert np.isnan(alone.crossfit)
    assert alone.linf == alone.maximum


def test_batches_weigh_by_their_rows():
    """Hessian and gradient of batch k by hand: rows r_k, curvatures c_k, sign vectors found on batches 0, 2, 4."""
    sizes, gen = [1, 2, 5, 3, 4, 6], torch.Generator().manual_seed(0)
    curves = [torch.rand(3, generator=gen, dtype=torch.float64) for _ in sizes]
    batches = [torch.cat([c[None], torch.zeros(n - 1, 3).double()]) for c, n in zip(curves, sizes, strict=True)]
    model, _ = quadratic(torch.eye(3, dtype=torch.float64))
    found = smoothness(model, lambda m, b: 0.5 * (b[0] * m.w**2).sum(), batches, num_batches=6, num_restarts=1)
    mean = sum(n * c for n, c in zip(sizes, curves, strict=True)) / 21
    assert (found.grad_l1, found.trace) == pytest.approx([float(mean.sum())] * 2)
    assert found.loss == pytest.approx(0.5 * float(mean.sum()))
    share = np.array(sizes[1::2]) / 11
    traces = np.array([float(c.sum()) for c in curves[1::2]])
    assert found.crossfit == pytest.approx(float(share @ traces))
    spread = (share**2 * (traces - share @ traces) ** 2).sum() * 3 / 2
    assert found.crossfit_stderr == pytest.approx(math.sqrt(spread))


@pytest.mark.slow  # the import of curvlinops takes seconds
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_network_against_curvlinops(net, cut):
    curvlinops = pytest.importorskip("curvlinops", reason="curvlinops is not installed")
    model, x, y = net
    batches = cut(x[:128], y[:128], 32)
    params = dict(model.named_parameters())
    operator = curvlinops.HessianLinearOperator(model, CRITERION, list(params.values()), batches)
    dim = sum(p.numel() for p in params.values())
    hessian = operator @ torch.eye(dim, dtype=torch.float64)
    found = smoothness(model, CRITERION, batches, num_probes=400, num_lanczos=60)
    values = torch.linalg.eigvalsh(hessian)
    assert found.high == pytest.approx(float(values[-1]), rel=1e-4)
    assert found.low == pytest.approx(float(values[0]), rel=1e-3)
    assert found.trace == pytest.approx(float(hessian.trace()), abs=4.5 * found.trace_stderr)
    sizes = np.cumsum([0, *(p.numel() for p in params.values())])
    diagonal = hessian.diagonal()
    for layer, start, stop in zip(found.layers, sizes, sizes[1:], strict=False):
        error = torch.tensor(layer.diagonal) - diagonal[start:stop]
        assert float(error.abs().max()) < 4.5 * float(hessian.norm(dim=1).max()) / 400**0.5
    first = (
        curvlinops.HessianLinearOperator(model, CRITERION, list(params.values()), batches[0::2])
        @ torch.eye(dim).double()
    )
    grad = torch.autograd.grad(sum(CRITERION(model(a), b) for a, b in batches[0::2]) / 2, list(params.values()))
    signs = torch.sign(torch.cat([g.reshape(-1) for g in grad]))
    assert found.direction.lipschitz_product == pytest.approx(float((first @ signs).abs().sum()), rel=1e-9)
    assert found.direction.lipschitz == pytest.approx(found.direction.lipschitz_product, rel=0.05)
    climbed = 0.0  # the first start: signs of the gradient, then s <- sign(Hs) for as long as the value grows
    while (value := float((first @ signs).abs().sum())) > climbed:
        climbed, signs = value, torch.sign(first @ signs)
    assert found.restarts[0] == pytest.approx(climbed, rel=1e-6)


def test_spectrum_ends_of_a_rotated_matrix_with_both_signs():
    gen = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(60, 60, generator=gen, dtype=torch.float64)).Q
    values = torch.linspace(-3, 2.5, 60, dtype=torch.float64)
    matrix = basis @ torch.diag(values) @ basis.T
    start = torch.randn(60, generator=gen, dtype=torch.float64)
    ends = spectrum_ends(lambda v: matrix @ v, start, num_steps=45)
    assert (ends.low, ends.high) == pytest.approx((-3, 2.5), rel=1e-3)
    assert ends.largest == pytest.approx(3, abs=ends.residual + 1e-9)
    few = spectrum_ends(lambda v: matrix @ v, start, num_steps=3)
    assert few.largest < 3
    assert few.residual > 0.1  # it says so
    low_rank = spectrum_ends(lambda v: values[:1] * start * (start @ v) / (start @ start), start, num_steps=30)
    assert low_rank.num_steps == 1  # an invariant space ends it
    assert low_rank.low == pytest.approx(-3)


def test_the_diagonal_says_whether_its_entries_can_be_used():
    diagonal = torch.linspace(1, 5, 200, dtype=torch.float64)
    gen = torch.Generator().manual_seed(0)
    noise = torch.randn(200, 200, generator=gen, dtype=torch.float64)

    def estimate(size, num_probes):
        matrix = torch.diag(diagonal) + size * (noise + noise.T) * (1 - torch.eye(200))
        draw = torch.Generator().manual_seed(1)
        signs = [torch.sign(torch.randn(200, generator=draw, dtype=torch.float64)) for _ in range(num_probes)]
        return hutchinson(lambda v: matrix @ v, lambda k: signs[k], num_probes=num_probes, sizes=[50, 150])

    clean, dirty = estimate(0.0, 3), estimate(2.0, 32)
    off = 2.0 * (noise + noise.T).fill_diagonal_(0)  # the variance of s'Hs is 2 |off-diagonal|^2
    assert dirty.trace_stderr == pytest.approx(math.sqrt(2 / 32) * float(off.norm()), rel=0.5)
    assert clean.trace_stderr == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(clean.mean, diagonal)
    assert clean.reliability == pytest.approx(1)
    assert clean.sum_abs_by_layer == pytest.approx((float(diagonal[:50].sum()), float(diagonal[50:].sum())))
    assert dirty.reliability < 0.3
    assert float(dirty.mean.abs().sum()) > 1.3 * float(diagonal.sum())  # teeth: plain |estimate| is biased up
    assert dirty.sum_abs < 1.1 * float(diagonal.sum())


def test_attention_has_a_second_derivative():
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    data = [torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    found = smoothness(
        layer, lambda m, b: m(b).square().mean(), data, num_batches=2, num_restarts=1, num_lanczos=4, num_probes=2
    )
    step = found.direction  # a difference of gradients against the second derivative
    assert step.lipschitz == pytest.approx(step.lipschitz_product, rel=0.02)


def test_float32_hides_the_bregman_form_and_says_so():
    """A large loss in float32: the difference of two losses is rounding, the gradients are not."""
    model, loss = quadratic(torch.eye(4))
    batches = [torch.zeros(2, 1)] * 2
    found = smoothness(model, lambda m, b: loss(m, b) + 1e5, batches, num_batches=2)
    assert np.isnan(found.direction.bregman)
    assert found.direction.lipschitz == pytest.approx(4, rel=1e-3)
    assert found.direction.bregman_product == pytest.approx(4)


def test_the_bregman_form_counts_the_moves_as_they_were_rounded():
    """Next to 20000 float32 moves by 1/512 where 1/1000 was asked for; elsewhere by 1/1000."""
    curves = torch.tensor([1e-3, 1.0])
    model = nn.Module()
    model.w = nn.Parameter(torch.tensor([2e4, 0.0]))
    centre = torch.tensor([2e4 + 1, -0.01])
    found = smoothness(
        model, lambda m, b: 0.5 * (curves * (m.w - centre) ** 2).sum(), [torch.zeros(2, 1)] * 2, num_batches=2
    ).direction
    assert found.step == pytest.approx(1 / 512)
    moves = [1 / 512, 1e-3]
    assert found.bregman == pytest.approx((1e-3 * moves[0] ** 2 + moves[1] ** 2) / moves[0] ** 2, rel=0.03)


def test_autocast_hides_the_bregman_form_and_says_so(net, cut):
    model, x, y = net
    given = {"num_batches": 2, "num_restarts": 1, "num_iterations": 1, "num_lanczos": 1, "num_probes": 2}
    batches = cut(x.float(), y, 32)
    full = smoothness(model.float(), CRITERION, batches, **given).direction
    half = smoothness(model, CRITERION, batches, autocast=torch.bfloat16, **given).direction
    assert full.bregman == pytest.approx(full.bregman_product, rel=0.1)
    assert np.isnan(half.bregman)


def test_products_are_at_most_one_more_than_the_moves():
    hessian, gen, counts = wishart(), torch.Generator().manual_seed(3), []
    for _ in range(8):
        taken = []
        start = torch.sign(torch.randn(12, generator=gen, dtype=torch.float64))
        climb(lambda v, taken=taken: taken.append(1) or hessian @ v, start, num_iterations=2)
        counts.append(len(taken))
    assert max(counts) == 3


def test_bad_input(net, cut):
    model, x, y = net
    with pytest.raises(InvalidInput, match="`loader` must be iterable, got int"):
        smoothness(model, CRITERION, 3)
    with pytest.raises(InvalidInput, match="`seed`"):
        smoothness(model, CRITERION, cut(x, y, 32), seed=-1)
    with pytest.raises(InvalidInput, match="holds no batches"):
        smoothness(model, CRITERION, [])
    with pytest.raises(InvalidInput, match="num_probes"):
        smoothness(model, CRITERION, cut(x, y, 32), num_probes=1)
    with pytest.raises(InvalidInput, match="random in train mode"):
        smoothness(nn.Sequential(nn.Dropout(0.5), model), CRITERION, cut(x, y, 32), mode="train")
    with pytest.raises(InvalidInput, match="not finite"):
        smoothness(model, CRITERION, cut(x * float("nan"), y, 32))


def test_the_model_is_put_back_and_the_report_survives_a_file(net, cut, tmp_path):
    model, x, y = net
    before = [p.detach().clone() for p in model.parameters()]
    state = torch.random.get_rng_state()
    report = smoothness(model, CRITERION, cut(x, y, 64), num_restarts=2, num_probes=4)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)
    report.save(tmp_path / "s.json")
    assert SmoothnessReport.load(tmp_path / "s.json") == report
    assert "Bregman form" in str(report)
    assert list(report.to_frame()["dim"]) == [96, 12, 36, 3]
