"""`gap` on curves made by hand, where every number is known."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope.comparison import gap
from signscope.curves import Curve


def curve(value, *, time=None, stderr=None, **more):
    value = torch.tensor(value, dtype=torch.float64)
    time = torch.arange(len(value), dtype=torch.float64) if time is None else torch.tensor(time, dtype=torch.float64)
    stderr = None if stderr is None else torch.tensor(stderr, dtype=torch.float64)
    return Curve(time=time, value=value, stderr=stderr, num_runs=4, **more)


def test_numbers_of_a_hand_made_gap():
    simulation = curve([8.0, 4.0, 2.0, 1.0], stderr=[0.0, 0.1, 0.1, 0.1])
    prediction = curve([99.0, 4.4, 1.9, 1.0])
    found = gap(prediction, simulation, dim=1000)
    assert found.mean == pytest.approx((0.1 + 0.05 + 0) / 3)  # time 0 is left out
    assert found.worst == pytest.approx(0.1)
    assert found.signed == pytest.approx((0.1 - 0.05) / 3)
    assert found.max_z == pytest.approx(4.0)
    assert found.first_disagreement is None  # 0.4 < 4.5 x 0.1 + 2/1000 x 4


def test_first_disagreement_counts_standard_errors_and_the_allowance():
    simulation = curve([8.0, 4.0, 2.0], stderr=[0.0, 0.1, 0.1])
    prediction = curve([8.0, 4.0, 2.5])
    assert gap(prediction, simulation, dim=1000).first_disagreement == 2.0
    assert gap(prediction, simulation, dim=20).first_disagreement is None  # 0.5 < 0.45 + 2/20 x 2
    scaled = curve([8.0, 4.0, 2.0], stderr=[0.0, 0.1, 0.1], lr=0.5, step_size=0.5 / 20)
    assert gap(prediction, scaled).first_disagreement is None  # dim read off lr / step_size


def test_prediction_is_interpolated_between_its_own_times():
    simulation = curve([3.0, 2.0, 1.0], stderr=[0.0, 0.1, 0.1])
    prediction = curve([3.0, 1.0], time=[0.0, 2.0])
    assert gap(prediction, simulation).worst == pytest.approx(0.0, abs=1e-15)


def test_the_end_of_the_prediction_serves_less_than_one_step_beyond_it():
    simulation = curve([3.0, 2.0, 1.0], time=[0.0, 1.0, 2.04], stderr=[0.0, 0.1, 0.1])
    prediction = curve([3.0, 2.0, 1.1], time=[0.0, 1.0, 2.0])
    assert gap(prediction, simulation, dim=20).worst == pytest.approx(0.1)
    assert gap(prediction, simulation, dim=1000).worst == pytest.approx(0.0, abs=1e-15)  # a step is 0.001 there


def test_without_standard_errors_there_is_no_z():
    found = gap(curve([1.0, 1.1]), curve([1.0, 1.0]))
    assert math.isnan(found.max_z)
    assert found.mean == pytest.approx(0.1)


@pytest.mark.parametrize("value", [[1.0, math.nan], [1.0, math.inf]])
def test_no_common_finite_value_is_nan(value):
    found = gap(curve(value), curve([1.0, 1.0], stderr=[0.0, 0.1]))
    assert math.isnan(found.mean)
    assert found.first_disagreement is None


def test_diverged_and_empty_times_are_left_out():
    simulation = curve([1.0, 1.0, math.inf], stderr=[0.0, 0.1, math.inf])
    assert gap(curve([1.0, 1.2, 5.0]), simulation).worst == pytest.approx(0.2)


@pytest.mark.parametrize(("name", "value"), [("time_unit", "steps"), ("quantity", "distance")])
def test_curves_of_other_units_are_refused(name, value):
    with pytest.raises(InvalidInput, match=name):
        gap(curve([1.0, 1.0]), curve([1.0, 1.0], **{name: value}))


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=20), st.floats(0.01, 100))
def test_relative_numbers_ignore_the_unit_of_risk(values, unit):
    simulation = curve(values, stderr=[0.1] * len(values))
    larger = curve([unit * v for v in values], stderr=[unit * 0.1] * len(values))
    prediction, scaled = curve([1.0] * len(values)), curve([unit] * len(values))
    one, other = gap(prediction, simulation, dim=50), gap(scaled, larger, dim=50)
    assert other.mean == pytest.approx(one.mean, rel=1e-9)
    assert other.max_z == pytest.approx(one.max_z, rel=1e-9)
    assert one.mean <= one.worst * (1 + 1e-12)
    assert abs(one.signed) <= one.mean * (1 + 1e-12)


def test_swapped_curves_are_refused():
    theory = replace(curve([1.0, 1.0]), num_runs=0)
    runs = curve([1.0, 1.1], stderr=[0.0, 0.1])
    assert gap(theory, runs).max_z == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match="swap them"):
        gap(runs, theory)
    assert gap(theory, theory).mean == 0  # two predictions may be compared, and two simulations
    assert gap(runs, runs).mean == 0
