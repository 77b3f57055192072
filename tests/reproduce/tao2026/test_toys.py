"""The toys: exact formulas against loops and sampling, teeth, and the experiments at their small size."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope.bounds.instances import sharp_coordinates
from signscope.reproduce.tao2026 import (
    FIGURES,
    adaptive_step,
    correlated_noise,
    toy_deterministic,
    toy_stochastic,
    toys,
)

EXPERIMENTS = {m.run.name: m for m in (toy_deterministic, toy_stochastic, correlated_noise, adaptive_step)}


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("name", ["tao2026-toy-deterministic", "tao2026-correlated-noise", "tao2026-adaptive-step"])
def test_small_size_matches_and_writes(name, tmp_path):
    report = EXPERIMENTS[name].run(tmp_path, size="small")
    assert report.verdict == "matched", report.text
    assert [path.name for path in report.files] == [f"{name}.png", "numbers.csv", "report.json"]
    assert json.loads(report.files[-1].read_text())["settings"]["size"] == "small"
    assert "Chosen here" in report.text


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_full_size_matches(name, tmp_path):
    report = EXPERIMENTS[name].run(tmp_path)
    assert report.verdict == "matched", report.text
    assert report.files[0].read_bytes().startswith(b"\x89PNG")


def test_every_entry_can_be_loaded():
    assert len(FIGURES) == 7
    for figure in FIGURES:
        experiment = figure.load()
        assert experiment.name == figure.name
        assert {"full", "small"} <= set(experiment.sizes)


@settings(deadline=None, max_examples=50)
@given(start=st.floats(-3, 3), lr=st.floats(0.01, 1.0), num_steps=st.integers(0, 60))
def test_signs_without_noise_are_the_loop(start, lr, num_steps):
    x = start
    for _ in range(num_steps):
        x -= lr * np.sign(x)
    found = float(toys.sign_noiseless(np.array([start]), lr=lr, num_steps=num_steps)[0])
    assert min(abs(found - abs(x)), abs(lr - found - abs(x))) < 1e-9  # rounding may decide a tie either way


def test_descent_without_noise_is_the_loop():
    start, curvature = np.array([1.0, -2.0, 0.5]), np.array([3.0, 0.2, 1.0])
    x = start.copy()
    for _ in range(25):
        x -= 0.6 * curvature * x
    assert toys.sgd_noiseless(start, curvature, lr=0.6, num_steps=25) == pytest.approx(np.abs(x), rel=1e-12)


def test_moments_of_sgd_are_those_of_its_recursion():
    lr, times = np.array([0.1, 0.9, 1.7]), np.array([1.0, 2.0, 7.0])
    mean, std = toys.sgd_moments(1.5, 1.0, noise=0.4, lr=lr, times=times)
    for i, rate in enumerate(lr):
        m, v = 1.5, 0.0
        for t in range(1, 8):
            m, v = (1 - rate) * m, (1 - rate) ** 2 * v + (rate * 0.4) ** 2
            if t in times:
                k = list(times).index(t)
                assert (mean[i, k], std[i, k]) == pytest.approx((m, math.sqrt(v)), rel=1e-12)


def test_folded_mean_is_what_quadrature_gives():
    x = np.linspace(-12, 12, 200_001)
    for mean, std in ((0.0, 1.0), (0.7, 0.5), (-2.0, 0.8)):
        law = np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
        exact = np.trapezoid(np.abs(x) * law, x)
        assert float(toys.folded(np.array(mean), np.array(std))) == pytest.approx(exact, rel=1e-6)
    assert float(toys.folded(np.array(-0.3), np.array(0.0))) == 0.3


def test_law_of_noisy_signs_is_what_sampling_sees():
    rng, runs, steps = np.random.default_rng(5), 4_000, 60
    first, second = toys.sign_paths(0.8, 0.5, noise=1.0, lr=0.05, num_steps=steps)
    x = np.full(runs, 0.8)
    for t in range(steps):
        x -= 0.05 * np.sign(0.5 * x + rng.standard_normal(runs))
        if t in (10, steps - 1):
            for found, values in ((first[t], np.abs(x)), (second[t], x**2)):
                assert abs(values.mean() - found) < 4.5 * values.std() / math.sqrt(runs)
    wrong, _ = toys.sign_paths(0.8, 0.5, noise=2.0, lr=0.05, num_steps=steps)
    assert abs(np.abs(x).mean() - wrong[-1]) > 4.5 * np.abs(x).std() / math.sqrt(runs)  # teeth


def test_the_published_toy_has_its_reference_values():
    """lr 0.001 and 0.01, as re-run earlier: 6.07 and 0.082, up to the random start."""
    start = np.random.default_rng(0).standard_normal(toy_deterministic.DIM)
    assert toy_deterministic.final("SGD", start, lr=1e-3)[0] == pytest.approx(6.07, rel=0.08)
    assert toy_deterministic.final("signSGD", start, lr=1e-2)[0] == pytest.approx(0.082, rel=0.5)
    assert toy_deterministic.final("SGD", start, lr=1e-2)[0] > 1e100  # the next decade diverges


@pytest.mark.slow
def test_calls_follow_the_density_as_in_the_reference():
    """Ratios of calls at d = 2048: 2056 and 512.5 for 1 and 4 noisy coordinates, in another search over rates."""
    for noisy, expected in ((1, 2056), (4, 512.5)):
        sgd, edge = toy_stochastic.calls_sgd(2048, noisy, num_rates=12)
        sign, sign_edge = toy_stochastic.calls_sign(2048, noisy, num_rates=12)
        assert not edge
        assert not sign_edge
        assert sgd / sign == pytest.approx(expected, rel=0.35)


def test_equal_densities_would_be_seen(monkeypatch):
    """Teeth: with a dense toy in place of the sharp one the dimension is free, and the verdict differs."""
    flat = sharp_coordinates(8)

    def even(dim, **_):
        return type(flat)(np.full(dim, 1 / dim), start=np.ones(dim))

    monkeypatch.setattr(toy_deterministic, "sharp_coordinates", even)
    assert toy_deterministic.run(size="small").verdict == "differs"


def test_common_noise_has_the_marginals_and_correlation_asked_for():
    sigma = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    factor = correlated_noise.common(sigma, 0.7)
    cov = factor @ factor.mT
    assert torch.allclose(cov.diagonal(), sigma**2)
    assert float(cov[0, 1] / (sigma[0] * sigma[1])) == pytest.approx(0.7)


def test_a_turn_goes_from_an_axis_to_the_diagonal():
    ends = correlated_noise.turned(9, 0.0), correlated_noise.turned(9, 1.0)
    assert ends[0].tolist() == [1.0] + [0.0] * 8
    assert torch.allclose(ends[1], torch.full((9,), 1 / 3, dtype=torch.float64))
    assert float(correlated_noise.turned(9, 0.4).norm()) == pytest.approx(1.0)


def test_the_adaptive_bound_is_the_largest_root_of_its_inequality():
    for alpha in (1e-3, 0.3, 50.0):
        options = {"alpha": alpha, "gap": 2.0, "smoothness": 3.0, "first": 0.7, "num_steps": 100}
        total = adaptive_step.adaptive_bound(**options) * 10

        def slack(s, a=alpha):
            return s - 2.0 / a - a * 1.5 * (1 + 2 * math.log(s / 0.7))

        assert slack(total) == pytest.approx(0, abs=1e-7 * total)
        assert slack(1.001 * total) > 0
        assert slack(10 * total) > 0


def test_the_adaptive_bound_is_not_empty():
    problem = sharp_coordinates(50, start=1.15)
    known, alpha = problem.constants, 0.05
    norm, _ = adaptive_step.path(
        "signSGD, adaptive",
        problem.gradient,
        problem.start,
        scale=torch.tensor([alpha], dtype=torch.float64),
        num_steps=400,
        noise=problem.noise,
        rng=np.random.default_rng(0),
    )
    first = float(problem.gradient(problem.start[None]).abs().sum())
    bound = adaptive_step.adaptive_bound(
        alpha=alpha, gap=known.initial_gap, smoothness=known.smoothness, first=first, num_steps=400
    )
    assert float(norm[0]) <= bound
    assert float(norm[0]) > 0.1 * bound
