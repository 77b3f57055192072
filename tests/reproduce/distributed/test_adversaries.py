"""Votes with bad workers: exact probabilities, thresholds, and a run at the small size."""

import math

import numpy as np
import pytest

from signscope.reproduce.distributed import adversaries
from signscope.reproduce.distributed.adversaries import crossing, resting_distance, right_votes, tolerated


@pytest.mark.parametrize(("voters", "right", "tie"), [(3, 0.648, 0), (5, 0.68256, 0), (15, 0.786897, 0),
                                                      (4, 0.4752, 0.3456), (8, 0.594086, 0.232243)])  # fmt: skip
def test_honest_votes_are_those_of_the_table(voters, right, tie):
    assert right_votes(voters, 0, 0.6, kind="lies") == pytest.approx(right + tie / 2, abs=1e-6)


def test_thresholds_of_the_specification():
    assert [round(100 * tolerated(p)) for p in (0.55, 0.6, 0.9)] == [9, 17, 44]


@pytest.mark.parametrize("accuracy", [0.55, 0.6, 0.9])
def test_the_exact_majority_becomes_a_coin_at_the_threshold(accuracy):
    """4,000 voters; liars at 1 - 1/(2p), flippers at one half."""
    for kind, limit in (("lies", tolerated(accuracy)), ("flips", 0.5)):
        low, high = (right_votes(4000, round(4000 * (limit + gap)), accuracy, kind=kind) for gap in (-0.05, 0.05))
        assert low > 0.5 > high
        assert right_votes(4000, round(4000 * limit), accuracy, kind=kind) == pytest.approx(0.5, abs=0.03)


def test_votes_by_drawing():
    rng = np.random.default_rng(0)
    honest, flipped = rng.random((200_000, 7)) < 0.7, rng.random((200_000, 4)) < 0.3
    right = (np.hstack([honest, flipped]).sum(1) > 5.5).mean()
    exact = right_votes(11, 4, 0.7, kind="flips")
    assert abs(right - exact) <= 4.5 * math.sqrt(exact * (1 - exact) / 200_000)
    assert abs(right - right_votes(11, 4, 0.7, kind="lies")) > 0.1  # teeth


def test_liars_and_honest_workers_balance_at_the_resting_distance():
    from scipy.stats import norm

    for share in (0.1, 0.3, 0.45):
        assert (1 - share) * norm.cdf(resting_distance(share, 2.0) / 2.0) == pytest.approx(0.5)
    assert resting_distance(0.0, 1.0) == 0


def test_crossings_are_interpolated():
    rows = [{"share": s, "right": r} for s, r in ((0.0, 0.9), (0.1, 0.6), (0.2, 0.4), (0.3, 0.1))]
    assert crossing(rows) == pytest.approx(0.15)
    assert math.isnan(crossing(rows[:2]))


@pytest.mark.slow
def test_small_size_matches_and_writes(tmp_path):
    report = adversaries.run(tmp_path, size="small")
    assert report.verdict == "matched", report.text
    assert [path.name for path in report.files] == ["jiang2024-adversaries.png", "numbers.csv", "report.json"]


@pytest.mark.slow
def test_full_size_matches():
    report = adversaries.run()
    assert report.verdict == "matched", report.text
