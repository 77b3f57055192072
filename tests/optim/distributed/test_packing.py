"""Bits go there and back; votes on packed words are the counts of the votes; Q is unbiased."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope._core.private_stream import SERVER, private_stream
from signscope.optim.distributed import method, options, packing
from signscope.optim.distributed.buckets import make_buckets
from signscope.rules.compression import block_stochastic_sign, stochastic_sign

BITS = st.lists(st.booleans(), min_size=1, max_size=40).map(lambda b: (b * 64)[: 64 * (1 + len(b) // 8)])


@settings(deadline=None, max_examples=40)
@given(bits=BITS)
def test_packed_and_unpacked_is_the_same(bits):
    positive = torch.tensor(bits)
    packed = packing.pack(positive)
    assert packed.dtype == torch.uint8
    assert len(packed) == len(bits) // 8
    assert packed[0] == sum(1 << i for i in range(8) if bits[i])  # little-endian bit order
    assert torch.equal(packing.unpack(packed), positive)
    out = torch.empty(len(bits), dtype=torch.float64)
    packing.unpack_signs(packed, out, length=0.3)
    assert out.tolist() == [0.3 if bit else -0.3 for bit in bits]


@pytest.mark.parametrize("length", [8, 2**18, 2**18 + 64])
def test_signs_at_the_borders_of_pieces(length):
    values = torch.randn(length, generator=torch.Generator().manual_seed(0))
    values[::5] = 0
    for step in (0, 1):
        packed = packing.pack_signs(values, zero=packing.parity(step))
        parity = (torch.arange(length) + step) % 2 == 1
        assert torch.equal(packing.unpack(packed), (values > 0) | ((values == 0) & parity))
    given_bits = torch.randint(256, (length // 8,), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    packed = packing.pack_signs(values, zero=given_bits)
    assert torch.equal(packing.unpack(packed), (values > 0) | ((values == 0) & packing.unpack(given_bits)))


def test_the_road_of_other_devices_gives_the_same_bits(monkeypatch):
    """On the CPU tensors claim to lie elsewhere, so that the torch operations run."""
    gen = torch.Generator().manual_seed(0)
    values, bits = torch.randn(640, generator=gen), torch.randint(2, (640,), generator=gen).bool()
    values[::7] = 0
    here = [packing.pack(bits), packing.pack_signs(values, zero=0x55)]
    signs = packing.unpack_signs(here[1], torch.empty(640), length=0.1)

    class Elsewhere(torch.Tensor):
        is_cpu = False

    def there(tensor):
        return tensor.as_subclass(Elsewhere)

    packed = packing.pack(there(bits))
    assert (packed == here[0]).all()
    assert (packing.pack_signs(there(values), zero=0x55) == here[1]).all()
    assert (packing.unpack_signs(there(here[1]), torch.empty(640), length=0.1) == signs).all()


@pytest.mark.parametrize("voters", range(1, 9))
@pytest.mark.parametrize("byte", [packing.EVEN, packing.ODD])
def test_votes_are_counts(voters, byte):
    gen = torch.Generator().manual_seed(voters)
    bits = torch.randint(2, (voters, 192), generator=gen).bool()
    ballots = torch.stack([packing.pack(row) for row in bits])
    total = 2 * bits.sum(0) - voters
    tie = packing.unpack(torch.full((24,), byte, dtype=torch.uint8))
    expected = (total > 0) | ((total == 0) & tie)
    assert torch.equal(packing.unpack(packing.vote(ballots, tie=byte)), expected)
    nonzero, positive = packing.vote_ternary(ballots)
    signs = packing.unpack_ternary(nonzero, positive, torch.empty(192))
    assert torch.equal(signs, total.sign().float())
    assert torch.equal(packing.count(ballots).long(), total)
    if voters % 2 == 0:
        assert (total == 0).any()  # ties occur, and half of them go either way
        assert not torch.equal(packing.vote(ballots, tie=0), packing.vote(ballots, tie=255))


def test_every_vote_of_seven_is_right():
    """All 128 ballots at once: no carry is lost."""
    bits = torch.tensor([[n >> k & 1 for n in range(128)] for k in range(7)]).bool()
    ballots = torch.stack([packing.pack(row) for row in bits])
    assert torch.equal(packing.unpack(packing.vote(ballots, tie=0)), bits.sum(0) >= 4)


def test_absent_voters_do_not_count():
    ballots = torch.stack([packing.pack(torch.full((64,), bool(b))) for b in (1, 0, 1)])
    assert (packing.count(ballots, present=torch.tensor([True, True, False])) == 0).all()


def test_wrong_lengths_are_refused():
    with pytest.raises(InvalidInput, match="multiple of 8, got 9"):
        packing.pack(torch.ones(9, dtype=torch.bool))
    with pytest.raises(InvalidInput, match="multiple of 8, got 9"):
        packing.pack_signs(torch.ones(9), zero=0)
    with pytest.raises(InvalidInput, match="at most 127"):
        packing.count(torch.zeros(128, 8, dtype=torch.uint8))


# --- compression ------------------------------------------------------------------------------------------------------


def test_q_is_unbiased_with_the_variance_of_its_blocks():
    gen = torch.Generator().manual_seed(0)
    v = torch.tensor([0.5, -0.2, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 3.0, -3.0, 1.0, 0.1], dtype=torch.float64)
    many, num = v.repeat(20_000), 20_000
    bits, scales = block_stochastic_sign(many, torch.rand(len(many), generator=gen, dtype=torch.float64), block_size=4)
    sent = torch.where(bits, 1.0, -1.0).double().view(-1, 4) * scales[:, None]
    sample = sent.view(num, 12)
    stderr = sample.std(0) / num**0.5
    assert ((sample.mean(0) - v).abs() <= 4.5 * stderr).all()
    assert (sample[:, 4:8] == 0).all()  # Q(0) = 0
    for block, rows in zip(v.split(4), (sample - v).split(4, dim=1), strict=True):
        expected = 4 * block.abs().max() ** 2 - block.square().sum()  # b rho^2 - |v|^2
        errors = rows.square().sum(1)
        assert abs(errors.mean() - expected) <= 4.5 * errors.std() / num**0.5 + 1e-12
        assert expected <= 3 * block.square().sum() + 1e-12
    with pytest.raises(AssertionError):  # teeth: the plain scaled sign is biased
        assert ((torch.sign(v) - v).abs() <= 4.5 * stderr).all()


def test_a_sign_at_or_beyond_the_radius_is_certain():
    uniforms = torch.tensor([0.0, 0.5, 1 - 2**-24])
    assert stochastic_sign(torch.full((3,), 2.0), 2.0, uniforms).all()
    assert not stochastic_sign(torch.full((3,), -5.0), 2.0, uniforms).any()
    assert not stochastic_sign(torch.zeros(3), torch.zeros(3), uniforms).any()  # to be scaled by 0
    assert stochastic_sign(torch.zeros(3), 1.0, uniforms).tolist() == [True, False, False]


def test_packing_is_numpys():
    values = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    ours = packing.pack_signs(torch.from_numpy(values), zero=0).numpy()
    assert (ours == np.packbits(values > 0, bitorder="little")).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("server", [False, True])
def test_signs_drawn_in_pieces_are_those_of_one_draw(monkeypatch, dtype, server):
    values = torch.randn(1920, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    (bucket,) = make_buckets([values], num_workers=2, block_size=24, bucket_size=2000)
    now = method.Round(options.Options(seed=4), 1, 2, 7, bucket, 3, [0.5, 0.5], 0.1)
    stream = private_stream(4, SERVER + 1 if server else 1, 7, 3)
    whole, scales = block_stochastic_sign(values, torch.rand(1920, generator=stream, dtype=dtype), block_size=24)
    for size in (192, 500, 2**17):
        monkeypatch.setattr(method, "STRETCH", size)
        drawn, own = now.draw(values, partial(block_stochastic_sign, block_size=24), server=server)
        assert torch.equal(drawn, packing.pack(whole))
        assert torch.equal(own, scales)
