"""The compiled passes give the bits and numbers of the NumPy ones, whatever lies in memory."""

import sys

import numpy as np
import pytest
import torch

from signscope.optim import distributed
from signscope.optim.distributed import packing, passes

kernels = pytest.importorskip("signscope.optim.distributed.kernels", reason="numba is not installed (extra `fast`)")
KINDS = ["float32", "float64"]
ZEROS = [np.array([packing.EVEN], np.uint8), np.array([packing.ODD], np.uint8), None]  # None: a byte for each eight


def numbers(size, kind, *, seed=0):
    """Normal numbers with both zeros, numbers next to zero and very large ones among them."""
    values = np.random.default_rng(seed).normal(size=size).astype(kind)
    values[::5], values[1::11], values[2::13] = 0, -0.0, -np.finfo(kind).tiny / 4
    values[3::17] = np.finfo(kind).max
    return values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", ZEROS)
def test_signs_and_averages(kind, zeros):
    values = numbers(8 * 40, kind)
    zeros = np.random.default_rng(1).integers(256, size=40, dtype=np.uint8) if zeros is None else zeros
    ours, theirs = np.empty(40, np.uint8), np.empty(40, np.uint8)
    for check in (True, False):
        assert kernels.pack(values, zeros, ours, check)
        assert passes.pack(values, zeros, theirs, check)
        assert (ours == theirs).all()
    first, second = numbers(320, kind, seed=2), numbers(320, kind, seed=2)
    kernels.average_and_pack(first, values, 0.9, 0.1, zeros, ours)
    passes.average_and_pack(second, values, 0.9, 0.1, zeros, theirs)
    assert (first.view(np.uint8) == second.view(np.uint8)).all()
    assert (ours == theirs).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 7, 8, 63])
def test_what_is_not_finite_is_seen(kind, bad, place):
    values, out, zeros = numbers(64, kind), np.empty(8, np.uint8), ZEROS[0]
    values[place] = bad
    for module in (kernels, passes):
        assert not module.pack(values, zeros, out, True)
        assert module.pack(values, zeros, out, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [64, 61, 5])
@pytest.mark.parametrize("kept", [1.0, 0.999])
def test_steps(kind, size, kept):
    bits = np.random.default_rng(0).integers(256, size=-(-size // 8), dtype=np.uint8)
    ours, theirs = numbers(size, kind), numbers(size, kind)
    kernels.step(ours, bits, 1e-3, kept)
    passes.step(theirs, bits, 1e-3, kept)
    assert (ours.view(np.uint8) == theirs.view(np.uint8)).all()
    if size % 8 == 0:
        kernels.unpack(bits, ours, 0.3)
        passes.unpack(bits, theirs, 0.3)
        assert (ours == theirs).all()


@pytest.mark.parametrize("voters", [1, 2, 3, 4, 7, 8, 127])
@pytest.mark.parametrize("tie", [0, packing.ODD, None])  # None: bits of their own
def test_votes(voters, tie, monkeypatch):
    gen = torch.Generator().manual_seed(voters)
    size = 8 * (kernels.WORDS + 5)
    ballots = torch.randint(256, (voters, size), generator=gen, dtype=torch.uint8)
    tie = torch.randint(256, (size,), generator=gen, dtype=torch.uint8) if tie is None else tie
    monkeypatch.setattr(packing, "_compiled", lambda size: None)
    in_torch = packing.vote(ballots, tie=tie)
    monkeypatch.setattr(packing, "_compiled", lambda size: kernels)
    assert torch.equal(packing.vote(ballots, tie=tie), in_torch)
    assert torch.equal(packing.vote(ballots, tie=tie, out=ballots[-1]), in_torch)


def test_long_tensors_load_them():
    assert packing.passes_for(packing.WORTH) is kernels
    assert packing.passes_for(1) is kernels  # now that they are there


@pytest.mark.parametrize("why", ["absent", "told not to compile"])
def test_without_numba_numpy_does_it(why, monkeypatch):
    import numba

    if why == "absent":
        monkeypatch.delitem(sys.modules, kernels.__name__)
        monkeypatch.delattr(distributed, "kernels")
        monkeypatch.setitem(sys.modules, "llvmlite", None)
    else:
        monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    packing._kernels.cache_clear()
    try:
        assert packing.passes_for(packing.WORTH) is passes
    finally:
        packing._kernels.cache_clear()
