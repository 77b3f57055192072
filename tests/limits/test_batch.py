"""Many predictions in one solve are the predictions one by one."""

import numpy as np
import pytest
import scipy.stats
import torch

import signscope as ss
from signscope.limits import batch as batch_file
from signscope.limits import predict_many
from signscope.schedules import Constant, Cosine, Linear

COV = np.array([[1, 0.3, 0.1, 0], [0.3, 0.5, 0.2, 0.05], [0.1, 0.2, 2, -0.4], [0, 0.05, -0.4, 0.25]])


def problem(seed: int = 0, noise=0.3, dim: int = 4) -> ss.LeastSquares:
    return ss.LeastSquares(COV if dim == 4 else np.linspace(0.1, 1, dim), noise=noise, seed=seed)


@pytest.fixture
def solves(monkeypatch):
    """How many solves were made."""
    made = []
    original = batch_file.solve_risk
    monkeypatch.setattr(batch_file, "solve_risk", lambda *a, **k: made.append(1) or original(*a, **k))
    return made


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_rates_are_lanes_of_one_solve(optimizer, solves):
    rates = [0.1, 0.4, 0.7]
    curves = predict_many(problem(), optimizer, lr=rates, horizon=5, rtol=1e-8)
    assert len(solves) == 1
    for rate, curve in zip(rates, curves, strict=True):
        alone = ss.predict(problem(), optimizer, lr=rate, horizon=5, rtol=1e-8)
        torch.testing.assert_close(curve.value, alone.value, rtol=1e-6, atol=0)
        assert (curve.lr, curve.step_size, curve.status, curve.optimizer) == (rate, rate / 4, alone.status, optimizer)
    assert not torch.equal(curves[0].value, curves[1].value)


def test_problems_and_schedules_go_in_pairs_and_group_by_dimension_and_noise(solves):
    problems = [problem(1), problem(2, dim=6), problem(3), problem(4, noise="laplace:0.2")]
    schedules = [0.3, Cosine(0.4, 5.0), Linear(0.5, 5.0), Constant(0.2)]
    curves = predict_many(problems, "signsgd", lr=schedules, horizon=5, rtol=1e-8)
    assert len(solves) == 3
    for each, rate, curve in zip(problems, schedules, curves, strict=True):
        alone = ss.predict(each, "signsgd", lr=rate, horizon=5, rtol=1e-8)
        torch.testing.assert_close(curve.value, alone.value, rtol=1e-6, atol=0)
        assert curve.provenance["options"]["schedule"] == alone.provenance["options"]["schedule"]


def test_two_samples_of_noise_are_two_laws(solves):
    gen = np.random.default_rng(0)
    problems = [problem(noise=gen.standard_normal(50)), problem(noise=0.1 * gen.standard_normal(50))]
    curves = predict_many(problems, "signsgd", lr=0.3, horizon=2)
    assert len(solves) == 2
    assert not torch.allclose(curves[0].value, curves[1].value, rtol=1e-2)


def test_an_undefined_or_unstable_lane_does_not_spoil_the_others():
    curves = predict_many([problem(), problem(noise="cauchy:0,1")], "sgd", lr=0.1, horizon=2)
    assert [curve.status for curve in curves] == ["ok", "undefined"]
    assert "cauchy" in curves[1].message
    curves = predict_many(problem(), "sgd", lr=torch.tensor([0.1, 4.0]), horizon=200)
    assert [curve.status for curve in curves] == ["ok", "unstable"]
    assert bool(torch.isfinite(curves[0].value).all())


@pytest.mark.parametrize(
    ("problems", "lr", "message"),
    [
        ([problem()] * 2, [0.1, 0.2, 0.3], "2 problems and 3 rates"),
        ([], 0.1, "0 problems"),
        (problem(), [0.1, -1.0], "lr"),
        ("digits", 0.1, "LeastSquares"),
    ],
)
def test_bad_input_is_named(problems, lr, message):
    with pytest.raises(ss.InvalidInput, match=message):
        predict_many(problems, "signsgd", lr=lr, horizon=1)


def test_two_histograms_are_two_laws():
    """The spec of a law made by the caller does not tell it from another one."""
    gen = np.random.default_rng(0)
    laws = [scipy.stats.rv_histogram(np.histogram(s * gen.standard_normal(1000), bins=20))() for s in (1, 0.1)]
    problems = [problem(noise=law) for law in laws]
    assert problems[0].noise.spec == problems[1].noise.spec
    for curve, each in zip(predict_many(problems, "signsgd", lr=0.3, horizon=2), problems, strict=True):
        assert curve.final == pytest.approx(ss.predict(each, "signsgd", lr=0.3, horizon=2).final, rel=1e-5)


def test_spectrum_and_error_bar_are_those_of_predict(monkeypatch):
    monkeypatch.setattr("signscope.limits.modes.DENSE_REACH", 3)
    alone = ss.predict(problem(), "signsgd", lr=0.3, horizon=2)
    (curve,) = predict_many(problem(), "signsgd", lr=0.3, horizon=2)
    assert alone.stderr is not None
    torch.testing.assert_close(curve.stderr, alone.stderr)
    assert curve.provenance == alone.provenance
    assert (curve.status, curve.message) == (alone.status, alone.message)
