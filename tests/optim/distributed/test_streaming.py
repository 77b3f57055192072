"""The road without flat copies: every coordinate once, and bit for bit the general road."""

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from signscope.optim.distributed import DistributedSign, buckets, packing, passes, rounds, streaming
from signscope.optim.distributed.buckets import make_buckets

SIZES = (5, 300, 1, 64, 128, 7, 1000, 3)


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=12), mixed=st.sampled_from([16, 64]))
def test_pieces_are_the_flat_tensor(sizes, mixed):
    """In order, in multiples of 8, nothing twice, zeros behind the end; a long stretch is not copied."""
    tensors = [torch.randn(n, generator=torch.Generator().manual_seed(k)) for k, n in enumerate(sizes)]
    (bucket,) = make_buckets(tensors, num_workers=3, block_size=24, bucket_size=10**6)
    flat = torch.zeros(bucket.padded)
    flat[: bucket.dim] = torch.cat(tensors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "MIXED", mixed)
        patch.setattr(streaming, "MIXED", mixed)
        end = 0
        for piece, values in streaming.gradient_pieces(bucket, tensors):
            assert piece.start == end
            assert piece.size == len(values)
            assert len(values) % 8 == 0
            assert torch.equal(torch.from_numpy(values), flat[end : end + len(values)])
            if len(values) > mixed:
                assert any(t.data_ptr() <= values.ctypes.data < t.data_ptr() + 4 * len(t) for t in tensors)
            end += len(values)
    assert end == bucket.padded


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    torch.set_num_threads(1)
    store = tmp_path_factory.mktemp("store") / "store"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def walk(*, stream, compiled=False, dtype=torch.float32, **options):
    """Parameters after some steps with zeros, and subnormal numbers, among the gradients."""
    gen = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(n, generator=gen, dtype=torch.float64).to(dtype)) for n in SIZES]
    groups = [{"params": params[:4]}, {"params": params[4:], "weight_decay": 0.0}]
    opt = DistributedSign(groups, lr=0.01, weight_decay=0.1, bucket_size=310, **options)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "PIECE", 128)
        patch.setattr(packing, "_compiled", lambda size: packing._kernels() if compiled else None)
        for module in (buckets, streaming):
            patch.setattr(module, "MIXED", 64)
        can = rounds.Rounds.can_stream
        patch.setattr(rounds.Rounds, "can_stream", lambda self: seen.append(can(self)) or (stream and seen[-1]))
        for _ in range(4):
            for p in params:
                p.grad = torch.randn(p.shape, generator=gen, dtype=torch.float64).to(dtype)
                p.grad[::3] = 0
                p.grad[1::9] = -0.0
                p.grad[2::9] = -1e-42
            opt.step()
    assert all(seen), "this road was not meant to be taken"
    return jobs.flat(params)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_roads_end_at_the_same_point(group, momentum, dtype):
    options = {"momentum": momentum, "dtype": dtype}
    plain = walk(stream=False, **options)
    assert torch.equal(walk(stream=True, **options), plain)
    assert torch.equal(walk(stream=True, compiled=True, **options), plain)
    assert torch.equal(walk(stream=False, compiled=True, **options), plain)
    assert not torch.equal(walk(stream=True, **options), walk(stream=True, **{**options, "momentum": 0.5}))


def test_autograd_learns_that_weights_have_moved(group):
    p = nn.Parameter(torch.ones(600))
    opt = DistributedSign([p], lr=0.1)
    loss = p.square().sum()
    p.grad = torch.ones(600)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_next_to_zero_have_a_sign_unless_the_processor_is_told_otherwise(dtype):
    least = torch.finfo(dtype).smallest_normal / 2
    values = torch.tensor([least, -least, 0.0, -0.0] * 2**13, dtype=dtype)
    places = torch.arange(len(values)) % 2 == 1
    for zero, fill in ((packing.EVEN, ~places), (packing.ODD, places), (0, False), (255, True)):
        exact = torch.where(values == 0, torch.as_tensor(fill), values > 0)
        assert torch.equal(packing.unpack(packing.pack_signs(values, zero=zero)), exact)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush")
    try:
        flushed = packing.unpack(packing.pack_signs(values, zero=packing.ODD))
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(flushed, places)  # all of them zeros then, none of which drifts


def test_a_vote_may_be_written_over_a_ballot():
    gen = torch.Generator().manual_seed(0)
    ballots = torch.randint(256, (4, 3 * packing.COUNTED + 64), generator=gen, dtype=torch.uint8)
    apart = packing.vote(ballots.clone(), tie=0x55)
    assert torch.equal(packing.vote(ballots, tie=0x55, out=ballots[2]), apart)
    assert torch.equal(ballots[2], apart)


@pytest.mark.multiproc
def test_gradients_of_other_layout_on_one_rank_take_the_same_road():
    """The order of the exchanges must not depend on what a rank alone knows."""
    results = launch(jobs.odd_layouts, 2)
    assert (results[0][0] == results[1][0]).all()
    assert (results[0][0] == results[0][1]).all()


@pytest.mark.multiproc
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_infinite_gradient_moves_nothing_on_any_rank(momentum):
    results = launch(jobs.streamed_infinity, 2, momentum)
    for untouched, same_average, skipped, path in results:
        assert untouched
        assert same_average
        assert skipped == 1
        assert (path == results[0][3]).all()
