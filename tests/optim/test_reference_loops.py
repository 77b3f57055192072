"""Every optimizer is the loop of its algorithm box, for every option, dtype and arrangement of parameters."""

import pytest
import torch

from helpers.optim_catalogue import BY_NAME, MOVES, ROWS, Sum
from signscope import optim

ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def assert_same_path(path, reference, *, rtol=1e-12):
    for step, (point, expected) in enumerate(zip(path, reference, strict=True)):
        for a, b in zip(point, expected, strict=True):
            assert torch.allclose(a, b, rtol=rtol, atol=rtol), f"apart at step {step}: {(a - b).abs().max():.2g}"


@ROW
def test_path_is_that_of_the_loop(row):
    assert_same_path(row.path(), row.reference_path())


@pytest.mark.parametrize(("row", "option"), MOVES, ids=lambda x: getattr(x, "name", x))
def test_every_option_is_that_of_the_loop_and_moves_the_path(row, option):
    path = row.path(**{option: row.moves[option]})
    assert_same_path(path, row.reference_path(**{option: row.moves[option]}))
    assert any(not torch.equal(a, b) for a, b in zip(path[-1], row.path()[-1], strict=True))


def test_the_comparison_has_teeth():
    """A momentum buffer that is started with zeros instead of the first gradient is caught."""
    row = BY_NAME["signum"]
    with pytest.raises(AssertionError, match="apart at step"):
        assert_same_path(row.path(start="zeros"), row.reference_path(start="gradient"))
    ssvr = BY_NAME["ssvr"]  # and so is a correction with another sample

    def other_sample(x, samples, gradient, **options):
        calls = iter(range(10**6))
        return ssvr.loop(x, samples, lambda y, s: gradient(y, (s + next(calls) % 2) % 6), **options)

    wrong = [other_sample(s, Sum().order[:20], Sum().gradient(i), **ssvr.options) for i, s in enumerate(Sum().starts)]
    with pytest.raises(AssertionError, match="apart at step"):
        assert_same_path(ssvr.path(), [list(point) for point in zip(*wrong, strict=True)])


@ROW
@pytest.mark.parametrize("foreach", [True, False])
def test_lists_and_single_tensors_agree_bit_for_bit(row, foreach):
    if row.name == "muon":
        pytest.skip("Muon treats one matrix at a time")
    for a, b in zip(row.path(foreach=foreach)[-1], row.path()[-1], strict=True):
        assert torch.equal(a, b)


@ROW
def test_parameter_groups_have_their_own_options(row):
    problem = Sum()
    params = problem.parameters()
    groups = [{"params": params[:1]}, {"params": params[1:2], "lr": 0.02}, {"params": params[2:], "weight_decay": 0.3}]
    opt = row.cls(
        groups,
        **({**row.options, "full_gradient": problem.full(params)} if row.kind == "sum" else row.options),
    )
    path = row.advance(opt, problem, params, 12)
    expected = [
        row.reference_path(12)[-1][0],
        row.reference_path(12, lr=0.02)[-1][1],
        row.reference_path(12, weight_decay=0.3)[-1][2],
    ]
    assert_same_path([path[-1]], [expected])


@ROW
def test_float32_follows_float64_until_rounding(row):
    path = row.path(3, problem=Sum(dtype=torch.float32))
    for a, b in zip(path[-1], row.reference_path(3)[-1], strict=True):
        assert a.dtype == torch.float32
        assert torch.allclose(a.double(), b, atol=1e-4)


@ROW
def test_learning_rate_may_change_between_steps(row):
    problem = Sum()
    params = problem.parameters()
    opt = row.make(problem, params)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
    row.advance(opt, problem, params, 1)
    scheduler.step()
    before = [p.detach().clone() for p in params]
    row.advance(opt, problem, params, 1, first=1)
    assert opt.param_groups[0]["lr"] == 0.025
    if row.name not in ("ef_signsgd", "muon"):
        for a, b in zip(before, params, strict=True):
            assert torch.allclose((a - b).abs(), torch.full_like(a, 0.025), atol=1e-15)


@pytest.mark.parametrize("name", ["signsgd", "signum", "lion", "ef_signsgd", "muon"])
def test_missing_gradients_count_as_zeros_once_there_is_a_memory(name):
    row = BY_NAME[name]
    gen = torch.Generator().manual_seed(3)
    start = torch.randn(4, 3, generator=gen, dtype=torch.float64)
    grads = [torch.randn(4, 3, generator=gen, dtype=torch.float64) for _ in range(8)]
    grads[0] = grads[3] = grads[5] = None
    param = torch.nn.Parameter(start.clone())
    opt = row.cls([param], **row.options)
    path = [start]
    for g in grads:
        param.grad = None if g is None else g.clone()
        opt.step()
        path.append(param.detach().clone())
    reference = row.loop(start, grads, **row.for_loop())
    if name in ("signsgd", "muon"):  # no memory, or momentum 0: msign(0) = 0
        assert torch.equal(path[4], path[3])
    assert_same_path([[x] for x in path], [[x] for x in reference])


@pytest.mark.parametrize("name", ["signsgd", "signum", "lion"])
def test_large_tensors_in_pieces_equal_whole_ones(name):
    row, size = BY_NAME[name], 600_001
    gen = torch.Generator().manual_seed(1)
    start, grads = torch.randn(size, generator=gen), torch.randn(3, size, generator=gen)
    ends = []
    for foreach in (None, True):
        param = torch.nn.Parameter(start.clone())
        opt = row.cls([param], **row.options, weight_decay=0.1, foreach=foreach)
        for g in grads:
            param.grad = g.clone()
            opt.step()
        ends.append(param.detach())
    assert torch.allclose(*ends, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["signum", "lion", "ef_signsgd"])
def test_memory_formats_do_not_matter(name):
    row = BY_NAME[name]
    gen = torch.Generator().manual_seed(1)
    start, grad = torch.randn(8, 64, 9, 9, generator=gen), torch.randn(8, 64, 9, 9, generator=gen)
    ends = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        param = torch.nn.Parameter(start.clone(memory_format=memory_format))
        opt = row.cls([param], **row.options)
        for factor in (1.0, -0.3):
            param.grad = factor * grad
            opt.step()
        ends.append(param.detach())
    assert torch.allclose(*ends, rtol=0, atol=1e-6)


def test_identities_between_the_optimizers():
    params = {
        "beta one": (BY_NAME["ssvr"].path(beta=1.0), BY_NAME["signsgd"].path()),
        "no momentum": (BY_NAME["signum"].path(momentum=0.0), BY_NAME["signsgd"].path()),
        "equal betas": (BY_NAME["lion"].path(betas=(0.9, 0.9)), BY_NAME["signum"].path(start="zeros")),
    }
    for name, (a, b) in params.items():
        for x, y in zip(a[-1], b[-1], strict=True):
            assert torch.allclose(x, y, rtol=1e-13), name


def test_signum_takes_the_theorys_beta():
    a = torch.nn.Parameter(torch.ones(2))
    assert optim.Signum([a], beta=0.25).param_groups[0]["momentum"] == 0.75
