"""Odd but legal inputs: any units, one or two coordinates, starts at or along single coordinates."""

import numpy as np
import pytest
import torch

from signscope import LeastSquares, limit, predict
from signscope.limits import effect_curve, homogenized_paths, predict_many, predict_plan
from signscope.schedules import BatchPlan, PiecewiseConstant, WarmupStableDecay
from signscope.simulation import simulate


def in_units(unit, *, length=1.0, noise=0.3):
    """Features in units of ``unit``, parameters in units of ``length``: R is in unit^2 length^2."""
    dim = 20
    std = noise * unit * length
    variances = np.linspace(0.1, 1.5, dim) * unit**2
    return LeastSquares(variances, start=np.full(dim, length), target=np.zeros(dim), noise=std if std else None)


CASES = {
    "sgd": lambda p, rate: predict(p, "sgd", lr=rate / float(p.cov.diagonal().mean()), horizon=5, rtol=1e-5),
    "many": lambda p, rate: predict_many(p, "sgd", lr=[rate / float(p.cov.diagonal().mean())], horizon=5, rtol=1e-5)[0],
    "exact": lambda p, rate: predict(p, "sgd", lr=rate / float(p.cov.diagonal().mean()), horizon=5, method="exact"),
    "paths": lambda p, rate: homogenized_paths(
        p, "sgd", lr=rate / float(p.cov.diagonal().mean()), horizon=2, times=[2.0], num_paths=4
    ),
    "plan": lambda p, rate: predict_plan(
        p, "sgd", plan=BatchPlan((0.0, 2.0), (rate / float(p.cov.diagonal().mean()),) * 2, (1, 2), 5.0), rtol=1e-5
    ),
    "signsgd": lambda p, rate: predict(p, "signsgd", lr=rate * float(p.start[0]), horizon=5, rtol=1e-5),
    "finite": lambda p, rate: predict(p, "signsgd", lr=rate * float(p.start[0]), horizon=5, finite_dim=True),
    "adam": lambda p, rate: predict(p, "adam", lr=rate * float(p.start[0]), horizon=5, rtol=1e-5, betas=(0.0, 0.9)),
    "effect": lambda p, rate: effect_curve(p, "reshaping", lr=rate * float(p.start[0]), horizon=5, rtol=1e-5),
}


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_curves_do_not_depend_on_units(name, noise):
    """SGD's rate once set the scale of the risk in units of its own: off by 10^7, status ok, at variances of 1e-20."""
    values = []
    for unit, length in ((1.0, 1.0), (1e-10, 1.0), (1e10, 1.0), (1.0, 1e-20), (1e-30, 1e20)):
        curve = CASES[name](in_units(unit, length=length, noise=noise), 0.2)
        values.append(curve.value / (unit * length) ** 2)
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_limits_do_not_depend_on_units(optimizer):
    found = []
    for unit, length in ((1.0, 1.0), (1e-10, 1.0), (1e10, 1e-20)):
        problem = in_units(unit, length=length)
        lr = 0.2 / unit**2 if optimizer == "sgd" else 0.2 * length
        end = limit(problem, optimizer, lr=lr)
        found.append((end.excess_risk / (unit * length) ** 2, end.rate, end.status))
    for other in found[1:]:
        assert other[:2] == pytest.approx(found[0][:2], rel=1e-6)
        assert other[2] == found[0][2]


def test_a_warm_up_from_0_does_not_make_a_growing_risk_diverge():
    """From next to the optimum without noise, all the risk comes from the rates, which are 0 at the first time."""
    problem = LeastSquares(np.full(20, 1e4), start=np.full(20, 1e-9), target=np.zeros(20))
    steady = predict(problem, "signsgd", lr=300.0, horizon=3, times=[3.0], rtol=1e-3)
    warm = predict(problem, "signsgd", lr=WarmupStableDecay(300.0, 3, 0.1, 0.0), horizon=3, times=[3.0], rtol=1e-3)
    assert warm.status == "ok"
    assert warm.final == pytest.approx(steady.final, rel=0.05)


@pytest.mark.parametrize(
    ("dim", "moved", "noise", "status"),
    [(1, 1, 0.2, "inaccurate"), (2, 2, 0.0, "inaccurate"), (30, 1, 0.0, "inaccurate"), (30, 30, 0.2, "ok")],
)
def test_a_descent_of_few_coordinates_is_beyond_the_linear_theory_of_signs(dim, moved, noise, status):
    start = np.zeros(dim)
    start[:moved] = 1.0
    problem = LeastSquares(np.ones(dim), start=start, target=np.zeros(dim), noise=noise or None)
    setting = {"lr": 0.05 * dim**0.5, "horizon": 80 * (moved / dim) ** 0.5 if dim > moved else 40}
    curve = predict(problem, "signsgd", **setting)
    runs = simulate(problem, "signsgd", num_runs=64, seed=0, **setting)
    gap = float((curve.value / runs.value - 1).abs()[1:].mean())
    assert curve.status == status
    assert (gap > 0.1) == (status == "inaccurate")
    assert predict_many(problem, "signsgd", lr=[setting["lr"]], horizon=setting["horizon"])[0].status == status


def test_single_coordinates_do_not_matter_where_noise_fills_the_others_at_once():
    start = np.zeros(100)
    start[0] = 1.0
    problem = LeastSquares(np.ones(100), start=start, target=np.zeros(100))
    assert predict(problem, "signsgd", lr=3.0, horizon=3).status == "ok"


def test_the_optimum_without_noise_is_never_left():
    problem = LeastSquares(np.ones(40), start=np.ones(40), target=np.ones(40))
    curve = predict(problem, "signsgd", lr=0.3, horizon=1, times=[0.0, 1.0], rtol=1e-3)
    assert simulate(problem, "signsgd", lr=0.3, horizon=1, num_runs=2).final == 0
    assert curve.status == "inaccurate"
    assert "starts at the optimum and there is no noise" in curve.message
    assert predict(problem, "sgd", lr=0.3, horizon=1).final < 1e-25


def test_rates_of_0_hold_still():
    problem = in_units(1.0)
    rest = PiecewiseConstant((0.0, 2.0, 3.0), (0.0, 0.3, 0.0))
    for optimizer, options in (
        ("sgd", {}),
        ("sgd", {"method": "exact"}),
        ("signsgd", {}),
        ("signsgd", {"finite_dim": True}),
    ):
        curve = predict(problem, optimizer, lr=rest, horizon=5, times=[0.0, 1.0, 2.0, 3.0, 5.0], **options)
        value = curve.value.tolist()
        assert value[:3] == pytest.approx([value[0]] * 3, rel=1e-9)
        assert value[3] < 0.99 * value[2]
        assert value[4] == pytest.approx(value[3], rel=1e-9)
