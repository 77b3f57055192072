"""`Ensemble`: what it shows of itself, and its arguments' messages."""

import numpy as np
import pytest

from signscope import InvalidInput
from signscope._core.errors import Unsupported
from signscope.problems.landscapes import DoubleWell, Quadratic
from signscope.schedules import BatchPlan
from signscope.sdes import expected, solve

RUN = {"optimizer": "sgd", "noise": 0.1, "lr": 0.1, "num_steps": 5}
PLAN = BatchPlan((0.0, 1.0), (0.5, 0.3), (1, 8), 2.0)


def test_an_ensemble_is_one_short_line():
    runs = solve(Quadratic([1.0, 2.0]), [1.0, 1.0], num_paths=4, observe={"x": lambda x: x[:, 0]}, **RUN)
    assert repr(runs) == f"Ensemble({runs.loss!r}, mean and variance (6, 2), observed x, notes: {len(runs.notes)})"
    assert "4 runs, 6 times to 0.5 lr*steps" in repr(runs)
    assert len(repr(runs)) < 200
    assert "observed" not in repr(expected(Quadratic([1.0, 2.0]), [1.0, 1.0], **RUN))


def test_an_ensemble_becomes_a_table():
    runs = solve(Quadratic([1.0, 2.0]), [1.0, 1.0], num_paths=4, **RUN)
    frame = runs.to_frame()
    assert list(frame) == ["time", "value", "stderr", "low", "high", "total_variance"]
    assert np.allclose(frame["time"], 0.1 * np.arange(6))
    assert (frame["value"] == runs.loss.value.numpy()).all()
    assert (frame["total_variance"] == runs.variance.sum(1).numpy()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": 0.5}, r"`schedule` must be a function of time \(lr\*steps\) or a Schedule, got 0.5"),
        ({"schedule": PLAN}, "`schedule` must be a function"),
        ({"times": 3}, "`times` must be a list of numbers, got 3"),
        ({"observe": lambda x: x[:, 0]}, "`observe` must map names to functions"),
        ({"device": 1.5}, "`device` 1.5 cannot be used"),
        ({"optimizer": np.array(["sgd", "adam"])}, "`optimizer` must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(InvalidInput, match=f"solve: {message}"):
        solve(Quadratic([1.0]), [1.0], num_paths=2, **{**RUN, **change})


def test_what_is_no_quadratic_is_told_where_one_is_found():
    with pytest.raises(Unsupported, match=r"not for DoubleWell\. .*signscope\.problems\.landscapes\.Quadratic"):
        expected(DoubleWell(dim=2), [1.0, 1.0], **RUN)
