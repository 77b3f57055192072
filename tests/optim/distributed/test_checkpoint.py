"""A saved run goes on bit for bit with as many workers, and starts its estimates anew with another number."""

import numpy as np
import pytest
import torch

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from signscope.optim.distributed import METHODS

pytestmark = pytest.mark.multiproc


def test_saved_and_continued_is_uninterrupted():
    for same in launch(jobs.saved_and_continued, 2, list(METHODS)):
        assert same == dict.fromkeys(METHODS, True)


@pytest.mark.parametrize("method", ["dvr-sign", "dvr-sign-fs"])
def test_another_number_of_workers_starts_anew(method, tmp_path):
    launch(jobs.states, 3, method, str(tmp_path))
    results = launch(jobs.another_size, 2, method, str(tmp_path))
    assert np.array_equal(results[0][0], results[1][0])
    counters = results[0][1]
    assert counters["steps"] == 6
    assert counters["new_groups"] == 1
    wanted = expected_first_step(torch.load(tmp_path / "0.pt")["params"], method)
    assert np.array_equal(results[0][0][0], wanted.numpy())


def expected_first_step(theta, method):
    """The sign of the mean (full) gradient of the new group where the old one stopped; zeros go by parity."""
    hills = jobs.Hills(2)
    kind = hills.full if method.endswith("fs") else hills.gradient
    grads = [kind(j)(theta) if method.endswith("fs") else kind(j)(theta, 0) for j in range(2)]
    z = grads[0] * 0.5 + grads[1] * 0.5
    fill = (torch.arange(len(z)) + 3) % 2 == 1
    return theta - 1e-3 * torch.where((z > 0) | ((z == 0) & fill), 1.0, -1.0)
