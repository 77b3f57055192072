"""SGD whose steps are too long for the limit of many coordinates: where it is stable, and what the status says."""

import math

import numpy as np
import pytest
import torch

from signscope.comparison import best_lr
from signscope.limits import effect_curve, limit, max_lr, predict, predict_many, predict_plan
from signscope.limits.stationary import finite_max_lr
from signscope.problems import LeastSquares, gaussian_problem
from signscope.schedules import BatchPlan, Constant, Cosine, Linear, PiecewiseConstant, WarmupStableDecay

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


BEYOND = [Constant(2.01), PiecewiseConstant((0.0,), (2.01,)), lambda t: 2.01 + 0 * t, Linear(2.5, 10, 2.1)]
BEYOND += [PiecewiseConstant((0.0, 5.0), (0.5, 2.2)), PiecewiseConstant((0.0, 10.0), (2.01, 0.1))]
WITHIN = [
    PiecewiseConstant((0.0, 1.0), (2.2, 0.5)),
    Linear(2.5, 10, 1.9),
    Cosine(3.0, 10),
    WarmupStableDecay(3, 10, 1, 9),
]
WITHIN += [Linear(0, 10, 2.0), PiecewiseConstant((0.0, 9.5), (0.5, 2.2)), PiecewiseConstant((0.0, 10.0), (0.1, 2.2))]


@pytest.mark.parametrize("method", ["gaussian", "exact"])
def test_unstable_is_said_of_the_rates_at_the_end_and_not_of_the_kind_of_schedule(method):
    problem = LeastSquares(np.ones(100), noise=0.1)
    times = torch.tensor([0.0, 10.0], dtype=torch.float64)
    setting = {"horizon": 10, "times": times, "method": method, "rtol": 1e-3}
    for schedule in BEYOND:
        curve = predict(problem, "sgd", lr=schedule, **setting)
        assert curve.status == "unstable", schedule
        assert "beyond the stability limit" in curve.message
    for schedule in WITHIN:
        assert predict(problem, "sgd", lr=schedule, **setting).status != "unstable", schedule
    assert predict(problem, "signsgd", lr=BEYOND[-1], **{**setting, "method": "gaussian"}).status == "ok"


def test_a_plan_and_a_frozen_rate_are_judged_by_the_same_rule():
    problem = LeastSquares(np.ones(100), noise=0.1)

    def plan(*pieces):
        times = tuple(10.0 * i / len(pieces) for i in range(len(pieces)))
        rates, sizes = zip(*pieces, strict=True)
        return predict_plan(problem, "sgd", plan=BatchPlan(times, rates, sizes, 10.0), times=[0.0, 10.0], rtol=1e-4)

    assert [plan((2.01, 1)).status, plan((2.01, 2)).status] == ["unstable", "ok"]
    assert plan((2.01, 2), (2.01, 1)).status == "unstable"  # the batch that ends the run decides
    assert plan((2.01, 1), (2.01, 2)).status != "unstable"
    long = noiseless(60)
    kinds = (
        predict(long, "sgd", lr=9.0, horizon=8, batch_size=20),
        predict_plan(long, "sgd", plan=BatchPlan((0.0,), (9.0,), (20,), 8.0)),
    )
    assert [curve.status for curve in kinds] == ["inaccurate", "inaccurate"]
    frozen = [
        effect_curve(problem, "frozen_rate", lr=lr, horizon=1, times=[0.0, 1.0], rtol=1e-3)
        for lr in (30.0, Linear(30.0, 1.0, 29.0), Linear(30.0, 1.0, 0.0))
    ]
    assert [curve.status == "unstable" for curve in frozen] == [True, True, False]


def test_long_steps_between_the_reported_times_are_seen():
    """A warm-up and a decay are short at both ends, which are all that is reported."""
    lr, times = WarmupStableDecay(9.0, 8.0, 1.0, 1.0), torch.tensor([0.0, 8.0], dtype=torch.float64)
    curve = predict(noiseless(60), "sgd", lr=lr, horizon=8.0, times=times, batch_size=20)
    assert curve.status == "inaccurate"


@pytest.mark.parametrize(
    ("dim", "spectrum", "noise", "lr"),
    [
        (20, "constant:1", 0.5, 1.6),
        (10, "log:0.01,1", 0.5, 5.0),
        (20, "constant:1", "none", 1.9),
        (200, "constant:1", "none", 1.9),
    ],
)
def test_near_the_largest_stable_rate_a_small_dimension_is_said_to_matter(dim, spectrum, noise, lr):
    """The recursion and the limit part by more than a quarter there; at a sixteenth of the rate they do not."""
    problem = gaussian_problem(dim, spectrum=spectrum, noise=noise)
    for rate, status in ((lr, "inaccurate"), (lr / 16, "ok")):
        setting = {"lr": rate, "horizon": 30, "times": [0.0, 30.0], "rtol": 1e-4}
        limiting, exact = (predict(problem, "sgd", method=m, **setting) for m in ("gaussian", "exact"))
        assert limiting.status == status
        assert (abs(math.log(exact.final / limiting.final)) > 0.25) == (status == "inaccurate")
    assert "Use method='exact'" in predict(problem, "sgd", lr=lr, horizon=30, rtol=1e-3).message


def test_both_stability_limits_are_named_where_they_differ():
    small, large = (gaussian_problem(dim, spectrum="constant:1", noise=0.5) for dim in (20, 2000))
    top, why = max_lr(small, "sgd")
    assert top == pytest.approx(2)
    assert "of many coordinates; at dim = 20 the mean risk grows from lr 1.818 on" in why
    assert "many coordinates" not in max_lr(large, "sgd")[1]
    assert finite_max_lr(small) == pytest.approx(20 / 11)  # g d / (2 - 2 g) = 1
    exact = [predict(small, "sgd", lr=lr, horizon=5, method="exact").status for lr in (1.8, 1.83)]
    assert exact == ["ok", "unstable"]  # the limit's own rule would allow both


def test_the_limit_risk_says_how_far_the_dimension_moves_it():
    problem = gaussian_problem(20, spectrum="constant:1", noise=0.5)
    for lr, status in ((0.1, "ok"), (1.0, "ok"), (1.6, "inaccurate"), (1.9, "inaccurate")):
        found = limit(problem, "sgd", lr=lr)
        assert found.status == status
        settled = predict(problem, "sgd", lr=lr, horizon=100, times=[100.0], method="exact")
        if lr < 1.8:
            off = settled.final / found.excess_risk - 1
            assert (f"settles {100 * off:.2g}% higher" in found.message) == (off > 0.05)
        else:
            assert "unstable at this rate" in found.message
