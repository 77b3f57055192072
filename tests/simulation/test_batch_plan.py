"""Batch sizes that change with time."""

import numpy as np
import pytest
import torch

import signscope as ss
from signscope.limits import predict_plan
from signscope.schedules import BatchPlan

PLAN = BatchPlan((0.0, 1.0), (0.5, 0.3), (1, 8), 2.0)


def problem(dim: int = 40) -> ss.LeastSquares:
    return ss.LeastSquares(np.linspace(0.2, 1, dim), noise=0.5, seed=1)


def run(batch_size, optimizer="signsgd", **options):
    shared = {"lr": PLAN.lr, "horizon": 2.0, "num_runs": 3, "times": [1.0, 2.0], **options}
    return ss.simulate(problem(), optimizer, batch_size=batch_size, **shared).runs


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_a_plan_of_one_size_is_that_batch_size(optimizer):
    plan = BatchPlan((0.0, 1.0), (0.5, 0.3), (8, 8), 2.0)
    assert torch.equal(run(plan, optimizer), run(8, optimizer))


def test_each_piece_uses_its_own_batch_size():
    small_then_large, always_large = run(PLAN), run(8)
    assert not torch.equal(small_then_large[:, 0], always_large[:, 0])
    late_only = BatchPlan((0.0, 1.0), (0.5, 0.3), (8, 1), 2.0)
    assert torch.equal(run(late_only)[:, 0], always_large[:, 0])  # the same until the sizes part
    assert not torch.equal(run(late_only)[:, 1], always_large[:, 1])


@pytest.mark.slow
def test_the_prediction_of_a_plan_is_what_runs_do():
    large = problem(200)
    times = torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=torch.float64)
    curve = predict_plan(large, "signsgd", plan=PLAN, times=times)
    runs = ss.simulate(large, "signsgd", lr=PLAN.lr, horizon=2.0, batch_size=PLAN, num_runs=200, times=times)
    assert runs.stderr is not None
    assert bool(((curve.value - runs.value).abs() <= 4.5 * runs.stderr + 2 / 200 * runs.value).all())
    constant = ss.predict(large, "signsgd", lr=PLAN.lr, horizon=2.0, times=times)  # teeth: batch size 1 throughout
    assert not bool(((constant.value - runs.value).abs() <= 4.5 * runs.stderr + 2 / 200 * runs.value).all())
