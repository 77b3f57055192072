"""Brownian increments: standard normal, the same however they are cut, and coarsened exactly."""

import math

import pytest
import torch

from signscope.integrate.brownian import Normals, paths_per_stream

CPU = torch.device("cpu")


def source(paths, *, width=3, dtype=torch.float64, coarsen=1, name="brownian", seed=0, law=None):
    return Normals(seed, name, paths, width=width, dtype=dtype, device=CPU, coarsen=coarsen, law=law)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_standard_normal_and_paths_independent(dtype):
    draws = source(range(3000), dtype=dtype)
    x = torch.stack([draws.next().clone() for _ in range(20)]).double()  # 180,000 numbers
    assert abs(float(x.mean())) < 4.5 / math.sqrt(x.numel())
    assert abs(float(x.var()) - 1) < 4.5 * math.sqrt(2 / x.numel())
    assert abs(float((x[:, :-1] * x[:, 1:]).mean())) < 4.5 / math.sqrt(x.numel())
    assert abs(float((x[:-1] * x[1:]).mean())) < 4.5 / math.sqrt(x.numel())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_path_keeps_its_numbers_whoever_else_is_drawn(dtype):
    share = paths_per_stream(1000)
    assert share == 4
    whole, few = source(range(11), width=1000, dtype=dtype), source(range(5), width=1000, dtype=dtype)
    late = source(range(share, 11), width=1000, dtype=dtype)
    for _ in range(3):
        all_paths = whole.next().clone()
        assert torch.equal(all_paths[:5], few.next())
        assert torch.equal(all_paths[share:], late.next())


def test_coarse_increments_are_sums_of_fine_ones():
    fine, coarse = source(range(7)), source(range(7), coarsen=4)
    for _ in range(3):
        total = sum(fine.next().clone() for _ in range(4))
        torch.testing.assert_close(coarse.next(), total / 2, rtol=1e-15, atol=1e-15)


def test_names_and_seeds_give_other_numbers():
    first = source(range(2)).next().clone()
    assert not torch.equal(first, source(range(2), name="gradient").next())
    assert not torch.equal(first, source(range(2), seed=1).next())


def test_laws_draw_their_own_numbers():
    draws = source(range(5), law=lambda rng, size: rng.integers(0, 2, size).astype(float))
    assert set(draws.next().unique().tolist()) <= {0.0, 1.0}
