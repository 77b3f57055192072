"""Checks at the public door: plain numbers are taken, messages stay on one line."""

import numpy as np
import pytest
import torch

from signscope import InvalidInput
from signscope._core import checks

LONG = list(range(200)), np.eye(9), torch.eye(9), {"a" * 50: "b\nc" * 50}
SEVERAL = [0.5, 1.0], np.array([0.5, 1.0]), torch.tensor([0.5, 1.0]), torch.tensor([1j]), None


@pytest.mark.parametrize("value", LONG, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize(
    "check",
    [
        lambda v: checks.finite("f", "x", v),
        lambda v: checks.integer("f", "x", v, minimum=1),
        lambda v: checks.one_of("f", "x", v, ("a", "b")),
        lambda v: checks.betas("f", v),
    ],
    ids=["finite", "integer", "one_of", "betas"],
)
def test_long_values_are_cut_to_one_short_line(check, value):
    with pytest.raises(InvalidInput, match=r"^f: ") as caught:
        check(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 150


def test_short_values_are_shown_whole():
    assert checks.shown("a" * 78) == repr("a" * 78)
    assert checks.shown("a" * 79) == "'" + "a" * 76 + "..."


@pytest.mark.parametrize("value", SEVERAL, ids=lambda v: type(v).__name__)
def test_several_numbers_are_not_one(value):
    with pytest.raises(InvalidInput, match="`x` must be a number"):
        checks.finite("f", "x", value)
    with pytest.raises(InvalidInput, match="`x` must be a whole number"):
        checks.integer("f", "x", value, minimum=0)


def test_tensors_that_require_gradients_are_numbers():
    assert checks.finite("f", "x", torch.tensor(0.5, requires_grad=True)) == 0.5
    assert checks.integer("f", "x", torch.tensor(2.0, requires_grad=True), minimum=1) == 2


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), [0.5, 1], np.array([[1, 2]]), torch.tensor([1, 2])])
def test_numbers_become_float64_tensors(value):
    found = checks.real("f", "x", value)
    assert found.dtype == torch.float64
    assert found.shape == np.shape(value)
    assert found.tolist() == np.asarray(value, dtype=float).tolist()


def test_tensors_of_floats_stay_as_they_are_and_arrays_are_copied():
    given, array = torch.tensor([0.5], requires_grad=True), np.array([0.5])
    assert checks.real("f", "x", given) is given
    (double,) = checks.doubles("f", x=given)
    assert double.dtype == torch.float64
    assert double.requires_grad
    array.flags.writeable = False
    checks.real("f", "x", array)[0] = 1.0
    assert array[0] == 0.5


@pytest.mark.parametrize("value", ["0.5", None, [[1, 2], [3]], [0.5, None], 1j, torch.tensor([1j]), object()])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidInput, match="f: `x` must be a number or an array of numbers, got"):
        checks.real("f", "x", value)


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), np.eye(2)], ids=lambda v: type(v).__name__)
def test_lists_are_flat(value):
    assert checks.numbers("f", "x", torch.tensor([0.5, 1.0])) == (0.5, 1.0)
    with pytest.raises(InvalidInput, match="f: `x` must be a list of numbers"):
        checks.numbers("f", "x", value)
