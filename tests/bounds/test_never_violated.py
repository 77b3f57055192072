"""No bound is exceeded on random problems of its class; a bound that claims too much is.

Sizes are fixed: every problem is run 48 times, and its mean may exceed the bound by 4.5 standard errors at most.
"""

import math

import numpy as np
import pytest
import torch

from helpers.bound_problems import MatrixQuadratic, Waves, random_quadratic
from signscope import bounds, rules
from signscope._core.random import stream
from signscope.bounds import Constants
from signscope.bounds.instances import Quadratic, follow

RUNS, PROBLEMS = 48, 40
LAWS = ("gaussian", "laplace", "two-point", "skewed")


def excess(norms, bound):
    """Mean along the path minus 4.5 standard errors, over the bound."""
    mean = norms.mean(0)
    return float(mean.mean() - 4.5 * mean.std() / len(mean) ** 0.5) / bound


def setting(rng, *, most_batch=4):
    return {
        "lr": float(np.exp(rng.uniform(-4.5, 0))),
        "num_steps": int(rng.integers(6, 32)),
        "batch_size": int(rng.integers(1, most_batch + 1)),
    }


def problem_of(rng, number):
    return Waves(rng) if number % 3 == 2 else random_quadratic(rng, law=LAWS[number % 4])


def test_signsgd_with_any_noise():
    rng, seen = stream(1, "signsgd"), []
    for number in range(PROBLEMS):
        problem, used = problem_of(rng, number), setting(rng)
        bound = bounds.signsgd_bound(problem.constants, **used)
        seen.append(excess(follow(problem, "signsgd", num_runs=RUNS, seed=number, **used), bound))
    assert max(seen) <= 1
    assert max(seen) > 0.6  # the bound is not far away


def test_the_noise_term_is_needed_in_full():
    """Two-point noise as large as the slope: the walk has no direction, and what Gaussian noise allows is exceeded."""
    flat = Quadratic([1e-3], start=[1e3], noise=[1.0001], law="two-point")
    used = {"lr": 1.5, "num_steps": 3000}
    norms = follow(flat, "signsgd", num_runs=RUNS, **used)
    assert excess(norms, bounds.signsgd_bound(flat.constants, **used)) <= 1
    assert excess(norms, bounds.signsgd_bound(flat.constants, law="gaussian", **used)) > 1.02


def test_signsgd_with_gaussian_noise():
    rng, seen = stream(2, "gaussian"), []
    for number in range(PROBLEMS):
        problem, used = random_quadratic(rng), setting(rng)
        bound = bounds.signsgd_bound(problem.constants, law="gaussian", **used)
        seen.append(excess(follow(problem, "signsgd", num_runs=RUNS, seed=number, **used), bound))
    assert 0.6 < max(seen) <= 1


def test_batch_one_with_symmetric_noise():
    rng, seen = stream(3, "symmetric"), []
    for number in range(PROBLEMS):
        problem = random_quadratic(rng, law=("gaussian", "laplace")[number % 2])
        used = setting(rng, most_batch=1)
        bound = bounds.signsgd_symmetric_bound(problem.constants, lr=used["lr"], num_steps=used["num_steps"])
        seen.append(excess(follow(problem, "signsgd", num_runs=RUNS, seed=number, **used), bound))
    assert 0.5 < max(seen) <= 1


def test_batch_one_with_skewed_noise_has_a_floor_above_that_bound():
    skewed = Quadratic([1.0], start=[1.0], noise=[1.0], law="skewed")
    plan = bounds.signsgd_symmetric(skewed.constants, num_calls=6000)
    norms = follow(skewed, "signsgd", lr=plan.lr, num_steps=6000, num_runs=8)
    assert excess(norms, plan.value) > 1.3
    assert float(norms[3000:].mean()) == pytest.approx(1 - math.log(2), abs=0.02)  # the median of the noise


@pytest.mark.parametrize(("method", "near"), [("signum", 0.35), ("ssvr", 0.5)])
def test_methods_with_memory(method, near):
    rng, seen = stream(4, method), []
    for number in range(PROBLEMS):
        problem, used = problem_of(rng, 2 if number % 2 else number), setting(rng)
        own = {"beta": float(rng.uniform(0.05, 1)), "init_batch": int(rng.integers(1, 6))}
        used.pop("batch_size")
        bound = getattr(bounds, f"{method}_bound")(problem.constants, **used, **own)
        seen.append(excess(follow(problem, method, num_runs=RUNS, seed=number, **used, **own), bound))
    assert near < max(seen) <= 1


@pytest.mark.parametrize("method", ["ssvr_fs", "spider_sign", "signsvrg"])
def test_finite_sums_with_the_planned_parameters(method):
    rng, seen = stream(5, method), []
    for _ in range(8):
        problem = Waves(rng)
        plan = getattr(bounds, method)(
            problem.constants, num_steps=40, num_components=12, period=int(rng.integers(2, 9))
        )
        seen.append(excess(finite_sum_norms(problem, plan, rng), plan.value))
    assert 0.25 < max(seen) <= 1


def finite_sum_norms(problem, plan, rng):
    """The three methods, typed from their algorithm boxes; resets where the method has them."""
    x = old = anchor = problem.start.expand(RUNS, -1)
    norms = []
    for step in range(plan.num_steps):
        full = problem.gradient(x)
        norms.append(problem.norm(full))
        if step % plan.period == 0:
            anchor, h = x, full
        one = problem.draw(rng, RUNS)
        here, there, at_anchor = (problem.sampled(point, one) for point in (x, old, anchor))
        if step == 0 or (step % plan.period == 0 and plan.method != "ssvr_fs"):
            v = h
        elif plan.method == "signsvrg":
            v = here - at_anchor + h
        elif plan.method == "spider_sign":
            v = v + here - there
        else:
            v = (1 - plan.beta) * (v - there) + here + plan.beta * (h - at_anchor)
        old, x = x, x - plan.lr * rules.signsgd(v)
    return torch.stack(norms)


def test_sgd_on_any_function():
    rng, seen = stream(6, "sgd"), []
    for number in range(PROBLEMS):
        problem, used = problem_of(rng, number), setting(rng)
        used["lr"] *= 1.9 / problem.constants.smoothness_l2
        bound = bounds.sgd_bound(problem.constants, **used)
        seen.append(excess(follow(problem, "sgd", num_runs=RUNS, seed=number, **used), bound))
    assert 0.6 < max(seen) <= 1


def test_sgd_on_separable_functions():
    rng, seen = stream(7, "separable"), []
    for number in range(PROBLEMS):
        problem, used = random_quadratic(rng, law=LAWS[number % 4], diagonal=True), setting(rng)
        used["lr"] *= 1.9 / problem.constants.smoothness_l2
        bound = bounds.sgd_separable_bound(problem.constants, **used)
        seen.append(excess(follow(problem, "sgd", num_runs=RUNS, seed=number, **used), bound))
    assert 0.5 < max(seen) <= 1


def test_muon_in_the_nuclear_norm():
    rng, seen = stream(8, "muon"), []
    for number in range(12):
        problem, used = MatrixQuadratic(rng, law=LAWS[2 * (number % 2)]), setting(rng)
        bound = bounds.muon_bound(problem.constants, **used)
        seen.append(excess(follow(problem, "muon", num_runs=12, seed=number, **used), bound))
    assert 0.6 < max(seen) <= 1


def test_the_factor_of_the_noise_term_is_settled_from_both_sides():
    """Half of it is exceeded; the published factor 2 is never approached by mini-batches."""
    flat = Quadratic([1e-3], start=[1e3], noise=[1.0001], law="two-point")
    used = {"lr": 1.5, "num_steps": 3000}
    norms = follow(flat, "signsgd", num_runs=RUNS, **used)

    def with_factor(factor):
        known = Constants(flat.constants.initial_gap, flat.constants.smoothness, factor * flat.constants.noise_l1)
        return excess(norms, bounds.signsgd_bound(known, **used))

    assert with_factor(0.5) > 1.5
    assert with_factor(2.0) < 0.6


def test_different_samples_at_the_two_points_break_the_bound_of_ssvr():
    problem = Quadratic([1.0], start=[10.0], noise=[1.0])
    used = {"lr": 0.01, "beta": 0.01, "num_steps": 2000}
    bound = bounds.ssvr_bound(problem.constants, **used)
    assert excess(follow(problem, "ssvr", num_runs=8, **used), bound) <= 1
    rng, norms = stream(9, "different"), []
    x = old = problem.start.expand(8, -1)
    v = problem.gradient(x)
    for _ in range(used["num_steps"]):
        norms.append(problem.norm(problem.gradient(x)))
        now, then = problem.draw(rng, 8), problem.draw(rng, 8)
        v = rules.ssvr(problem.sampled(x, now), problem.sampled(old, then), v, beta=used["beta"])
        old, x = x, x - used["lr"] * rules.signsgd(v)
    assert excess(torch.stack(norms), bound) > 1
