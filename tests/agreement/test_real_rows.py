"""CIFAR-10 and IMDB: the flow on rows against 16 runs, as the Gaussian theory is.

Needs the data sets in the folder that SIGNSCOPE_DATA names. 40,000 steps for CIFAR-10, 25,000 for IMDB.
"""

import os
from functools import cache

import pytest
import torch

from signscope import LeastSquares, gap, predict, simulate
from signscope.limits.rows import flow
from signscope.limits.rows_bias import bias_floor
from signscope.problems import features_from_text
from signscope.problems.named import VARIABLE, named_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get(VARIABLE), reason=f"{VARIABLE} does not name a folder with CIFAR-10 and IMDB"
    ),
]
HORIZON = {"cifar10": 100, "imdb": 500}
CIFAR = [("tanh:400", 0.9), ("tanh:400", 0.1), ("relu:400", 0.9), ("relu:400", 0.1)]


@cache
def columns(kind):
    return named_data(kind)[:2]


@cache
def problem(kind, features):
    X, y = columns(kind)
    return LeastSquares.from_data(features_from_text(X, features), y)


@cache
def gaps(kind, features, optimizer, lr, num_runs=16):
    """Mean gap of the flow, of the Gaussian theory, and the error of the mean over runs, all relative."""
    task = problem(kind, features)
    runs = simulate(
        task, optimizer, lr=lr, horizon=HORIZON[kind], num_runs=num_runs, rows="replace", seed=0, dtype="float32"
    )
    ours, theirs = (
        gap(predict(task, optimizer, lr=lr, horizon=HORIZON[kind], method=method), runs).mean
        for method in ("rows", "gaussian")
    )
    error = float((runs.stderr / runs.value)[1:].mean())
    print(f"{kind} {features} {optimizer} lr {lr}: flow {ours:.3f} Gaussian {theirs:.3f} runs {error:.3f}")
    return ours, theirs, error


@pytest.mark.parametrize(("features", "lr"), CIFAR)
def test_signsgd_on_pictures(features, lr):
    ours, theirs, error = gaps("cifar10", features, "signsgd", lr)
    assert ours <= 0.15
    assert ours <= theirs
    assert theirs <= 0.25 or ours <= 0.5 * theirs
    assert ours < 2.5 * error  # 16 runs see no more


def test_signsgd_on_pictures_with_enough_runs_to_see_it():
    ours, theirs, error = gaps("cifar10", "relu:400", "signsgd", 0.1, num_runs=256)
    assert ours < 0.03
    assert theirs > 0.25
    assert ours < 2.5 * error


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradient_methods_on_pictures(optimizer):
    ours, theirs, error = gaps("cifar10", "tanh:400", optimizer, 0.1, num_runs=128)
    assert ours < 2 * error
    assert ours < theirs + error


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_reviews(optimizer):
    ours, theirs, error = gaps("imdb", "tanh:50:0.3", optimizer, 0.2, num_runs=512)
    assert ours < 2.5 * error
    assert ours < theirs + error


def test_one_pass_over_the_reviews():
    task, times = problem("imdb", "tanh:50:0.3"), torch.linspace(0, 500, 101, dtype=torch.float64)
    runs = simulate(
        task, "signsgd", lr=0.2, horizon=500, times=times, num_runs=512, rows="once", seed=0, dtype="float32"
    )
    curve = flow(
        task.rows,
        optimizer="signsgd",
        schedule=0.2,
        horizon=500,
        displacement=task.displacement,
        times=times,
        bias_floor=False,
        stream="once",
    )
    error = runs.stderr / runs.value
    assert float(((curve.value - runs.value) / runs.value)[1:].abs().mean()) < 2.5 * float(error[1:].mean())


def test_bias_is_most_of_what_relu_features_leave():
    found = bias_floor(problem("cifar10", "relu:400"), "signsgd", lr=0.1)
    assert found.status == "ok"
    assert 0.5 < found.bias_floor / found.excess_risk < 0.8
