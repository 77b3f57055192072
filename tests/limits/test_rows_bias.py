"""The bias floor against long runs, and where there is none."""

import numpy as np
import pytest
import torch

from helpers.rows_data import long_run_means
from signscope import LeastSquares
from signscope._core.errors import InvalidInput, Unsupported
from signscope.limits.rows_bias import bias_floor


def lopsided(num_rows=600, dim=12, seed=0):
    """Skewed features whose label noise is skewed where the first feature is large."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(num_rows, dim)) - 1
    x += 0.3 * x[:, :1]
    noise = (rng.exponential(size=num_rows) - 1) * (0.3 + np.abs(x[:, 0]))
    return LeastSquares.from_data(x, x @ rng.normal(size=dim) / dim**0.5 + noise)


def test_long_runs_keep_the_bias_that_is_predicted():
    problem = lopsided()
    lr = 0.1
    found = bias_floor(problem, "signsgd", lr=lr)
    assert found.status == "ok"
    means = long_run_means(problem.rows, lr=lr, steps=6000, skip=2000, num_runs=200)  # (runs, d): averages over time
    mean, n = means.mean(0), len(means)
    x = problem.rows.features.numpy()
    cov = x.T @ x / len(x)
    seen = 0.5 * mean @ cov @ mean
    chance = 0.5 * np.sum(cov * np.cov(means.T)) / n  # what finitely many runs add
    error = np.sqrt(mean @ cov @ (np.cov(means.T) / n) @ cov @ mean)
    assert abs(seen - chance - found.bias_floor) < 4.5 * error + 0.1 * found.bias_floor  # 1/dim of the closure
    assert found.bias_floor > 20 * error  # teeth: the Gaussian theory's floor is 0
    assert found.excess_risk > found.bias_floor


def test_a_smaller_rate_lowers_the_scatter_and_not_the_bias():
    problem = lopsided()
    large, small = (bias_floor(problem, "signsgd", lr=lr) for lr in (0.1, 0.025))
    assert small.excess_risk - small.bias_floor < 0.3 * (large.excess_risk - large.bias_floor)
    assert small.bias_floor > 0.7 * large.bias_floor


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradients_settle_at_the_target(optimizer):
    found = bias_floor(lopsided(), optimizer, lr=0.05)
    assert found.bias_floor < 1e-9 < found.excess_risk


def test_symmetric_rows_have_next_to_no_floor():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3000, 8))
    x, noise = np.r_[x, -x], rng.standard_normal(3000)
    problem = LeastSquares.from_data(x, x @ np.ones(8) + np.r_[noise, -noise])
    found = bias_floor(problem, "signsgd", lr=0.1)
    assert found.bias_floor < 0.05 * found.excess_risk


def test_what_is_wrong_is_said():
    problem = lopsided()
    with pytest.raises(InvalidInput, match="`lr`"):
        bias_floor(problem, "signsgd", lr=0.0)
    with pytest.raises(InvalidInput, match="optimizer"):
        bias_floor(problem, "lion", lr=0.1)
    with pytest.raises(Unsupported, match="from_data"):
        bias_floor(LeastSquares(torch.ones(3)), "signsgd", lr=0.1)
    assert bias_floor(problem, "sgd", lr=50.0).status == "unstable"
