"""The voting hook under DDP: right votes in every mode, exchanges beside the backward pass, state that is not lost."""

import numpy as np
import pytest

from helpers import ddp_jobs as jobs
from helpers.processes import launch

pytestmark = pytest.mark.multiproc


@pytest.mark.parametrize(
    ("momentum", "tie", "how"),
    [
        (0.0, "ternary", "plain"),
        (0.9, "parity", "many buckets"),
        (0.9, "parity", "static graph"),
        (0.0, "ternary", "accumulation"),
    ],
)
def test_ddp_with_the_hook_follows_the_votes(momentum, tie, how):
    results = launch(jobs.votes, 2, how, 3, {"momentum": momentum, "tie": tie})
    averages = [None, None]
    for step, (local, _) in enumerate(results[0][0]):
        for j in range(2):
            old = averages[j]
            averages[j] = local[j] if old is None else np.float32(momentum) * old + np.float32(1 - momentum) * local[j]
        total = np.sign(averages[0]) + np.sign(averages[1])
        for seen, _, _, _ in results:
            voted = seen[step][1]
            clear = (total != 0) & (np.minimum(*np.abs(averages)) > 1e-6)
            assert (voted[clear] == np.sign(total[clear])).all()
            assert set(np.unique(voted)) <= ({-1.0, 0.0, 1.0} if tie == "ternary" else {-1.0, 1.0})
    assert np.array_equal(results[0][1], results[1][1])
    assert results[0][2] > 0


def test_buckets_are_rebuilt_and_travel_while_backward_goes_on():
    results = launch(jobs.votes, 2, "many buckets", 3, {"momentum": 0.9})
    for _, _, _, calls in results:
        passes, now = [], []
        for call in calls:
            now.append(call)
            if call[1]:
                passes.append(now)
                now = []
        assert len(passes) == 3
        orders = [[name for params, _, _ in one for name in params] for one in passes]
        assert orders[0] != orders[1], "DDP did not rebuild its buckets: the test shows nothing"
        assert all(len(one) > 2 for one in passes[1:])
        for one in passes:  # votes of all buckets but the last were under way when the hook returned
            assert [done for _, _, done in one] == [False] * (len(one) - 1) + [True]


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "tie": "ternary"}])
def test_a_saved_state_goes_on_bit_for_bit(options):
    for same, forgotten in launch(jobs.continued, 2, options):
        assert same
        assert not forgotten  # teeth: without the averages the run is another one


def test_an_infinite_gradient_spoils_its_bucket_on_all_ranks_and_no_average():
    results = launch(jobs.not_finite, 2)
    assert results[0] == results[1]
    spoilt, partly, moved = results[0]
    assert spoilt == partly
    assert "middle.bias" in spoilt
    assert "last.weight" not in spoilt
    assert set(moved).isdisjoint(spoilt)
    assert "last.weight" in moved


def test_a_damaged_message_is_an_error_where_it_arrived():
    first, second = launch(jobs.one_flips, 2)
    assert first == ("", False)
    assert "vote_hook: rank 1 of 2 received other bits than rank 0 sent in step 1 (all-gather)" in second[0]
    assert second[1]


def test_states_that_do_not_fit_are_refused():
    for messages, averages, steps in launch(jobs.refused, 2):
        assert "was given the checkpoint of rank" in messages[0]
        assert "momentum 0.5, this state 0.9" in messages[1]
        assert "other parameters" in messages[2]
        assert "vote_hook: options of rank 1 differ" in messages[3]
        assert (averages, steps) == (0, 7)
