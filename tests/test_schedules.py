"""Schedules: shapes of time, break-points, and what is refused."""

import pytest
import torch

from signscope import InvalidInput
from signscope.schedules import (
    Constant,
    Cosine,
    Function,
    Linear,
    PiecewiseConstant,
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
    with pytest.raises(InvalidInput, match="times starting at 0"):
        PiecewiseConstant((1.0,), (1.0,))
    with pytest.raises(InvalidInput, match="must increase"):
        PiecewiseConstant((0.0, 2.0, 2.0), (1.0, 1.0, 1.0))
