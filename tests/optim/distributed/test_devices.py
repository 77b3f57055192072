"""Workers on an accelerator: nothing is left on the CPU, and the path is the same bit for bit."""

import pytest

from helpers import distributed_jobs as jobs
from helpers.processes import launch
from signscope.optim.distributed import METHODS

COMMON = {"lr": 0.013, "block_size": 24, "radius": 10.0, "weight_decay": 0.1, "init_batches": 2}
CASES = [
    *({"method": name} for name in METHODS),
    {"method": "majority-vote", "momentum": 0.9, "tie": "random"},
    {"method": "majority-vote", "tie": "ternary"},
    {"method": "ssvr-mv", "server": "random", "ball": 5.0},
]


@pytest.mark.multiproc
@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_path_on_a_device_is_that_on_the_cpu(num_workers):
    cases = [{**COMMON, **case} for case in CASES]
    for results in launch(jobs.pretended, num_workers, cases, 6):
        for case, (here, there, calls, kept) in zip(cases, results, strict=True):
            assert (here == there).all(), case
            assert (there[0] != there[-1]).any()
            assert calls > 50
            assert kept <= {"meta"}, case


@pytest.mark.multiproc
def test_the_gather_of_other_backends_brings_the_same():
    """gloo sends answers to everyone at once, NCCL gathers; gloo can do either."""
    methods = ("majority-vote", "ssdm", "dvr-q")
    direct, ring = (launch(jobs.gathered, 3, methods, 5, how) for how in (True, False))
    for at_once, around in zip(direct, ring, strict=True):
        for (path, *sent), (other, *others) in zip(at_once, around, strict=True):
            assert (path == other).all()
            assert sent == others
            assert sent[0] > 0
