"""Five to eight processes, and groups of unequal size side by side, walk the paths of their references."""

import numpy as np
import pytest
import torch

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from optim.distributed.test_against_reference import COMMON, expected_bytes, reference
from signscope.optim.distributed import METHODS

pytestmark = [pytest.mark.slow, pytest.mark.multiproc]
STEPS = 7
CASES = [*({"method": name} for name in METHODS), {"method": "majority-vote", "momentum": 0.9, "bucket_size": 50}]


@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_many_processes_walk_the_path_of_the_reference(size):
    results = launch(jobs.paths, size, [{**COMMON, **case} for case in CASES], STEPS, limit=150)
    for index, case in enumerate(CASES):
        path, sent, layout = results[0][index]
        run = reference(size, case, [dim for dim, _ in layout], steps=STEPS)
        assert torch.equal(torch.from_numpy(path), run.path), case
        assert all((other[index][0] == path).all() for other in results), f"ranks differ: {case}"
        wanted = [expected_bytes(case, size, padded, run.moves) for _, padded in layout]
        assert sent[:2] == pytest.approx((sum(w[0] for w in wanted), sum(w[1] for w in wanted)), rel=1e-12), case


def test_unequal_groups_side_by_side_are_worlds_of_their_own():
    """Of eight processes three vote, four run DVR-Sign, and one is alone."""
    results = launch(jobs.unequal_groups, 8, STEPS, limit=150)
    for members, method in (((0, 1, 2), "majority-vote"), ((3, 4, 5, 6), "dvr-sign"), ((7,), "majority-vote")):
        run = reference(len(members), {"method": method}, [sum(jobs.SIZES)], steps=STEPS)
        paths = [results[rank][0] for rank in members]
        assert all(np.array_equal(path, paths[0]) for path in paths)
        assert np.array_equal(paths[0], run.path.numpy())
        assert all((results[rank][1] > 0) == (len(members) > 1) for rank in members)
    assert not np.array_equal(results[0][0], results[7][0])
