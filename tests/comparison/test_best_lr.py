"""`best_lr` against a fine scan of `predict`, and at its bounds."""

import math

import numpy as np
import pytest
import torch

from signscope.comparison import best_lr, tuning
from signscope.limits import predict
from signscope.limits.stationary import max_lr
from signscope.problems import LeastSquares, gaussian_problem


@pytest.fixture(scope="module")
def problem():
    return gaussian_problem(40, spectrum="log:0.02,1", rotated=True, noise="laplace:0.3", seed=3)


def scanned(problem, optimizer, centre, *, horizon, **more):
    """Rate with the lowest final risk out of 41 within 10% of ``centre``, and these risks."""
    rates = centre * np.linspace(0.9, 1.1, 41)
    finals = [predict(problem, optimizer, lr=lr, horizon=horizon, **more).final for lr in rates]
    return rates[int(np.argmin(finals))], finals


@pytest.mark.parametrize("optimizer", ["signsgd", *(pytest.param(o, marks=pytest.mark.slow) for o in ("sgd", "adam"))])
def test_best_rate_is_that_of_a_fine_scan(problem, optimizer):
    found = best_lr(problem, optimizer, horizon=6)
    scan, finals = scanned(problem, optimizer, found.lr, horizon=6)
    assert found.lr == pytest.approx(scan, rel=0.01)
    assert found.curve.final <= min(finals) * (1 + 1e-5)
    assert found.step_size == found.lr / problem.dim
    assert found.curve.lr == found.lr
    assert not found.at_bound
    with pytest.raises(AssertionError):  # teeth: a rate 5% off is told apart
        assert 1.05 * found.lr == pytest.approx(scan, rel=0.01)


@pytest.mark.parametrize(("option", "value"), [("horizon", 12), ("batch_size", 4)])
def test_horizon_and_batch_size_move_the_best_rate(problem, option, value):
    plain = best_lr(problem, "signsgd", horizon=6)
    moved = best_lr(problem, "signsgd", **{"horizon": 6, option: value})
    assert abs(math.log(moved.lr / plain.lr)) > 0.02


def test_betas_move_the_best_rate_of_adam(problem):
    plain = best_lr(problem, "adam", horizon=6, betas=(0.0, 0.5)).lr
    assert best_lr(problem, "adam", horizon=6, betas=(0.0, 0.99)).lr != pytest.approx(plain, rel=0.01)


def test_heavy_tailed_noise_leaves_sgd_without_a_rate():
    heavy = gaussian_problem(20, noise="cauchy:0,1")
    found = best_lr(heavy, "sgd", horizon=5)
    assert math.isnan(found.lr)
    assert found.curve.status == "undefined"
    assert "cauchy" in found.curve.message
    assert best_lr(heavy, "signsgd", horizon=5).curve.status == "ok"


def test_a_start_at_the_optimum_wants_no_step_at_all():
    rest = LeastSquares(torch.ones(20), start=torch.zeros(20), target=torch.zeros(20), noise=0.5)
    found = best_lr(rest, "sgd", horizon=5)
    assert found.at_bound
    assert found.curve.final < 1e-6


@pytest.mark.parametrize("on_rows", [False, True])
def test_a_stability_limit_below_the_best_rate_is_where_the_search_ends(problem, monkeypatch, on_rows):
    limited = rows_problem() if on_rows else problem
    free = best_lr(limited, "sgd", horizon=6)
    monkeypatch.setattr(tuning, "max_lr", lambda *a, **k: (0.5 * free.lr, ""))
    found = best_lr(limited, "sgd", horizon=6)
    assert found.at_bound
    assert found.lr == pytest.approx(0.98 * 0.5 * free.lr, rel=0.01)
    assert found.curve.final > free.curve.final


def test_the_number_of_threads_is_restored(problem):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with tuning.fitting_threads(problem):
            assert torch.get_num_threads() == 1
        best_lr(problem, "sgd", horizon=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def rows_problem():
    rng = np.random.default_rng(5)
    X = rng.laplace(size=(300, 12)) * np.linspace(0.4, 1.5, 12) * rng.lognormal(0, 0.5, size=(300, 1))
    y = X @ rng.standard_normal(12) + rng.standard_normal(300) * 0.3
    return LeastSquares.from_data(X, y)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd"])
def test_on_a_data_set_the_best_rate_is_that_of_its_own_rows(optimizer):
    problem = rows_problem()
    found = best_lr(problem, optimizer, horizon=8)
    rates = found.lr * np.geomspace(0.5, 2.0, 9)
    finals = [predict(problem, optimizer, lr=lr, horizon=8, method="rows") for lr in rates]
    best = min(c.final for c in finals if not c.failed)
    assert found.curve.provenance["method"] == "rows"
    assert found.curve.final <= best * (1 + 2e-3)  # the flow's own tolerance


def test_sgd_stays_below_the_stability_limit_of_the_rows():
    problem = rows_problem()
    assert best_lr(problem, "sgd", horizon=0.5).lr < max_lr(problem, "sgd")[0]
