"""The one-dimensional search, on functions whose minimum is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signscope.comparison.search import cubic_minimum, minimize_scalar, vertex


def lopsided(x):
    """Minimum at 0; steep to the right, as risks are near a stability limit."""
    return math.exp(2 * x) - 2 * x


def test_vertex_of_a_parabola_is_exact():
    xs = [-1.0, 0.5, 2.0]
    assert vertex(xs, [(x - 0.3) ** 2 + 7 for x in xs]) == pytest.approx(0.3)


@pytest.mark.parametrize("ys", [[1.0, 1.0, 1.0], [math.inf, 1.0, 2.0], [1.0, 2.0, 3.0]])
def test_vertex_stays_at_the_middle_where_there_is_no_minimum_between(ys):
    assert vertex([0.0, 1.0, 2.0], ys) == 1.0


def test_minimum_of_a_cubic_is_exact():
    xs = [0.0, 0.4, 0.5, 1.0]
    assert cubic_minimum(xs, [x**3 - 0.75 * x for x in xs]) == pytest.approx(0.5)
    assert cubic_minimum(xs, [1.0, 0.5, 0.7, math.inf]) is None
    assert cubic_minimum(xs, xs) is None


@given(st.floats(-8, 8))
def test_minimum_is_found_from_far_and_near(start):
    found = minimize_scalar(lopsided, start)
    assert abs(found.x) <= 0.02
    assert not found.at_edge


def test_a_good_guess_costs_few_evaluations():
    assert minimize_scalar(lopsided, 0.2).evaluations <= 8


def test_a_minimum_beyond_the_edge_ends_at_the_edge():
    found = minimize_scalar(lopsided, -2.0, upper=-0.3)
    assert found.at_edge
    assert found.x == pytest.approx(-0.3, abs=0.01)


def test_infinite_values_on_the_right_are_walked_away_from():
    found = minimize_scalar(lambda x: lopsided(x) if x < 0.4 else math.inf, 3.0)
    assert abs(found.x) <= 0.02


def test_a_function_that_falls_forever_is_reported():
    assert minimize_scalar(lambda x: -x, 0.0).at_edge
