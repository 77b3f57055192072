"""Workers that die, hang or lie: a clear error or a counted repair, never a silent wrong step."""

import numpy as np
import pytest
import torch

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from signscope.optim.distributed import faults
from signscope.optim.distributed.faults import row_sums

pytestmark = pytest.mark.multiproc


@pytest.mark.parametrize(("method", "how"), [("majority-vote", "killed"), ("dvr-sign", "hangs")])
def test_every_survivor_gets_a_clear_error_in_time(method, how):
    results = launch(jobs.one_dies, 3, method, how, limit=40) if how == "killed" else hanging(method)
    survivors = [result for rank, result in enumerate(results) if rank != 1]
    assert results[1] is None
    for messages, seconds, untouched in survivors:
        assert len(messages) == 2, "a broken group must not be used again"
        assert "in step 2" in messages[0]
        assert "continue from the last checkpoint" in messages[0]
        assert untouched
        assert seconds < 20  # the limit is 4 s; the machine may be busy


def hanging(method):
    """Like `launch`, but the rank that hangs is given up."""
    from helpers import processes

    collected = []
    original = processes._collect

    def collect(children, results, limit):
        original([(children[0][0], children[0][1]), (children[2][0], children[2][1])], results, limit)
        results[2], results[1] = results[1], None

    processes._collect = collect
    try:
        collected = processes.launch(jobs.one_dies, 3, method, "hangs", limit=40)
    finally:
        processes._collect = original
    return collected


def test_bad_numbers_are_skipped_or_mended_and_counted():
    results = launch(jobs.bad_numbers, 2)
    for untouched, skipped, _, _, largest in results:
        assert untouched
        assert skipped == 1
        assert largest < 100  # 1e9 would have stayed for 1/beta steps; 50 is believed, times beta-sums
    assert [r[2] for r in results] == [9, 0]  # three scales in each of three steps, all in the slice of rank 0
    assert np.array_equal(results[0][3], results[1][3])


def test_bad_numbers_in_uncompressed_gradients_count_for_nothing():
    results = launch(jobs.bad_rows, 2)
    assert [r[0] for r in results] == [3, 0]
    assert np.array_equal(results[0][1], results[1][1])
    assert all(r[2] for r in results)


def test_counts_beyond_the_number_of_workers_are_clipped():
    results = launch(jobs.bad_counts, 2)
    assert [r[0] for r in results] == [6, 6]  # two in each of three steps, seen by everyone
    assert np.array_equal(results[0][1], results[1][1])
    assert all(r[2] <= 0.5 * 1.0001 for r in results)  # a unanimous vote moves by lr, a hundred votes would by 50 lr


FLIPPED = [{"method": method, "check_messages": True} for method in ("majority-vote", "dvr-sign", "ssdm")]


def test_a_damaged_answer_is_an_error_where_it_arrived():
    unchecked = {"method": "majority-vote"}
    first, second = launch(jobs.one_flips, 2, [*FLIPPED, unchecked], 1)
    for told, (message, stayed, path, _), case in zip(first, second, FLIPPED, strict=False):
        assert message.startswith("MessageDamaged"), case
        assert "rank 1 of 2 received other bits than rank 0 sent in step 1 (all-gather)" in message
        assert "from the last checkpoint" in message
        assert stayed
        assert told[0] == ""
        assert np.array_equal(told[2][1], path[1])
    message, _, path, _ = second[-1]  # teeth: without the option the flip moves one weight the other way, unseen
    assert message == ""
    assert np.flatnonzero(path[-1] != first[-1][2][-1]).tolist() == [0]


def test_damaged_votes_stop_every_worker():
    first, second = launch(jobs.one_flips, 2, FLIPPED[:1], 0)
    assert second[0][0].startswith("MessageDamaged")
    assert "(all-to-all)" in second[0][0]
    assert first[0][0].startswith("WorkerLost")
    assert first[0][1]
    assert second[0][1]


def test_sums_change_nothing_else_and_cost_eight_bytes_a_message():
    cases = [{"method": "dvr-sign", "check_messages": checked} for checked in (True, False)]
    for (_, _, path, sent), (_, _, plain, before) in launch(jobs.one_flips, 3, cases, 10**6):
        assert np.array_equal(path, plain)
        assert sent - before == 2 * 8 * 2  # two rounds of messages to two others


def test_sums_tell_rows_apart():
    gen = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 256, (3, 4096), dtype=torch.uint8, generator=gen)
    sums = row_sums(rows)
    for byte in (0, 1, 2, 3, 777, 4095):
        for bit in range(8):
            other = rows.clone()
            other[1, byte] ^= 1 << bit
            assert (row_sums(other) != sums).view(-1).tolist() == [False, True, False]
    long = torch.randint(0, 256, (2, 4 * faults.SUMMED + 40), dtype=torch.uint8, generator=gen)  # in pieces
    words = long.view(torch.int32).long()
    assert torch.equal(row_sums(long), (words * torch.arange(1, 2 * words.shape[1], 2)).sum(1, keepdim=True))
    swapped = rows.clone()  # teeth: a plain sum would not see words that changed places
    swapped[2, :4], swapped[2, 8:12] = rows[2, 8:12], rows[2, :4]
    assert (row_sums(swapped) != sums).view(-1).tolist() == [False, False, True]
    top = rows.clone()
    top[0, 3] ^= 128
    top[0, 403] ^= 128
    assert (row_sums(top) != sums).view(-1).tolist() == [True, False, False]


def test_ranks_that_differ_are_told_so_at_the_start():
    for messages in launch(jobs.disagreements, 2):
        assert "values of the parameters of rank 1 differ" in messages["values"]
        for name in ("options", "seed", "max_scale", "init_batches", "checksum_every", "period"):
            assert "options of rank 1 differ" in messages[name], name
        assert "batch sizes of the ranks are [1, 2]" in messages["batches"]
        assert "values of the parameters of rank 1 differ" in messages["checksum"]
        assert messages["weights"] is None


def test_groups_within_the_world_are_worlds_of_their_own():
    results = launch(jobs.subgroups, 4)
    paths = [r[0] for r in results]
    assert np.array_equal(paths[0], paths[1])
    assert np.array_equal(paths[2], paths[3])
    assert not np.array_equal(paths[0], paths[2])
    assert all("is not in the given process group" in r[1] for r in results)
