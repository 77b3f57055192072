"""How calls grow with dimension, with accuracy and with noise density: exponents of bounds and of runs.

Runs use `sharp_coordinates`: few sharp, noisy coordinates among many flat, quiet ones, with the best constant step.
SGD's mean norm is computed exactly (its coordinates are Gaussian); signSGD's from the law of its walk on a grid.
"""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf, ndtr

from signscope import bounds
from signscope.bounds import Constants
from signscope.bounds.instances import follow, sharp_coordinates

START = 1.15
SGD_RATES = np.geomspace(0.004, 2, 40)


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def folded(mean, std):
    """E|N(mean, std^2)|."""
    ratio = mean / np.maximum(std, 1e-300) / math.sqrt(2)
    return std * math.sqrt(2 / math.pi) * np.exp(-np.minimum(ratio**2, 700)) + mean * erf(ratio)


def sgd_norm(dim, sharp, calls):
    """Mean l1 norm over the last half of ``calls`` steps of SGD, for every rate; noise of norm 1."""
    steps = np.linspace(calls // 2, calls, 60).astype(int)[:, None]
    curve, quiet, var = 0.5 / sharp, 0.5 / (dim - sharp), 1 / sharp
    shrink = 1 - SGD_RATES * curve
    std = np.sqrt(SGD_RATES**2 * var * (1 - shrink ** (2 * steps)) / (1 - shrink**2))
    loud = sharp * curve * folded(START * shrink**steps, std)
    return (loud + (dim - sharp) * quiet * START * (1 - SGD_RATES * quiet) ** steps).mean(0)


def sgd_calls(dim, sharp=1, target=0.1):
    """Fewest calls, up to 1%, after which the last half has a mean norm of ``target`` at the best rate."""
    low, high = 32, 64
    while sgd_norm(dim, sharp, high).min() > target:
        low, high = high, 2 * high
    while high > 1.01 * low:
        middle = math.isqrt(low * high)
        low, high = (middle, high) if sgd_norm(dim, sharp, middle).min() > target else (low, middle)
    return high


def sign_calls(sharp, target=0.1, most=6000):
    """The same for signSGD, at the best of some rates; the number of quiet coordinates plays no part."""
    best = most
    for lr in (0.3 / sharp, 0.08 / sharp, 0.04 / sharp, 0.02 / sharp):
        grid = START + lr * np.arange(-math.ceil(2.2 / lr), math.ceil(0.6 / lr))
        down = ndtr(grid * 0.5 / math.sqrt(sharp))  # P(g + noise > 0): slope x/(2 sharp), noise 1/sqrt(sharp)
        down[0], down[-1] = 0, 1
        law = (np.abs(grid - START) < lr / 2).astype(float)
        norms, quiet = [], START
        for _ in range(best):
            norms.append(0.5 * (law * np.abs(grid)).sum() + 0.5 * abs(quiet))
            law = np.append((law * down)[1:], 0) + np.append(0, (law * (1 - down))[:-1])
            quiet -= lr * np.sign(quiet)
        total = np.append(0, np.cumsum(norms))
        calls = np.arange(2, len(norms) + 1)
        late = (total[calls] - total[calls // 2]) / (calls - calls // 2)
        if (late <= target).any():
            best = int(calls[np.argmax(late <= target)])
    return best


def first_below(norms, level=0.02):
    """Fewest steps over all runs until the norm is at most ``level``."""
    below = norms <= level
    return int(torch.where(below.any(0), below.int().argmax(0), len(norms)).min())


def test_without_noise_steps_grow_like_d_for_gradient_descent_and_not_for_signs():
    dims, plain, signs = (8, 32, 128, 512), [], []
    rng = np.random.default_rng(0)
    for dim in dims:
        problem = sharp_coordinates(dim, start=rng.uniform(1, 1.3, dim))
        rates = torch.linspace(2, 3.99, 60, dtype=torch.float64)
        plain.append(first_below(follow(problem, "sgd", lr=rates, num_steps=8 + 2 * dim, num_runs=60)))
        rates = torch.linspace(0.015, 0.1, 60, dtype=torch.float64)
        signs.append(first_below(follow(problem, "signsgd", lr=rates, num_steps=90, num_runs=60)))
    assert 0.95 <= slope(dims, plain) <= 1.05, plain
    assert -0.1 <= slope(dims, signs) <= 0.1, signs


def test_with_sparse_noise_calls_grow_like_d_for_sgd():
    dims = (32, 128, 512, 2048)
    calls = [sgd_calls(d) for d in dims]
    assert slope(dims, calls) == pytest.approx(1, abs=0.05), calls
    assert sign_calls(1) < calls[0] / 4  # and is the same for every d


def test_calls_against_density_are_one_over_phi():
    dim, counts = 2048, (1, 4, 16)
    plain = [sgd_calls(dim, k) for k in counts]
    ratio = [calls / sign_calls(k) for calls, k in zip(plain, counts, strict=True)]
    density = [sharp_coordinates(dim, num_sharp=k, noise=1.0).constants.noise_density for k in counts]
    assert -1.05 <= slope(density, ratio) <= -0.95, ratio
    assert abs(slope(density, plain)) < 0.02  # SGD does not see the density, signSGD does


@pytest.mark.parametrize(("dim", "calls"), [(8, 64), (64, 700)])
def test_the_exact_mean_norms_are_those_of_runs(dim, calls):
    problem = sharp_coordinates(dim, num_sharp=2, noise=1.0)
    for index in (10, 25):
        norms = follow(problem, "sgd", lr=float(SGD_RATES[index]), num_steps=calls, num_runs=200)
        late = norms[calls // 2 :].mean(0)
        allowance = 0.01 * float(late.mean())  # 60 of the steps are averaged
        assert (
            abs(float(late.mean()) - sgd_norm(dim, 2, calls)[index]) <= 4.5 * float(late.std()) / 200**0.5 + allowance
        )


@pytest.mark.parametrize(
    ("make", "in_calls", "in_density"),
    [
        (lambda c, n: bounds.signsgd(c, num_calls=n), -1 / 4, 1 / 4),
        (lambda c, n: bounds.signsgd_symmetric(c, num_calls=n), -1 / 4, 1 / 4),
        (lambda c, n: bounds.signsgd_lower(c, num_calls=n), -1 / 4, 1 / 4),
        (lambda c, n: bounds.signum(c, num_steps=n), -1 / 4, 1 / 4),
        (lambda c, n: bounds.ssvr(c, num_steps=n), -1 / 3, 1 / 6),
        (lambda c, n: bounds.ssvr_fs(c, num_steps=n, num_components=100), -1 / 2, 0),
        (lambda c, n: bounds.sgd(c, num_calls=n), -1 / 4, 0),
        (lambda c, n: bounds.sgd_lower(c, num_calls=n), -1 / 4, 0),
    ],
)
def test_exponents_of_the_bounds_in_calls_and_in_density(make, in_calls, in_density):
    """At fixed sigma_2: signSGD's bound grows like phi^(1/4), SSVR's like phi^(1/6), SGD's not at all."""
    dim, calls, density = 10**6, np.array([10**16, 10**17, 10**18]), np.array([1e-4, 1e-3, 1e-2])

    def known(phi):
        return Constants(1.0, 1.0, math.sqrt(phi * dim), dim=dim, noise_l2=1.0, smoothness_l2=1.0)

    assert slope(calls, [make(known(1e-3), int(n)).value for n in calls]) == pytest.approx(in_calls, abs=0.01)
    assert slope(density, [make(known(p), 10**18).value for p in density]) == pytest.approx(in_density, abs=0.01)


@pytest.mark.parametrize(
    ("make", "power"), [(bounds.sgd, 1 / 2), (bounds.sgd_lower, 1 / 4), (bounds.signsgd, 0), (bounds.signsgd_lower, 0)]
)
def test_exponents_of_the_bounds_in_dimension(make, power):
    """At fixed L, L_2, sigma_1 and sigma_2 (sparse noise): d^2, d and nothing under the fourth root."""
    dims = (10, 100, 1000)
    values = [
        make(Constants(1.0, 1.0, 1.0, dim=d, noise_l2=1.0, smoothness_l2=1.0), num_calls=10**15).value for d in dims
    ]
    assert slope(dims, values) == pytest.approx(power, abs=0.01)


def calls_of_runs(method, sharp, *, lrs, betas=(1.0,), most, target=0.1, runs=12, dim=64):
    """Fewest calls of simulated runs with the best of all pairs of rate and beta."""
    problem = sharp_coordinates(dim, num_sharp=sharp, noise=1.0)
    cost, best = (2 if method == "ssvr" else 1), math.inf
    for beta in betas:
        rates = torch.tensor(lrs, dtype=torch.float64).repeat_interleave(runs)
        norms = follow(problem, method, lr=rates, beta=beta, num_steps=most, num_runs=len(rates), seed=sharp)
        total = torch.cat([torch.zeros(1, len(lrs)), norms.reshape(most, len(lrs), runs).mean(-1).cumsum(0)])
        steps = torch.arange(2, most + 1)
        late = (total[steps] - total[steps // 2]) / (steps - steps // 2)[:, None]
        best = min([best, *(cost * int(steps[column][0]) for column in (late <= target).T if bool(column.any()))])
    return best


@pytest.mark.slow
def test_simulated_calls_against_dimension():
    dims = (8, 32, 128)
    lrs = np.geomspace(0.02, 0.15, 8)
    calls = [calls_of_runs("sgd", 1, lrs=lrs, most=300 * d, dim=d) for d in dims]
    assert slope(dims, calls) == pytest.approx(1, abs=0.1), calls
    signs = [calls_of_runs("signsgd", 1, lrs=(0.02, 0.04, 0.08), most=800, dim=d) for d in dims]
    assert abs(slope(dims, signs)) <= 0.1, signs


@pytest.mark.slow
def test_simulated_calls_of_ssvr_against_density():
    """SGD's calls do not grow with the density; signSGD's do, and SSVR's as fast.

    The leading term of SSVR's bound has exponent 1/2. On this quadratic the term sigma_1^2/eps^2, the price of any mean
    estimate, governs.
    """
    counts, dim = (1, 4, 16), 64
    found = {
        "sgd": [calls_of_runs("sgd", k, lrs=np.geomspace(0.02, 0.4, 8), most=20_000, dim=dim) for k in counts],
        "signsgd": [
            calls_of_runs("signsgd", k, lrs=np.array([0.3, 0.08, 0.04, 0.02]) / k, most=6000, dim=dim) for k in counts
        ],
        "ssvr": [
            calls_of_runs(
                "ssvr",
                k,
                lrs=np.geomspace(0.003, 0.1, 8),
                betas=np.array([0.3, 0.1, 0.03, 0.01, 0.003]),
                most=6000,
                dim=dim,
            )
            for k in counts
        ],
    }
    grown = {name: slope(counts, calls) for name, calls in found.items()}
    assert abs(grown["sgd"]) < 0.15, found  # 64 - k quiet coordinates
    assert grown["signsgd"] == pytest.approx(1, abs=0.15), found
    assert grown["ssvr"] == pytest.approx(1, abs=0.2), found
