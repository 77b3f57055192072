"""SGD whose steps are too long for the limit of many coordinates: where it is stable, and what the status says."""

import math

import pytest
import torch

from signscope.comparison import best_lr
from signscope.limits import max_lr, predict, predict_many
from signscope.limits.stationary import finite_max_lr
from signscope.problems import gaussian_problem

CASES = [(20, 5, "log:0.01,1"), (60, 20, "log:0.5,1"), (10, 1, "log:0.0001,1")]


def noiseless(dim, spectrum="log:0.5,1"):
    return gaussian_problem(dim, spectrum=spectrum, noise="none", seed=0)


@pytest.mark.parametrize(("dim", "batch_size", "spectrum"), CASES)
def test_the_exact_recursion_turns_at_the_rate(dim, batch_size, spectrum):
    problem = noiseless(dim, spectrum)
    top = finite_max_lr(problem, batch_size=batch_size)
    times = torch.tensor([0.0, 3000 / dim])
    falls, rises = (
        predict(problem, "sgd", lr=f * top, horizon=3000 / dim, times=times, batch_size=batch_size, method="exact")
        for f in (0.97, 1.03)
    )
    assert falls.final < 0.1 * float(falls.value[0])
    assert rises.final > 1e3 * float(rises.value[0])
    assert (falls.status, rises.status) == ("ok", "unstable")
    assert (
        top < 0.75 * max_lr(problem, "sgd", batch_size=batch_size)[0]
    )  # the limit's rule would allow a rate that fails


def test_it_is_the_rule_of_the_limit_where_steps_are_short():
    problem = gaussian_problem(2000, spectrum="log:0.5,1", noise="gaussian:0.5", seed=0)
    assert finite_max_lr(problem) == pytest.approx(max_lr(problem, "sgd")[0], rel=2e-3)


def test_a_long_descent_by_long_steps_is_called_inaccurate():
    problem, setting = noiseless(60), {"horizon": 8.0, "batch_size": 20}
    long, short = (predict(problem, "sgd", lr=lr, **setting) for lr in (9.0, 0.3))
    exact = [predict(problem, "sgd", lr=lr, method="exact", **setting) for lr in (9.0, 0.3)]
    assert long.status == "inaccurate"
    assert "lr lambda_max / dim = 0.15" in long.message
    assert abs(math.log(long.final / exact[0].final)) > 1  # off by more than a factor e
    assert (short.status, exact[0].status) == ("ok", "ok")
    assert short.final == pytest.approx(exact[1].final, rel=0.1)
    assert [c.status for c in predict_many(problem, "sgd", lr=[9.0, 0.3], **setting)] == ["inaccurate", "ok"]


def test_the_best_rate_of_large_batches_is_that_of_the_recursion():
    """The theory's best rate lies where the algorithm diverges."""
    problem, setting = noiseless(20, "log:0.01,1"), {"horizon": 8.0, "batch_size": 20}
    found = best_lr(problem, "sgd", **setting)
    assert found.curve.provenance["method"] == "exact"
    assert found.lr < finite_max_lr(problem, batch_size=20)
    around = [predict(problem, "sgd", lr=found.lr * f, method="exact", **setting).final for f in (0.9, 1.0, 1.1)]
    assert around[1] == min(around)
