"""Streaming means and squared deviations: equal to two passes, exact where float32 sums of squares fail."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope.measure import gathering
from signscope.measure.layers import Layer
from signscope.measure.merging import add_part_, add_value_, merged, merged_and_left
from signscope.measure.state import GROUPS, GradientState


def streamed(values, weights, dtype=torch.float64):
    mean, m2 = torch.zeros(2, values.shape[1], dtype=dtype)
    total = 0.0
    for value, weight in zip(values, weights, strict=True):
        total += weight
        add_value_(mean, m2, value, weight=weight, total=total)
    return mean, m2, total


def two_pass(values, weights):
    mean = (weights[:, None] * values).sum(0) / weights.sum()
    return mean, (weights[:, None] * (values - mean) ** 2).sum(0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    weighted=st.booleans(),
)
def test_any_division_into_parts_gives_the_same(seed, cuts, weighted):
    rng = np.random.default_rng(seed)
    values = torch.as_tensor(rng.standard_normal((sum(cuts), 5)) * 3 + 7)
    weights = (
        torch.as_tensor(rng.uniform(0.5, 4, sum(cuts))) if weighted else torch.ones(sum(cuts), dtype=torch.float64)
    )
    mean, m2 = two_pass(values, weights)
    parts = [streamed(v, w.tolist()) for v, w in zip(values.split(cuts), weights.split(cuts), strict=True)]
    means, m2s = (torch.stack([p[i] for p in parts]) for i in (0, 1))
    totals = torch.tensor([p[2] for p in parts], dtype=torch.float64)
    left = merged_and_left(means, m2s, totals)
    for found in (merged(means, m2s, totals), (left.mean, left.m2), _chained(parts)):
        torch.testing.assert_close(found[0], mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[1], m2, rtol=1e-11, atol=1e-11)
    edges = np.cumsum([0, *cuts])
    for g in range(len(cuts)):
        kept = [i for i in range(sum(cuts)) if not edges[g] <= i < edges[g + 1]]
        mean, m2 = two_pass(values[kept], weights[kept])
        torch.testing.assert_close(left.left_mean[g], mean, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(left.left_m2[g], m2, rtol=1e-9, atol=1e-9)


def _chained(parts):
    mean, m2, total = (p.clone() if isinstance(p, torch.Tensor) else p for p in parts[0])
    for part_mean, part_m2, weight in parts[1:]:
        add_part_(mean, m2, part_mean=part_mean, part_m2=part_m2, part_weight=weight, weight=total)
        total += weight
    return mean, m2


def test_float32_sums_of_squares_fail_where_welford_does_not():
    n, dim, gen = 512, 2000, torch.Generator().manual_seed(0)
    values = 1000 + torch.randn(n, dim, generator=gen, dtype=torch.float64)
    truth = values.float().double().var(0)  # what is left after the gradient itself was rounded
    single = values.float()
    mean, m2, _ = streamed(single, [1.0] * n, dtype=torch.float32)
    naive = torch.zeros(2, dim)
    for value in single:
        naive += torch.stack([value, value**2])
    squares = ((naive[1] - naive[0] ** 2 / n) / (n - 1)).double()
    assert float(((m2.double() / (n - 1)) / truth - 1).abs().max()) < 1e-3
    assert float(mean.double().sub(values.mean(0)).abs().max()) < 1e-3
    assert float((squares <= 0).double().mean()) > 0.05  # teeth: a variance of 1 comes out as zero or negative
    assert float((squares / truth - 1).abs().median()) > 0.3


@pytest.mark.parametrize(("calls", "error"), [(0, RuntimeError), (1, RuntimeError), (3, KeyboardInterrupt)])
def test_a_merge_that_ends_half_way_leaves_nothing_that_looks_like_a_result(monkeypatch, calls, error):
    done = []

    def all_reduce(tensor, group):
        if len(done) == calls:
            raise error("the other process is gone")
        done.append(tensor.mul_(2))

    layer = Layer("w", torch.nn.Parameter(torch.zeros(3)), False, torch.arange(3))
    state = GradientState([layer])
    for place in range(2 * GROUPS):
        state.add([torch.randn(3, generator=torch.Generator().manual_seed(place))], weight=1.0, place=place)
    monkeypatch.setattr(gathering, "exchanged", lambda note, group: [note, note])
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    with pytest.raises(error, match="gone"):
        gathering.merge_(state, "group")
    assert state.num_gradients == 0
    assert state.rows == {}
    assert not any(bool(part.any()) for part in (state.weights, *state.sums))
    assert state.seen == [set()] * GROUPS
