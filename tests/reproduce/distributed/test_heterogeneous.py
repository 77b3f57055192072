"""Workers whose objectives differ: resting points, parameters of theory, and a run at the small size."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope.reproduce.distributed import FIGURES, heterogeneous, instances, plans
from signscope.reproduce.distributed.heterogeneous import ENTRIES, fitted, resting_point, resting_slope

TERMS = plans.Terms(
    dim=8,
    num_workers=3,
    initial_gap=0.347,
    curvature=0.1,
    largest=1.1,
    noise=0.1,
    second_moment=8.08,
    period=32,
)


def test_resting_points_are_those_of_the_specification():
    assert resting_slope(1.0) == pytest.approx(-0.0506, abs=5e-5)
    assert resting_point(6.0) == pytest.approx(-0.5871, abs=1e-4)
    assert resting_slope(100.0) == pytest.approx(0, abs=1e-5)  # a large radius hides the bias in noise


@pytest.mark.parametrize("radius", [1.0, 1.1, 3.0])
def test_the_mean_vote_of_three_vanishes_there_and_not_at_the_optimum(radius):
    """The eight outcomes of three random signs, added up."""

    def mean_vote(slope):
        means = [(slope + b) / radius for b in instances.PULLS]
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
        chance = ((1 + signs * torch.tensor(means, dtype=torch.float64)) / 2).prod(1)
        return float((chance * signs.sum(1).sign()).sum())

    assert mean_vote(resting_slope(radius)) == pytest.approx(0, abs=1e-12)
    assert mean_vote(0.0) == pytest.approx(0.0911 / radius**3, rel=1e-3)


# --- parameters of theory ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    dim=st.integers(1, 1000),
    workers=st.integers(1, 64),
    steps=st.integers(10, 10**6),
    size=st.floats(0.1, 100),
    gap=st.floats(0.01, 100),
)
def test_closed_forms_cover_the_bounds_at_the_very_parameters(dim, workers, steps, size, gap):
    """(8.5) is (8.4) with u put in, so it may only be larger; the FS step length is the best one."""
    terms = replace(TERMS, dim=dim, num_workers=workers, second_moment=size**2, initial_gap=gap)
    choice = plans.dvr_sign(terms, steps)
    beta, lr, first = (choice.options[name] for name in ("beta", "lr", "init_batches"))
    c, smooth = dim / workers, terms.curvature
    error = c * size**2 / (first * beta * steps) + 2 * c * (size**2 * beta + (smooth * lr) ** 2 * dim / beta)
    raw = gap / (lr * steps) + smooth * lr * dim / 2 + 2 * math.sqrt(dim * error)
    assert raw <= choice.bound * (1 + 1e-9)

    fs = plans.dvr_sign_fs(terms, steps)
    spread = dim / 2 + 2 * dim * math.sqrt(dim * (terms.period - 1) / workers)
    rates = fs.options["lr"] * np.array([0.5, 0.9, 1.1, 2.0])
    assert (gap / (rates * steps) + smooth * rates * spread >= fs.bound * (1 - 1e-12)).all()


@pytest.mark.parametrize(
    ("plan", "exponent"), [(plans.dvr_sign, -1 / 3), (plans.dvr_q, -1 / 3), (plans.dvr_sign_fs, -1 / 2),
                           (plans.dvr_q_fs, -1 / 2), (plans.ssvr_mv, -1 / 4)]
)  # fmt: skip
def test_bounds_fall_with_the_exponents_of_theory(plan, exponent):
    low, high = (plan(TERMS, steps).bound for steps in (10**12, 10**14))
    assert math.log(high / low) / math.log(100) == pytest.approx(exponent, abs=0.01)


def test_no_random_sign_is_ever_clipped():
    """The radius covers every stochastic gradient, and the estimates of SSVR, whose additive noise cancels."""
    crew = instances.log_cosh(16, num_calls=40, seed=3)
    radius = plans.random_vote(TERMS, 100).options["radius"]
    far = torch.linspace(-20, 20, 16, dtype=torch.float64)
    assert max(float(g(far, k).abs().max()) for g in crew.gradients for k in range(40)) <= radius


# --- instances --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [instances.log_cosh, instances.finite_sums])
def test_noise_has_mean_zero_and_belongs_to_the_batch(make):
    crew = make(16, num_calls=4000, seed=1)
    x = torch.linspace(-2, 2, 16, dtype=torch.float64)
    mean = torch.stack([full(x) for full in crew.full_gradients]).mean(0)
    torch.testing.assert_close(mean, crew.slope(x), rtol=0, atol=1e-12)
    for gradient, full in zip(crew.gradients, crew.full_gradients, strict=True):
        assert torch.equal(gradient(x, 7), gradient(x, 7))
        samples = torch.stack([gradient(x, k) for k in range(4000)])
        spread = samples.std(0) / 4000**0.5
        assert ((samples.mean(0) - full(x)).abs() <= 4.5 * spread).all()


def test_the_initial_gap_is_that_of_the_function():
    crew = instances.log_cosh(8, num_calls=1, seed=0)
    assert crew.initial_gap == pytest.approx(0.8 * math.log(math.cosh(1)))
    crew = instances.finite_sums(8, num_calls=1, seed=0)
    grid = torch.linspace(-3, 1, 4001, dtype=torch.float64)[:, None].expand(-1, 8)
    slopes = crew.slope(grid)  # f(1) - f(x) as the integral of the slope, per coordinate
    drops = torch.flip(torch.cumsum(torch.flip((slopes[1:] + slopes[:-1]) / 2 * 0.001, [0]), 0), [0])
    assert crew.initial_gap == pytest.approx(float(drops.amax(0).sum()), rel=1e-4)


# --- the experiment ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_small_size_matches_and_writes(tmp_path):
    report = heterogeneous.run(tmp_path, size="small")
    assert report.verdict == "matched", report.text
    assert [path.name for path in report.files] == ["jiang2024-heterogeneous.png", "numbers.csv", "report.json"]
    assert json.loads(report.files[-1].read_text())["settings"]["num_runs"] == 4
    texts = " ".join(report.table["claim"])
    assert all(entry.label in texts for entry in ENTRIES)


def test_a_biased_method_would_be_seen(monkeypatch):
    """Teeth: the rows of the majority vote under the name of DVR-Sign fail the claims of DVR-Sign."""
    paths = [{"method": "DVR-Sign", "steps": t, "x": 1.0, "x_stderr": 0.0} for t in range(8)]
    monkeypatch.setattr(heterogeneous, "ENTRIES", [e for e in ENTRIES if e.label == "DVR-Sign"])
    (claim,) = heterogeneous._quadratic_claims(paths, True)
    assert claim.outcome == "fails"
    tails = [{"method": "DVR-Sign", "limit": "optimum", "slope": resting_slope(1.1)}]
    (claim,) = heterogeneous._tail_claims(tails, True)
    assert claim.outcome == "fails"


def test_exponents_are_fitted_to_all_or_to_the_last():
    rows = [{"method": "a", "steps": k, "l1": k**-0.5 if k > 50 else 1.0} for k in (10, 100, 1000)]
    assert fitted(rows, "a", last=2) == pytest.approx(-0.5)
    assert fitted(rows, "a") == pytest.approx(-0.75)


def test_every_entry_can_be_loaded():
    names = [getattr(figure.load(), "name", "jiang2024-distributed") for figure in FIGURES]
    assert names == [figure.name for figure in FIGURES]
    assert {figure.paper for figure in FIGURES} == {"jiang2024"}


@pytest.mark.slow
def test_full_size_matches():
    report = heterogeneous.run()
    assert report.verdict == "matched", report.text
