"""Weak order of models and schemes, measured without sampling wherever one dimension is enough."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import make_interp_spline

from signscope.integrate.euler_maruyama import euler_step, heun_step
from signscope.integrate.weak_second_order import platen_step, trapezoid_step
from signscope.problems.landscapes import DoubleWell, Quadratic
from signscope.problems.oracle_noise import GaussianNoise, LawNoise
from signscope.sdes import solve
from signscope.sdes.moments import Averaged, adaptive_moments, chain_law, expectations, gaussian_up, sde_moments
from signscope.sdes.moments.signs import sign_moments
from signscope.sdes.setting import Setting
from signscope.sdes.sgd import SgdEquation
from signscope.sdes.signsgd import SignSgdEquation
from signscope.simulation.descent import descend

START, HORIZON = 1.5, 2.0
FINE = (1 / 16, 1 / 32, 1 / 64)  # coarser rates are not asymptotic: signed errors cross zero there
OBSERVABLES = [lambda x: x, lambda x: x * x, lambda x: torch.cos(2 * x)]


def slopes(errors):
    logs = np.log2(np.abs(errors))
    return logs[:-1] - logs[1:]


def equation(order, lr):
    return SignSgdEquation(Setting(Quadratic([1.0]), GaussianNoise(1, std=1.0), lr, order=order))


def sde_law(model, *, noiseless=False):
    def drift(x):
        return model.coefficients(0.0, x[:, None])[0][:, 0]

    def variance(x):
        return (
            0 * x
            if noiseless
            else model.coefficients(0.0, x[:, None])[1](torch.ones(len(x), 1).double())[:, 0].square()
        )

    return expectations(drift, variance, OBSERVABLES, START, horizon=HORIZON, points=1601, steps=240)


def exact(lr, up=None):
    x, p = chain_law(START, up or gaussian_up(1, 1), lr=lr, num_steps=round(HORIZON / lr))
    return torch.stack([(p * g(x)).sum() for g in OBSERVABLES])


@pytest.mark.parametrize(("order", "low", "high"), [(1, 0.8, 1.05), (2, 1.85, 2.1)])
def test_models_of_signsgd_have_their_order(order, low, high):
    errors = np.array([(sde_law(equation(order, lr)) - exact(lr)).numpy() for lr in FINE])
    found = slopes(errors)[-1]
    assert (found > low).all()
    assert (found < high).all()


def test_order_one_does_not_certify_the_diffusion():
    """The equation without any noise has order one as well; its variance is zero at every rate."""
    errors = np.array([(sde_law(equation(1, lr), noiseless=True) - exact(lr)).numpy() for lr in FINE])
    assert slopes(errors)[-1][0] == pytest.approx(1, abs=0.05)
    law = sde_law(equation(1, 1 / 64))
    chain = exact(1 / 64)
    ratio = (law[1] - law[0] ** 2) / (chain[1] - chain[0] ** 2)
    coarse = sde_law(equation(1, 1 / 16))
    other = exact(1 / 16)
    assert abs(float(ratio) - 1) < 0.02
    assert abs(float(ratio) - 1) < abs(float((coarse[1] - coarse[0] ** 2) / (other[1] - other[0] ** 2)) - 1)


@pytest.mark.parametrize("law", ["student-t:1", "student-t:2", "laplace:1"])
def test_heavy_tails_have_order_one(law):
    noise, loss = LawNoise(law, 1), Quadratic([1.0])

    def up(x):
        return noise.cdf(-x[:, None], 0.0)[:, 0]

    errors = []
    for lr in FINE:
        model = SignSgdEquation(Setting(loss, noise, lr))
        errors.append((sde_law(model) - exact(lr, up)).numpy())
    assert slopes(np.array(errors))[-1][0] == pytest.approx(1, abs=0.06)
    mean, variance = sign_moments(noise, torch.zeros(1, 1).double(), torch.zeros(1, 1).double(), 0.0)
    assert float(mean) == pytest.approx(0, abs=1e-12)
    assert float(variance) == pytest.approx(1, abs=1e-12)


def transported(step, model, dt, *, order=12):
    """E g(Y_T) of a scheme by quadrature over its normals, backwards on a grid."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / weights.sum()
    grid = torch.linspace(-4, 4, 401, dtype=torch.float64)
    states, normals = grid.repeat_interleave(order)[:, None], torch.from_numpy(nodes).repeat(len(grid))[:, None]
    moved = step(model, 0.0, states, dt, normals)[:, 0].clamp(-4, 4).numpy()  # beyond: never reached from the start
    u = np.stack([g(grid).numpy() for g in OBSERVABLES], 1)
    for _ in range(round(HORIZON / dt)):
        u = np.einsum(
            "q,nqk->nk", weights, make_interp_spline(grid.numpy(), u, k=5)(moved).reshape(len(grid), order, -1)
        )
    return make_interp_spline(grid.numpy(), u, k=5)(START)


@pytest.mark.parametrize(
    ("step", "order"), [(euler_step, 1), (heun_step, 1), (platen_step, 2), (trapezoid_step, 2)],
    ids=["euler", "heun", "platen", "trapezoid"],
)  # fmt: skip
def test_schemes_have_their_order_at_fixed_noise(step, order):
    """At fixed lr = 1/8; the trapezoid and Heun leave lr^2 dt and lr dt, small against what they remove."""
    model = equation(1, 1 / 8)
    law = sde_law(model).numpy()
    errors = np.array([transported(step, model, dt) - law for dt in (1 / 4, 1 / 8)])
    found = slopes(errors)[0][0]  # of the mean
    assert found > order - 0.35 if step is not heun_step else found > 0.8


def test_platen_is_as_good_as_many_euler_steps():
    model = equation(1, 1 / 16)
    law, optimizer = sde_law(model).numpy(), exact(1 / 16).numpy()
    gap = np.abs(law - optimizer)[:2]
    platen, trapezoid, euler, fine = (
        np.abs(transported(step, model, dt) - law)[:2]
        for step, dt in ((platen_step, 1 / 16), (trapezoid_step, 1 / 16), (euler_step, 1 / 16), (euler_step, 1 / 128))
    )
    assert (platen < 0.06 * gap).all()
    assert (trapezoid < 0.06 * gap).all()
    assert (euler > 0.8 * gap).all(), "one Euler step per update is the optimizer, not the SDE"
    assert (fine < 0.15 * gap).all()


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_mean_loss_of_adam_and_its_sde_agree_to_order_one(beta1):
    """V at its mean on both sides, rho fixed: the gap of the mean loss halves with lr."""
    h, cov, start = (torch.tensor(v, dtype=torch.float64) for v in ([[1.0]], [[0.09]], [1.0]))
    gaps = []
    for lr in (0.02, 0.01):
        beta = 0.0 if beta1 == 0 else 1 - 4 * lr
        averages, steps = Averaged((beta, 1 - 2 * lr), bias_correction=False), round(1 / lr)
        rates = iter([(lr, 1.0)] * (steps + 1))
        *_, (m, v) = adaptive_moments(h, cov, start, rates, averages)
        substeps = 4 if beta1 else 12  # without memory the average relaxes within a step
        *_, (n, w) = sde_moments(h, cov, start, averages, lr=lr, form="recommended", num_steps=steps, substeps=substeps)
        gaps.append(float(m @ h @ m + (h * v).sum() - n @ h @ n - (h * w).sum()))
    assert slopes(np.array(gaps))[-1] == pytest.approx(1, abs=0.25)


def test_coupled_paths_of_sgd_differ_by_order_lr():
    """The optimizer driven by the same Brownian path as its SDE: both means at once, with few paths."""
    gaps = []
    for lr, steps in ((1 / 8, 16), (1 / 16, 32), (1 / 32, 64)):
        same = {"optimizer": "sgd", "noise": 1.0, "lr": lr, "num_steps": steps, "num_paths": 400, "times": [0, steps]}
        model = solve(Quadratic([1.0]), [START], substeps=16, scheme="trapezoid", **same)
        runs = descend(Quadratic([1.0]), [START], brownian_substeps=16, **same)
        gaps.append(float(model.mean[-1] - runs.mean[-1]))
    wanted = [math.exp(-2) * START - (1 - lr) ** round(2 / lr) * START for lr in (1 / 8, 1 / 16, 1 / 32)]
    assert np.allclose(gaps, wanted, rtol=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_variance_certificate_of_the_adaptive_sdes(optimizer):
    """In a transient with a large gradient Var(X) is right only if V fluctuates, and at every rate."""
    num_paths, options = 20_000, {"betas": (0.0, 0.0), "bias_correction": False}
    ratios = {}
    for lr in (0.01, 0.0025):
        options["betas"] = (1 - 8 * lr, 1 - lr)
        same = {"optimizer": optimizer, "noise": 0.25, "lr": lr, "num_steps": round(0.5 / lr), "num_paths": num_paths}
        same |= {"times": [0, round(0.5 / lr)], **options}
        runs = descend(Quadratic([1.0]), [1.0], **same)
        for name, form in (("recommended", {}), ("published", {"form": "published"})):
            model = solve(Quadratic([1.0]), [1.0], scheme="trapezoid", substeps=1, **form, **same)
            ratios[name, lr] = float(model.variance[-1] / runs.variance[-1])
    error = 4.5 * 2 / math.sqrt(num_paths)  # of a ratio of two variances
    assert abs(ratios["recommended", 0.0025] - 1) < error + 0.02
    assert ratios["published", 0.0025] > 1.2
    assert ratios["published", 0.01] > 1.2


@pytest.mark.slow
def test_correlated_signs_in_a_double_well():
    cov = [[1.0, 0.7], [0.7, 1.0]]
    same = {"optimizer": "signsgd", "lr": 0.02, "num_steps": 100, "num_paths": 20_000, "times": [0, 100]}
    observe = {"product": lambda x: x[:, 0] * x[:, 1]}
    runs = descend(DoubleWell(2, tilt=0.1), [0.6, -0.4], noise=cov, observe=observe, **same)
    found = {
        name: solve(
            DoubleWell(2, tilt=0.1), [0.6, -0.4], noise=noise, observe=observe, substeps=4, correlated=kind, **same
        )
        for name, noise, kind in (("coin", cov, "coin"), ("root", cov, "root"), ("diagonal", 1.0, "coin"))
    }

    def covariance(e):
        return float(e.observed["product"].final - e.mean[-1, 0] * e.mean[-1, 1])

    spread = 4.5 * 2 * float(runs.variance[-1].max()) / math.sqrt(20_000)
    for name in ("coin", "root"):
        assert abs(covariance(found[name]) - covariance(runs)) < spread + 1e-3
    assert abs(covariance(found["diagonal"]) - covariance(runs)) > 2 * spread, "teeth"


def test_second_order_sgd_is_the_gradient_flow_of_a_changed_loss():
    h, lr = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64), 0.1
    model = SgdEquation(Setting(Quadratic(h), GaussianNoise(2, std=1.0), lr, order=2))
    x = torch.tensor([[1.0, -0.5], [0.2, 0.3]], dtype=torch.float64)
    torch.testing.assert_close(model.coefficients(0.0, x)[0], -x @ (h + 0.5 * lr * h @ h))


@pytest.mark.parametrize("optimizer", ["rmsprop", pytest.param("adam", marks=pytest.mark.slow)])
def test_second_order_adaptive_sdes_remove_most_of_the_error_of_the_mean(optimizer):
    lr, num_paths = 0.1, 20_000
    same = {"optimizer": optimizer, "noise": 0.5, "lr": lr, "num_steps": 10, "num_paths": num_paths, "times": [0, 10]}
    same |= {"betas": (1 - 3 * lr, 1 - lr), "bias_correction": False, "eps": 0.0}
    runs = descend(Quadratic([1.0]), [1.0], **same)
    models = [solve(Quadratic([1.0]), [1.0], scheme="trapezoid", substeps=3, order=k, **same) for k in (1, 2)]
    first, second = (float(m.mean[-1] - runs.mean[-1]) for m in models)
    error = 4.5 * math.sqrt(2 * float(runs.variance[-1]) / num_paths)
    assert abs(first) > 2 * error
    assert abs(second) < error + 0.15 * abs(first)
