"""The hard problems: functions with the constants they claim, runs that attain what is stated."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.bounds import Constants, sgd_lower_at, signsgd_bound
from signscope.bounds.instances import (
    Embedded,
    Groove,
    Quadratic,
    follow,
    hard_signsgd,
    sharp_coordinates,
    slow_sgd,
    stuck_sgd,
)

UNIT = Constants(1.0, 1.0, 1.7, dim=3, noise_l2=math.sqrt(1.29))


@given(slope=st.floats(0.1, 2), smooth=st.floats(0.1, 5), ratio=st.floats(0.2, 9), cells=st.integers(0, 4))
@settings(deadline=None, max_examples=25)
def test_a_groove_has_its_slope_smoothness_and_drop(slope, smooth, ratio, cells):
    h = ratio * slope / smooth
    groove = Groove([slope], smoothness=[smooth], spacing=[h], num_cells=cells)
    grid = torch.arange(cells + 1, dtype=torch.float64)[:, None] * h
    torch.testing.assert_close(groove.gradient(grid), torch.full_like(grid, -slope), rtol=1e-9, atol=1e-12)
    x = torch.linspace(-h, (cells + 1) * h + 2 * slope / smooth, 4001, dtype=torch.float64)[:, None]
    value, grad, step = groove.value(x), groove.gradient(x)[:, 0], float(x[1, 0] - x[0, 0])
    assert float(torch.diff(grad).abs().max()) <= smooth * step * (1 + 1e-6)
    trapezium = (grad[1:] + grad[:-1]) / 2 * step
    torch.testing.assert_close(torch.diff(value), trapezium, rtol=0, atol=smooth * step**2)
    right = x[:, 0] >= 0
    assert -float(value[right].min()) == pytest.approx(groove.constants.initial_gap, abs=smooth * step**2 + 1e-12)
    printed = cells * max(0.0, h * slope - smooth * h**2 / 4) * (ratio < 4) + slope**2 / (2 * smooth)
    assert groove.constants.initial_gap == pytest.approx(printed, rel=1e-9)
    if ratio >= 4:
        assert float(grad.abs().max()) <= slope * (1 + 1e-9)


def test_the_oracle_is_unbiased_with_the_stated_variance():
    groove = Groove([0.3, 0.2], smoothness=[1, 1], spacing=[1, 1], noise=[0.6, 0.1], num_cells=2)
    at = torch.zeros(1, 2, dtype=torch.float64)
    sample = groove.draw(stream(0, "oracle"), 40_000)
    found = groove.sampled(at.expand(40_000, 2), sample)
    error = (found.mean(0) - groove.gradient(at)[0]).abs()
    assert bool((error <= 4.5 * found.std(0) / 200).all())
    exact = (found.abs().amax(0) - groove.slope).square() * groove.awake + groove.slope**2 * (1 - groove.awake)
    torch.testing.assert_close(exact, groove.noise**2, rtol=1e-12, atol=1e-12)
    half = groove.sampled(at.expand(40_000, 2), groove.draw(stream(1, "oracle"), 40_000, batch_size=4))
    torch.testing.assert_close(half.std(0), groove.noise / 2, rtol=0.05, atol=0)


def test_stuck_sgd_has_the_printed_value_on_every_path():
    stuck = stuck_sgd(UNIT, lr=0.05, noise=[1, 0.5, 0.2])
    norms = follow(stuck, "sgd", lr=0.05, num_steps=500, num_runs=8)
    assert stuck.stated == pytest.approx(0.126984, abs=5e-7)
    assert float((norms - stuck.stated).abs().max()) < 1e-13
    assert sgd_lower_at(UNIT, lr=0.05, num_steps=500)[0] == pytest.approx(stuck.stated, rel=1e-12)
    assert stuck.constants.initial_gap == pytest.approx(0.05 * 1.29 / 8)
    assert stuck.constants.smoothness == pytest.approx(1)
    moved = follow(stuck, "sgd", lr=0.035, num_steps=500, num_runs=8)  # teeth: off its grid SGD is not stuck
    assert float((moved - stuck.stated).abs().max()) > 0.01


@pytest.mark.parametrize(("lr", "batch_size"), [(0.4, 7), (3.0, 1), (30.0, 2), (4.0, 1)])
def test_stuck_sgd_stays_in_the_class_at_any_step(lr, batch_size):
    known = Constants(0.3, 1.0, 1.7, dim=3, noise_l2=math.sqrt(1.29))
    stuck = stuck_sgd(known, lr=lr, batch_size=batch_size, noise=[1, 0.5, 0.2])
    assert stuck.constants.initial_gap <= known.initial_gap * (1 + 1e-12)
    assert stuck.constants.smoothness == pytest.approx(1)
    assert stuck.stated == pytest.approx(sgd_lower_at(known, lr=lr, num_steps=9, batch_size=batch_size)[0])
    norms = follow(stuck, "sgd", lr=lr, num_steps=60, batch_size=batch_size, num_runs=4)
    assert float((norms / stuck.stated - 1).abs().max()) < 1e-9


def test_slow_sgd_has_the_printed_value_at_every_point():
    known = Constants(1.0, 1.0, dim=50)
    slow = slow_sgd(known, lr=0.05, num_steps=400)
    norms = follow(slow, "sgd", lr=0.05, num_steps=400)
    assert slow.stated == pytest.approx(1.054679, abs=5e-7)
    assert float((norms - slow.stated).abs().max()) < 1e-13
    assert slow.constants.initial_gap == pytest.approx(1)
    later = follow(slow, "sgd", lr=0.05, num_steps=430)
    assert float(later[-1]) < 0.99 * slow.stated  # the gap is used up at T


@pytest.mark.parametrize("lr", [0.003, 0.1, 0.5, 3.0, 6.0])
def test_hard_signsgd_without_noise_is_attained_on_every_path(lr):
    known, steps = Constants(1.0, 1.0), 40
    hard = hard_signsgd(known, lr=lr, num_steps=steps, noise=[3, 1])
    norms = follow(hard, "signsgd", lr=lr, num_steps=steps)
    assert hard.constants.initial_gap <= 1 + 1e-12
    assert hard.constants.smoothness == pytest.approx(1)
    assert float(norms.min()) == pytest.approx(hard.stated, rel=1e-11)
    assert math.sqrt(1 / (steps - 0.5)) <= hard.stated <= known.ceiling * (1 + 1e-12)
    assert hard.stated <= signsgd_bound(known, lr=lr, num_steps=steps)


@pytest.mark.parametrize(("lr", "batch_size"), [(0.02, 1), (0.1, 3), (0.5, 1)])
def test_hard_signsgd_with_noise_has_the_stated_mean(lr, batch_size):
    known, steps, runs = Constants(1.0, 1.0, 2.0, dim=2), 60, 3000
    hard = hard_signsgd(known, lr=lr, num_steps=steps, batch_size=batch_size, noise=[1.5, 0.5])
    least = follow(hard, "signsgd", lr=lr, num_steps=steps, batch_size=batch_size, num_runs=runs).amin(0)
    assert abs(float(least.mean()) - hard.stated) <= 4.5 * float(least.std()) / runs**0.5 + 1e-12
    assert hard.constants.noise_l1 == pytest.approx(2)
    assert hard.constants.initial_gap <= 1 + 1e-12
    assert hard.stated <= signsgd_bound(known, lr=lr, num_steps=steps, batch_size=batch_size)
    fewer = hard_signsgd(known, lr=lr, num_steps=steps, batch_size=batch_size, num_cells=2)
    assert fewer.stated <= hard.stated


def test_muon_on_the_embedding_is_signsgd_step_by_step():
    inner = Quadratic([1.0, 0.3, 2.0], start=[1.0, -2.0, 0.5], noise=[0.4, 0.1, 0.0])
    vector = follow(inner, "signsgd", lr=0.013, num_steps=120, num_runs=2)
    matrix = Embedded(inner, columns=5)
    assert matrix.constants == inner.constants
    torch.testing.assert_close(
        follow(matrix, "muon", lr=0.013, num_steps=120, num_runs=2), vector, rtol=1e-10, atol=1e-11
    )
    torch.testing.assert_close(matrix.value(matrix.start[None]), inner.value(inner.start[None]))
    hard = hard_signsgd(Constants(1.0, 1.0, 2.0), lr=0.05, num_steps=40, noise=[1, 1])  # silent oracle: msign(0) = 0
    least = follow(Embedded(hard, columns=2), "muon", lr=0.05, num_steps=40, num_runs=4)
    torch.testing.assert_close(least, follow(hard, "signsgd", lr=0.05, num_steps=40, num_runs=4), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("method", ["sgd", "signsgd", "signum", "ssvr"])
def test_follow_is_the_loop_of_the_algorithm(method):
    """Typed again from the algorithm boxes, in numpy, on the samples that `follow` draws."""
    problem = Quadratic([1.0, 0.5], start=[1.0, 2.0], noise=[0.3, 0.7])
    rng, beta, lr = stream(5, "instances"), 0.3, 0.1
    x = old = np.array([1.0, 2.0])
    v, expected = np.zeros(2), []
    for step in range(12):
        expected.append(np.abs(np.array([1.0, 0.5]) * x).sum())
        first = step == 0 and method in ("signum", "ssvr")
        noise = problem.draw(rng, 1, batch_size=4 if first else 2)[0].numpy()
        g, g_old = np.array([1.0, 0.5]) * x + noise, np.array([1.0, 0.5]) * old + noise
        if step == 0 or method in ("sgd", "signsgd"):
            v = g
        else:
            v = (1 - beta) * v + beta * g if method == "signum" else g + (1 - beta) * (v - g_old)
        old, x = x, x - lr * (v if method == "sgd" else np.sign(v))
    found = follow(problem, method, lr=lr, num_steps=12, beta=beta, batch_size=2, init_batch=4, seed=5)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)


def test_every_option_of_follow_moves_the_path():
    problem = Quadratic([1.0, 0.5], start=[1.0, 2.0], noise=[3.0, 7.0])
    plain = {"lr": 0.1, "num_steps": 30, "beta": 0.3}
    base = follow(problem, "ssvr", **plain)
    for option in ({"lr": 0.11}, {"beta": 0.5}, {"batch_size": 2}, {"init_batch": 3}, {"seed": 1}):
        assert not torch.equal(base, follow(problem, "ssvr", **{**plain, **option}))
    assert torch.equal(base, follow(problem, "ssvr", **plain))
    both = follow(problem, "sgd", lr=torch.tensor([0.1, 0.2]), num_steps=3, num_runs=2)
    assert float(both[1, 0]) != float(both[1, 1])


def test_sharp_coordinates_have_the_density_they_were_asked_for():
    problem = sharp_coordinates(64, num_sharp=4, noise=1.0)
    assert problem.constants.noise_density == pytest.approx(4 / 64)
    assert problem.constants.smoothness == pytest.approx(1)
    assert problem.constants.noise_l2 == pytest.approx(1)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInput, match="without noise"):
        stuck_sgd(Constants(1.0, 1.0), lr=0.1)
    with pytest.raises(InvalidInput, match="needs `dim`"):
        slow_sgd(Constants(1.0, 1.0), lr=0.1, num_steps=3)
    with pytest.raises(InvalidInput, match="semidefinite"):
        Quadratic([[0.0, 1.0], [1.0, 0.0]], start=[1, 1])
    with pytest.raises(InvalidInput, match="separable"):
        Embedded(Quadratic([[1.0, 0.5], [0.5, 1.0]], start=[1, 1]), columns=3)
    with pytest.raises(InvalidInput, match="num_sharp"):
        sharp_coordinates(4, num_sharp=4)
    with pytest.raises(InvalidInput, match="method"):
        follow(sharp_coordinates(4), "adam", lr=0.1, num_steps=2)
