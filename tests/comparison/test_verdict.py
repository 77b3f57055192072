"""The sentence of the verdict, for clear and unclear cases."""

import math

import pytest
import torch

from signscope.comparison.agreement import Gap
from signscope.comparison.conditions import Assumption
from signscope.comparison.entries import Entry
from signscope.comparison.judgement import judge
from signscope.curves import Curve

NO_GAP = Gap(math.nan, math.nan, math.nan, math.nan, None)
HOLDS = Assumption("dimension", 100.0, True, "")
BROKEN = Assumption("noise variance", None, False, "")


def entry(optimizer, final, stderr, *, rows="gaussian", status="ok"):
    two = torch.ones(2, dtype=torch.float64)
    common = {"time": torch.tensor([0.0, 5.0]).double(), "optimizer": optimizer, "lr": 0.1, "step_size": 0.001}
    simulation = Curve(value=two * final, stderr=two * stderr, num_runs=8, **common)
    prediction = Curve(value=two * final, **common)
    shown = None if status == "undefined" else simulation
    return Entry(optimizer, rows, 0.1, 0.001, False, prediction, shown, 0.0, 0.0, NO_GAP, NO_GAP, status, "")


def test_a_clear_winner_is_named_with_factor_error_and_z():
    verdict = judge([entry("sgd", 0.20, 0.002), entry("signsgd", 0.10, 0.001)], [HOLDS], horizon=5)
    assert verdict.winner == "signsgd"
    assert verdict.factor == pytest.approx(2.0)
    assert verdict.factor_stderr == pytest.approx(2 * math.hypot(0.01, 0.01))
    assert verdict.z == pytest.approx(0.1 / math.hypot(0.002, 0.001))
    assert verdict.text == (
        "signsgd wins on Gaussian rows: after 5 steps/dim its excess risk 0.1 is lower than sgd's by a factor of "
        "2.000 ± 0.028 (z = 44.7); all assumptions checked hold."
    )


def test_within_two_standard_errors_there_is_no_winner():
    verdict = judge([entry("sgd", 0.101, 0.002), entry("signsgd", 0.100, 0.002)], [BROKEN, HOLDS], horizon=5)
    assert verdict.winner is None
    assert verdict.text.startswith("No clear winner on Gaussian rows")
    assert "within 2 standard errors" in verdict.text
    assert verdict.text.endswith("1 of 2 checks does not hold (noise variance).")


def test_a_single_run_has_no_error_bar_and_no_winner():
    verdict = judge([entry("sgd", 0.2, math.nan), entry("adam", 0.1, math.nan)], [], horizon=5)
    assert verdict.winner is None
    assert "no error bar" in verdict.text


def test_the_data_rows_decide_where_there_are_any():
    entries = [
        entry("sgd", 0.1, 0.001),
        entry("sgd", 0.3, 0.001, rows="data"),
        entry("adam", 0.2, 0.001),
        entry("adam", 0.15, 0.001, rows="data"),
    ]
    verdict = judge(entries, [], horizon=5)
    assert verdict.winner == "adam"
    assert "the data's own rows" in verdict.text


def test_whoever_has_no_result_is_left_out_and_named():
    verdict = judge([entry("sgd", 0.1, 0.001, status="undefined"), entry("adam", 0.2, 0.001)], [], horizon=5)
    assert verdict.winner == "adam"
    assert "only one with a result" in verdict.text
    assert "sgd is undefined" in verdict.text
    three = [entry("sgd", 0.1, 0.001, status="diverged"), entry("adam", 0.2, 0.001), entry("signsgd", 0.4, 0.001)]
    assert "sgd is diverged" in judge(three, [], horizon=5).text


def test_nobody_with_a_result_is_said_too():
    verdict = judge([entry("sgd", 0.1, 0.1, status="undefined")], [], horizon=5)
    assert verdict.winner is None
    assert verdict.text.startswith("No optimizer reached the horizon")


def test_the_sentence_stays_short():
    broken = [Assumption(f"check {i}", 0.0, False, "") for i in range(6)]
    text = judge([entry("sgd", 0.2, 0.001), entry("adam", 0.1, 0.001)], broken, horizon=5).text
    assert text.endswith("6 of 6 checks do not hold (check 0, check 1, check 2 and 3 more).")


def test_a_given_rate_against_tuned_ones_is_said():
    entries = [entry("sgd", 0.2, 0.001), entry("adam", 0.1, 0.001), entry("signsgd", 0.3, 0.001)]
    text = judge(entries, [HOLDS], horizon=5, given=["sgd"]).text
    assert "; the rate was given for sgd and tuned for adam, signsgd; all" in text
    for given in ((), ("sgd", "adam", "signsgd")):
        assert "tuned" not in judge(entries, [HOLDS], horizon=5, given=given).text
