"""Schedules: shapes of time, break-points, and what is refused."""

import json

import numpy as np
import pytest
import torch

from signscope import InvalidInput
from signscope.schedules import (
    BatchPlan,
    Constant,
    Cosine,
    Function,
    Linear,
    PiecewiseConstant,
    PiecewiseLinear,
    WarmupStableDecay,
    as_schedule,
)

TIME = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 9.0], dtype=torch.float64)

ROWS = [
    (Constant(0.5), [0.5] * 6, ()),
    (Linear(0.4, 4.0), [0.4, 0.3, 0.2, 0.1, 0.0, 0.0], (4.0,)),
    (Linear(0.4, 4.0, final=0.2), [0.4, 0.35, 0.3, 0.25, 0.2, 0.2], (4.0,)),
    (Cosine(1.0, 4.0), [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0.0, 0.0], (4.0,)),
    (WarmupStableDecay(1.0, 4.0, warmup=2.0, decay=1.0), [0.0, 0.5, 1.0, 1.0, 0.0, 0.0], (2.0, 3.0, 4.0)),
    (PiecewiseConstant((0.0, 1.0, 3.0), (3.0, 2.0, 1.0)), [3.0, 2.0, 2.0, 1.0, 1.0, 1.0], (1.0, 3.0)),
]


@pytest.mark.parametrize(("schedule", "values", "kinks"), ROWS, ids=lambda v: type(v).__name__)
def test_values_and_kinks(schedule, values, kinks):
    torch.testing.assert_close(schedule(TIME), torch.tensor(values, dtype=torch.float64), rtol=1e-14, atol=1e-16)
    assert schedule.breakpoints == kinks
    assert schedule.initial == values[0]
    assert schedule.describe()["schedule"] == type(schedule).__name__


def test_numbers_functions_and_schedules_are_taken():
    assert as_schedule(0.3, who="f") == Constant(0.3)
    assert isinstance(as_schedule(lambda t: 0.1 + t, who="f"), Function)
    assert as_schedule(ROWS[1][0], who="f") is ROWS[1][0]
    assert float(Function(lambda t: 0.25)(TIME)[3]) == 0.25


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "fast", None, Constant(-0.1)])
def test_bad_rates_are_refused(bad):
    with pytest.raises(InvalidInput, match="f: `lr`"):
        as_schedule(bad, who="f")


def test_bad_schedules_are_refused():
    with pytest.raises(InvalidInput, match="exceeds the horizon"):
        WarmupStableDecay(1.0, 2.0, warmup=1.5, decay=1.0)
    for name in ("warmup", "decay"):
        for bad in (-1.0, float("nan")):
            with pytest.raises(InvalidInput, match=f"`{name}`"):
                WarmupStableDecay(1.0, 2.0, **{name: bad})
    with pytest.raises(InvalidInput, match="times starting at 0"):
        PiecewiseConstant((1.0,), (1.0,))
    with pytest.raises(InvalidInput, match="must increase"):
        PiecewiseConstant((0.0, 2.0, 2.0), (1.0, 1.0, 1.0))


def test_straight_lines_between_knots():
    schedule = PiecewiseLinear((0.0, 1.0, 3.0), (1.0, 2.0, 0.0))
    torch.testing.assert_close(schedule(TIME), torch.tensor([1, 2, 1, 0, 0, 0], dtype=torch.float64))
    assert schedule.breakpoints == (1.0, 3.0)
    assert float(PiecewiseLinear((0.0,), (0.5,))(TIME)[3]) == 0.5
    values = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    PiecewiseLinear((0.0, 1.0, 3.0), values)(torch.tensor([0.25, 2.0], dtype=torch.float64)).sum().backward()
    assert values.grad.tolist() == [0.75, 0.75, 0.5]
    with pytest.raises(InvalidInput, match="PiecewiseLinear: `times` must increase"):
        PiecewiseLinear((0.0, float("nan")), (1.0, 1.0))


@pytest.mark.parametrize(
    "schedule", [row[0] for row in ROWS] + [PiecewiseLinear((0.0, 1.5), (0.3, 0.1))], ids=lambda s: type(s).__name__
)
def test_a_description_read_back_is_the_schedule(schedule):
    assert as_schedule(json.loads(json.dumps(schedule.describe())), who="f") == schedule


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "needs `schedule` out of Constant, Linear"),
        ({"schedule": "Function", "function": "f"}, "got 'Function'"),
        ({"schedule": "Linear", "lr": 0.1}, "not a description of a Linear schedule"),
        ({"schedule": "Linear", "lr": 0.1, "horizon": 1, "power": 2}, "it has no 'power', only lr, horizon, final"),
        ({"schedule": "Constant", "lr": "fast"}, "not a description of a Constant schedule"),
        ({"schedule": "Constant", "lr": -1.0}, "`lr` is -1 at time 0"),
        ({"schedule": "PiecewiseLinear", "times": [0, 2, 1], "values": [1, 1, 1]}, "must increase"),
    ],
)
def test_bad_descriptions_are_refused(description, message):
    with pytest.raises(InvalidInput, match=message):
        as_schedule(description, who="f")


def trained(schedule, *, steps):
    """Rates that a torch optimizer used, with two parameter groups; the optimizer and its scheduler."""
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [w], "lr": 7.0 + i} for i, w in enumerate(weights)])
    scheduler = schedule.torch_scheduler(optimizer, dim=4)
    used = []
    for _ in range(steps):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return used, optimizer, scheduler


@pytest.mark.parametrize("schedule", [row[0] for row in ROWS], ids=lambda s: type(s).__name__)
def test_torch_uses_the_rate_over_dim(schedule):
    used, _, _ = trained(schedule, steps=18)
    expected = schedule(torch.arange(18, dtype=torch.float64) / 4) / 4
    assert used == [[rate, rate] for rate in expected.tolist()]


def test_a_torch_run_is_resumed_where_it_was():
    schedule = Linear(1.0, 4.0)
    whole, _, _ = trained(schedule, steps=10)
    first, optimizer, scheduler = trained(schedule, steps=6)
    saved, position = optimizer.state_dict(), scheduler.state_dict()
    assert "schedule" not in position
    again = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(2))]} for _ in range(2)], lr=1.0)
    fresh = schedule.torch_scheduler(again, dim=4)
    again.load_state_dict(saved)
    fresh.load_state_dict(position)
    second = []
    for _ in range(4):
        second.append([group["lr"] for group in again.param_groups])
        again.step()
        fresh.step()
    assert first + second == whole


@pytest.mark.parametrize("dim", [0, -1, 2.5, "many"])
def test_bad_torch_schedulers_are_refused(dim):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(InvalidInput, match="torch_scheduler: `dim`"):
        Constant(0.1).torch_scheduler(optimizer, dim=dim)
    with pytest.raises(InvalidInput, match="`optimizer` must be torch's"):
        Constant(0.1).torch_scheduler([optimizer], dim=1)


LINES = PiecewiseLinear((0.0, 1.5), (0.3, 0.1))
EVERY = [
    *(row[0] for row in ROWS),
    LINES,
    Function(lambda t: 0.1 + t),
    BatchPlan((0.0, 1.0), (0.5, 0.3), (1, 8), 2.0).lr,
]


@pytest.mark.parametrize("schedule", EVERY, ids=lambda s: type(s).__name__)
def test_times_may_be_plain_numbers(schedule):
    wanted = schedule(TIME)
    for time, rate in zip(TIME.tolist(), wanted, strict=True):
        for given in (time, int(time), np.float32(time)):
            found = schedule(given)
            assert found.dtype == torch.float64
            assert found.ndim == 0
            assert found == rate
    for given in (TIME.tolist(), TIME.numpy(), TIME.numpy().astype(int), TIME.long()):
        assert torch.equal(schedule(given), wanted)
    assert torch.equal(schedule(time=9), wanted[-1])
    assert schedule(TIME.float()).dtype == torch.float32
    with pytest.raises(InvalidInput, match="`time` must be a number or an array of numbers, got 'soon'"):
        schedule("soon")


def test_gradients_reach_the_time():
    time = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    Linear(0.4, 4.0)(time).sum().backward()
    assert time.grad.tolist() == pytest.approx([-0.1, -0.1])


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_pieces_may_be_lists_arrays_and_tensors(kind):
    constant = PiecewiseConstant(kind([0.0, 1.0, 3.0]), kind([3.0, 2.0, 1.0]))
    assert constant.breakpoints == (1.0, 3.0)
    assert constant(TIME).tolist() == ROWS[-1][1]
    assert json.dumps(constant.describe())
    plan = BatchPlan(kind([0.0, 1.0]), kind([0.5, 0.25]), kind([1, 8]), np.float32(2.0))
    assert plan == BatchPlan((0.0, 1.0), (0.5, 0.25), (1, 8), 2.0)
    assert json.dumps(plan.describe())
    assert json.dumps(Linear(np.float32(0.5), np.float32(2.0)).describe())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PiecewiseConstant(0.0, (1.0,)), "PiecewiseConstant: `times` must be a list of numbers, got 0.0"),
        (lambda: PiecewiseLinear((0.0,), torch.tensor(1.0)), "PiecewiseLinear: `values` must be a list of numbers"),
        (lambda: BatchPlan((0.0,), (0.5,), 8, 2.0), "BatchPlan: `batch_sizes` must be a list of numbers, got 8"),
        (lambda: Linear([0.1, 0.2], 4.0), r"Linear: `lr` must be a number, got \[0.1, 0.2\]"),
        (lambda: Cosine(0.1, 4.0, np.zeros(2)), "Cosine: `final` must be a number"),
        (lambda: WarmupStableDecay("fast", 4.0), "WarmupStableDecay: `lr` must be a number, got 'fast'"),
    ],
)
def test_bad_pieces_are_named(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_a_plan_as_a_rate_is_told_what_to_pass():
    plan = BatchPlan(tuple(range(50)), (0.5,) * 50, (1,) * 50, 50.0)
    with pytest.raises(InvalidInput, match=r"^f: `lr` must be .* got a BatchPlan\. Pass its rates, `plan\.lr`\.$"):
        as_schedule(plan, who="f")
