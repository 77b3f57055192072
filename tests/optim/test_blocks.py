"""Every tensor is updated exactly once, however lists and pieces are cut, and no bad entry is overlooked."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from signscope import optim
from signscope.optim.blocks import LISTED, PIECE, SMALL, all_finite, blocks, lots

SIZES = [0, 1, 7, 1000, SMALL, SMALL + 1, PIECE, PIECE + 5]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.sampled_from(SIZES), max_size=25),
    foreach=st.sampled_from([None, True, False]),
    cut=st.booleans(),
    wide=st.integers(0, 3),
)
def test_blocks_cover_every_entry_once(sizes, foreach, cut, wide):
    params = [torch.empty(n, dtype=torch.float64 if i % 4 < wide else torch.float32) for i, n in enumerate(sizes)]
    divided = lots(params, foreach)
    assert sorted(index for lot in divided for index in lot) == list(range(len(params)))
    counts = [torch.zeros_like(p) for p in params]
    for columns in blocks({"param": params, "count": counts}, divided, cut=cut):
        assert len({p.dtype for p in columns["param"]}) == 1
        assert foreach is not False or len(columns["param"]) == 1
        if foreach is None and len(columns["param"]) > 1:
            assert sum(p.numel() for p in columns["param"]) < LISTED + SMALL
        for p, count in zip(columns["param"], columns["count"], strict=True):
            assert p.shape == count.shape
            count += 1
    assert all(bool((count == 1).all()) for count in counts)


def test_a_division_made_for_other_tensors_is_still_correct():
    """A division is remembered by identity; a parameter may have got new data meanwhile."""
    param = nn.Parameter(torch.ones(10))
    opt = optim.Signum([param], lr=0.5)
    for size in (10, SMALL + 3, PIECE + 3, 4):
        param.data = torch.ones(size)
        opt.state.clear()
        param.grad = torch.ones(size)
        opt.step()
        assert torch.equal(param.detach(), torch.full((size,), 0.5))


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.sampled_from([1, 5, 900, SMALL, SMALL + 9]), min_size=1, max_size=12),
    bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    where=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_one_bad_entry_is_found_wherever_it_is(sizes, bad, where, dtype):
    tensors = [torch.full((n,), 1e3, dtype=dtype if i % 2 else torch.float32) for i, n in enumerate(sizes)]
    assert all_finite(tensors)  # a half-precision sum of these overflows
    victim = tensors[where % len(tensors)]
    victim[where % len(victim)] = bad
    assert not all_finite(tensors)


def test_infinities_that_cancel_and_sums_that_overflow_are_told_apart():
    inf = float("inf")
    assert not all_finite([torch.tensor([inf, -inf])])
    assert not all_finite([torch.tensor([inf]), torch.tensor([-inf])])
    assert not all_finite([torch.full((SMALL + 1,), 3e38), torch.tensor([inf])])
    assert all_finite([torch.full((SMALL + 1,), 3e38), torch.full((5,), -3e38)])
    assert all_finite([torch.full((3, 4), 3e38).T, torch.zeros(0)])
    assert all_finite([])


@pytest.mark.parametrize("large", [True, False])
def test_a_bad_entry_in_the_last_group_keeps_the_first_one_where_it_is(large):
    size = PIECE + 10 if large else 10
    params = [nn.Parameter(torch.zeros(size)) for _ in range(3)]
    opt = optim.Signum([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)
    for _ in range(2):
        for p in params:
            p.grad = torch.ones(size)
        opt.step()
    before = [opt.state[p]["momentum_buffer"].clone() for p in params]
    params[2].grad[-1] = float("nan")
    opt.step()
    assert opt.skipped_steps == 1
    for p, buffer in zip(params, before, strict=True):
        assert torch.equal(p.detach(), torch.full((size,), -0.2))
        assert torch.equal(opt.state[p]["momentum_buffer"], buffer)
