"""The flow on rows against the algorithms themselves, the exact second moments of SGD, and the Gaussian theory."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from helpers.rows_data import as_rows, digits, exact_sgd, scatter, simulated, skewed
from signscope import LeastSquares, predict, simulate
from signscope._core.errors import InvalidInput
from signscope.limits import rows as rows_module
from signscope.limits import rows_moments
from signscope.limits.rows import flow, max_stable_lr, prepare, settle
from signscope.limits.rows_flow import System
from signscope.schedules import Constant, Cosine, PiecewiseConstant, WarmupStableDecay

TIMES = torch.linspace(0, 10, 26, dtype=torch.float64)


def predicted(rows, optimizer, lr, *, times=TIMES, **options):
    return flow(
        options.pop("data", None) or prepare(rows),
        optimizer=optimizer,
        schedule=lr,
        horizon=float(times[-1]),
        displacement=rows.displacement,
        times=times,
        bias_floor=False,
        **options,
    )


def mean_gap(value, runs):
    return float(((value - runs) / runs)[1:].abs().mean())


def assert_agrees(value, runs, stderr, *, gap, allowance, z=4.5):
    assert mean_gap(value, runs) < gap
    assert ((value - runs).abs() <= z * stderr + allowance * runs).all(), ((value - runs).abs() / runs).max()


# digits: standardised columns (few, large entries) and one global scale; 256 runs, drawn once


@pytest.mark.parametrize(
    ("scale", "optimizer", "lr", "gap"),
    [
        ("columns", "signsgd", 0.5, 0.08),
        ("global", "signsgd", 0.5, 0.03),
        ("columns", "sgd", 0.03, 0.01),
        ("global", "sgd", 0.5, 0.03),
        ("global", "adam", 0.5, 0.05),
    ],
)
def test_digits_follow_the_flow(scale, optimizer, lr, gap):
    rows = digits(scale)
    runs, stderr = simulated(rows, optimizer, lr=lr, times=TIMES, num_runs=256)
    curve = predicted(rows, optimizer, lr)
    assert curve.status == "ok"
    assert_agrees(curve.value, runs, stderr, gap=gap, allowance=0.06 if optimizer == "adam" else 2 / 61)
    assert float(curve.cov_part[0]) == 0  # all runs start at one point, and scatter from then on
    assert bool((curve.cov_part[1:] > 0).all())


def sign_ode(cov, displacement, power, lr, times):
    """Section 4 for signSGD with Gaussian noise of variance ``power``, by Radau: the theory of Gaussian rows."""
    dim, scale = len(cov), np.sqrt(np.diag(cov))
    eigvals, vectors = np.linalg.eigh(cov / np.sqrt(np.outer(scale, scale)))
    arcsine = np.arcsin(np.clip(cov / np.outer(scale, scale), -1, 1))
    np.fill_diagonal(arcsine, np.pi / 2)
    root = np.sqrt(scale)
    pushed = eigvals * np.einsum("ij,ik,kj->j", vectors, root[:, None] * arcsine * root, vectors)
    start = 0.5 * eigvals * (vectors.T @ (root * displacement)) ** 2

    def slope(_, r):
        phi = 2 / (np.pi * np.sqrt(2 * r.sum() + power))
        return -2 * lr * phi * eigvals * r + lr**2 / (np.pi * dim) * pushed

    return solve_ivp(slope, (0, times[-1]), start, "Radau", t_eval=times, rtol=1e-8, atol=1e-12).y.sum(0)


def test_gaussian_theory_is_far_off_on_standardised_digits_and_the_flow_is_not():
    rows = digits("columns")
    runs, _ = simulated(rows, "signsgd", lr=0.5, times=TIMES, num_runs=256)
    cov = prepare(rows).cov.numpy()
    power = float(rows.residuals.square().mean())
    gaussian = torch.as_tensor(sign_ode(cov, rows.displacement.numpy(), power, 0.5, TIMES.numpy()))
    assert mean_gap(gaussian, runs) > 0.2
    assert mean_gap(predicted(rows, "signsgd", 0.5).value, runs) < 0.08


def gaussian_rows(dim, num_rows, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    x = (rng.normal(size=(num_rows, dim)) * np.logspace(0, -0.75, dim)) @ basis * np.linspace(0.6, 1.6, dim)
    return as_rows(x, x @ rng.normal(size=dim) / dim**0.5 + 0.4 * rng.normal(size=num_rows))


def test_gaussian_rows_with_independent_noise_reduce_to_the_risk_ode():
    times = torch.linspace(0, 8, 17, dtype=torch.float64)
    rows = gaussian_rows(60, 15_000)
    cov, power = prepare(rows).cov.numpy(), float(rows.residuals.square().mean())
    theory = torch.as_tensor(sign_ode(cov, rows.displacement.numpy(), power, 0.6, times.numpy()))
    curve = predicted(rows, "signsgd", 0.6, times=times)
    assert mean_gap(curve.value, theory) < 0.015  # of order 1/dim
    assert mean_gap(curve.mean_part, theory) > 0.05  # teeth: the scatter of the runs is part of it


def test_sgd_approaches_the_exact_second_moments_at_first_order_in_the_step(monkeypatch):
    monkeypatch.setattr(rows_module, "FINEST", 1e-6)
    rows = skewed()
    top, gaps = max_stable_lr(rows), []
    for share in (0.02, 0.01, 0.005):
        steps = int(4 / share)
        times = torch.arange(1, steps + 1, dtype=torch.float64) / 5
        curve = predicted(rows, "sgd", share * top, times=times, rtol=1e-5)
        exact = exact_sgd(rows, lr=share * top, steps=steps)[1:]
        gaps.append(float(((curve.value - exact) / exact).abs().max()))
    assert gaps[0] < 0.002
    assert 1.7 < gaps[0] / gaps[1] < 2.4
    assert 1.7 < gaps[1] / gaps[2] < 2.4


def test_scatter_of_the_runs_needs_the_mean_removed(monkeypatch):
    rng = np.random.default_rng(0)
    x = 0.2 + rng.exponential(size=(200, 6))  # all positive: far from the target every step is the same
    rows = as_rows(x, x @ np.full(6, 4.0) + 0.5 * rng.normal(size=200))
    times = torch.tensor([0.0, 3.0], dtype=torch.float64)
    found = float(predicted(rows, "signsgd", 0.8, times=times).cov_part[-1])
    assert scatter(rows, "signsgd", lr=0.8, steps=18, num_runs=100) < 1e-12
    assert found < 1e-9
    monkeypatch.setattr(rows_moments.Local, "noise", property(lambda self: self.second))
    assert float(predicted(rows, "signsgd", 0.8, times=times).cov_part[-1]) > 1.0


def test_scatter_of_the_runs_is_right_early_on():
    rows = digits("columns")
    times = torch.tensor([0.0, 30 / 61], dtype=torch.float64)
    wanted = scatter(rows, "signsgd", lr=2.0, steps=30, num_runs=4000)  # within 1% or so
    assert float(predicted(rows, "signsgd", 2.0, times=times).cov_part[-1]) == pytest.approx(wanted, rel=0.06)


def test_backward_euler_damps_the_scatter_and_is_rejected():
    rows = digits("columns")
    data, lr = prepare(rows), 0.5
    mean, cov = rows.displacement, torch.zeros(data.dim, data.dim, dtype=torch.float64)
    eye, now = torch.eye(data.dim, dtype=torch.float64), 0.0
    for end in np.geomspace(0.01, 10, 45):
        h, now = end - now, float(end)
        local = data.sign_local(mean, cov, 1e-8)
        inverse = torch.linalg.inv(eye + h * lr * local.jacobian)
        mean = mean - inverse @ (h * lr * local.drift)
        cov = inverse @ (cov + h * lr**2 / data.dim * local.noise) @ inverse.T
    damped = 0.5 * float((data.cov * cov).sum())
    assert damped < 0.8 * float(predicted(rows, "signsgd", lr).cov_part[-1])


@pytest.mark.slow
def test_rtol_bounds_the_error():
    rows = digits("global")
    for optimizer in ("signsgd", "sgd"):
        fine = predicted(rows, optimizer, 0.5, rtol=4e-4)
        for rtol in (4e-3, 2e-2):
            rough = predicted(rows, optimizer, 0.5, rtol=rtol)
            assert ((rough.value - fine.value).abs() / fine.value).max() < rtol
            assert rough.num_evaluations < fine.num_evaluations


def test_momentum_is_seen_and_beta2_lag_moves_the_path(monkeypatch):
    rows = digits("global")
    times = torch.linspace(0, 2, 11, dtype=torch.float64)
    runs, stderr = simulated(rows, "adam", lr=0.5, times=times, num_runs=512)
    curve = predicted(rows, "adam", 0.5, times=times)
    assert_agrees(curve.value, runs, stderr, gap=0.06, allowance=0.08)
    at_once = predicted(rows, "adam", 0.5, times=times, betas=(0.0, 0.999))
    assert mean_gap(at_once.value, runs) > 1.3 * mean_gap(curve.value, runs)
    monkeypatch.setattr(rows_module, "fluctuation", lambda data, betas: None)  # the lag alone
    quick = predicted(rows, "adam", 0.5, times=times, betas=(0.9, 0.99))
    assert ((quick.value - curve.value).abs() / curve.value).max() > 0.01


def test_a_short_memory_of_adam_is_seen(monkeypatch):
    rows = gaussian_rows(120, 6000)
    times = torch.linspace(0, 4, 9, dtype=torch.float64)
    runs, _ = simulated(rows, "adam", lr=0.3, times=times, num_runs=128, betas=(0.0, 0.8))
    curve = predicted(rows, "adam", 0.3, times=times, betas=(0.0, 0.8))
    assert curve.status == "inaccurate"  # right for rows like these, not for all
    assert mean_gap(curve.value, runs) < 0.03
    monkeypatch.setattr(rows_module, "fluctuation", lambda data, betas: None)
    plain = predicted(rows, "adam", 0.3, times=times, betas=(0.0, 0.8))
    assert mean_gap(plain.value, runs) > 2 * mean_gap(curve.value, runs)


def test_adam_without_averages_is_signsgd():
    rows = digits("global")
    times = torch.linspace(0, 2, 5, dtype=torch.float64)
    sign, zero = predicted(rows, "signsgd", 0.3, times=times), predicted(rows, "adam", 0.3, times=times, betas=(0, 0))
    assert torch.equal(sign.value, zero.value)  # g/|g|


def test_adam_says_when_its_second_moment_does_not_concentrate():
    rows = digits("columns")
    curve = predicted(rows, "adam", 0.3)
    assert curve.status == "inaccurate"
    assert "second moment" in curve.message


def test_stationary_bias_of_the_sign_is_where_long_runs_go():
    rows = skewed(num_rows=400, dim=4)
    long = predicted(rows, "signsgd", 0.3, times=torch.tensor([0.0, 4000.0], dtype=torch.float64))
    found = settle(prepare(rows), optimizer="signsgd", lr=0.3)
    assert found.status == "ok"
    assert found.excess_risk == pytest.approx(float(long.value[-1]), rel=1e-3)
    assert found.bias_floor == pytest.approx(float(long.mean_part[-1]), rel=1e-3)
    assert found.bias_floor > 1e-3 * found.excess_risk
    curve = flow(rows, optimizer="signsgd", schedule=0.3, horizon=5, displacement=rows.displacement)
    assert curve.bias_floor == pytest.approx(found.bias_floor, rel=1e-3)
    runs, stderr = simulated(rows, "signsgd", lr=0.3, times=torch.tensor([1000.0], dtype=torch.float64), num_runs=3000)
    assert abs(float(runs[0]) - found.excess_risk) < 4.5 * float(stderr[0]) + 0.1 * float(runs[0])  # d = 4


def test_sgd_and_adam_settle_at_the_target():
    rows = digits("global")
    exact = settle(prepare(rows), optimizer="sgd", lr=0.5)
    assert exact.bias_floor < 1e-20
    late = predicted(rows, "sgd", 0.5, times=torch.tensor([0.0, 1e6], dtype=torch.float64))
    assert exact.excess_risk == pytest.approx(float(late.value[-1]), rel=2e-3)
    assert settle(prepare(rows), optimizer="adam", lr=0.5).bias_floor < 1e-20


def test_unstable_sgd_is_a_status():
    rows = digits("columns")
    assert predicted(rows, "sgd", 0.055).status == "ok"
    curve = predicted(rows, "sgd", 0.1)
    assert curve.status == "unstable"
    assert "0.06017" in curve.message
    assert settle(prepare(rows), optimizer="sgd", lr=0.1).excess_risk == float("inf")
    far = predicted(rows, "sgd", 1.0, rtol=0.1)
    assert far.status == "unstable"
    assert far.value[-1] == float("inf")
    late = PiecewiseConstant((0.0, 0.01), (0.0, 50.0))  # beyond the limit to the end, if not from the start
    assert predicted(rows, "sgd", late, rtol=0.1).status == "unstable"
    burst = PiecewiseConstant((0.0, 0.01, 0.5), (0.0, 50.0, 0.05))
    assert predicted(rows, "sgd", burst, rtol=0.1).status == "diverged"


def test_schedules_move_the_path_and_their_jumps_are_steps():
    rows = digits("global")
    data = prepare(rows)
    constant = predicted(rows, "signsgd", Constant(0.5), data=data)
    pieces = predicted(rows, "signsgd", PiecewiseConstant((0.0, 3.0), (0.5, 0.5)), data=data)
    torch.testing.assert_close(pieces.value, constant.value, rtol=4e-3, atol=0)
    stopped = predicted(rows, "signsgd", PiecewiseConstant((0.0, 3.0), (0.5, 0.0)), data=data)
    before = TIMES <= 3
    torch.testing.assert_close(stopped.value[before], constant.value[before], rtol=4e-3, atol=0)
    assert stopped.value[~before].std() < 1e-9
    runs, _ = simulated(rows, "signsgd", lr=0.5, times=TIMES, num_runs=64)
    decayed = predicted(rows, "signsgd", Cosine(0.5, 10.0), data=data)
    assert decayed.value[-1] < 0.5 * constant.value[-1] < runs[-1]
    warm = predicted(rows, "signsgd", WarmupStableDecay(0.5, 10.0, 2.0, 3.0), data=data)
    assert warm.status == "ok"
    assert warm.value[2] > constant.value[2]


def test_other_quantities():
    rows = skewed(num_rows=400, dim=4)
    times = torch.tensor([0.0, 2.0, 5.0], dtype=torch.float64)
    v, cov = rows.displacement, prepare(rows).cov
    wanted = {"excess_risk": 0.5 * v @ cov @ v, "distance": v @ v, "grad_norm": v @ cov @ cov @ v}
    ends = set()
    for quantity, start in wanted.items():
        curve = predicted(rows, "signsgd", 0.3, times=times, quantity=quantity)
        assert float(curve.value[0]) == pytest.approx(float(start))
        ends.add(round(float(curve.value[-1] / curve.value[0]), 6))
    assert len(ends) == 3


def test_a_subset_of_the_rows_is_close_to_all_of_them():
    rows = gaussian_rows(15, 12_000)
    times = torch.linspace(0, 8, 9, dtype=torch.float64)
    whole = predicted(rows, "signsgd", 0.6, times=times)
    data = prepare(rows, max_rows=4000)
    part = predicted(rows, "signsgd", 0.6, times=times, data=data)
    assert 0 < mean_gap(part.value, whole.value) < 0.03
    assert settle(data, optimizer="sgd", lr=0.5).bias_floor < 1e-20


@settings(deadline=None, max_examples=10)
@given(
    scale=st.floats(0.01, 100), order=st.permutations(range(4)), optimizer=st.sampled_from(["signsgd", "sgd", "adam"])
)
def test_scaling_order_and_repetition_of_rows(scale, order, optimizer):
    rows = skewed(num_rows=80, dim=4)
    times = torch.linspace(0, 3, 4, dtype=torch.float64)
    base = predicted(rows, optimizer, 0.2, times=times, rtol=1e-2).value
    x = rows.features[:, list(order)].repeat(2, 1)
    moved = SimpleNamespace(
        features=x, residuals=scale * rows.residuals.repeat(2), displacement=scale * rows.displacement[list(order)]
    )
    lr = 0.2 if optimizer == "sgd" else 0.2 * scale  # a direction without a unit moves in the unit of lr
    value = predicted(moved, optimizer, lr, times=times, rtol=1e-2).value
    torch.testing.assert_close(value, scale**2 * base, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizer": "lion"}, "optimizer"),
        ({"horizon": 0}, "horizon"),
        ({"displacement": torch.zeros(3)}, "displacement"),
        ({"times": torch.tensor([0.0, 9.0])}, "times"),
        ({"quantity": "loss"}, "quantity"),
        ({"rtol": -1.0}, "rtol"),
        ({"schedule": -0.5}, "lr"),
        ({"schedule": lambda t: 0.5 - 0.2 * t}, "lr"),
        ({"betas": (0.9, 1.0)}, "betas"),
    ],
)
def test_bad_input_is_named(change, words):
    rows = skewed()
    given_ = {"optimizer": "signsgd", "schedule": 0.5, "horizon": 5.0, "displacement": rows.displacement}
    with pytest.raises(InvalidInput, match=words):
        flow(rows, **{**given_, **change})


def test_all_rows_correct_what_a_subset_gets_wrong(monkeypatch):
    rows = gaussian_rows(15, 12_000)
    times = torch.linspace(0, 60, 13, dtype=torch.float64)
    whole = predicted(rows, "signsgd", 0.2, times=times)
    part = prepare(rows, max_rows=200)
    corrected = predicted(rows, "signsgd", 0.2, times=times, data=part)
    assert mean_gap(corrected.value, whole.value) < 0.02
    found, wanted = (settle(data, optimizer="signsgd", lr=0.2) for data in (part, prepare(rows)))
    assert found.excess_risk == pytest.approx(wanted.excess_risk, rel=0.02)
    monkeypatch.setattr(System, "anchored", lambda self, view: self)
    assert mean_gap(predicted(rows, "signsgd", 0.2, times=times, data=part).value, whole.value) > 0.05


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_subset_leaves_the_end_of_the_gradient_methods_alone(optimizer):
    rows = gaussian_rows(15, 12_000)
    times = torch.linspace(0, 30, 7, dtype=torch.float64)
    whole = predicted(rows, optimizer, 0.2, times=times)
    part = predicted(rows, optimizer, 0.2, times=times, data=prepare(rows, max_rows=400))
    assert mean_gap(part.value, whole.value) < 0.03


def test_rows_drawn_once_bend_the_curve_by_the_exact_amount():
    """SGD at a fixed point of one coordinate: v = -(lr/d) sum_k (1 - g)^(K-k) xi_k, every pair correlated by -1/n."""
    n, lr, steps = 400, 0.01, 400
    eps = np.where(np.arange(n) % 2, 1.0, -1.0)
    rows = SimpleNamespace(
        features=torch.ones(n, 1, dtype=torch.float64),
        residuals=torch.as_tensor(eps),
        displacement=torch.zeros(1, dtype=torch.float64),
    )
    end = torch.tensor([0.0, float(steps)], dtype=torch.float64)
    weight = lr * (1 - lr) ** np.arange(steps)
    with_ = 0.5 * np.sum(weight**2)
    once = 0.5 * (np.sum(weight**2) - (np.sum(weight) ** 2 - np.sum(weight**2)) / (n - 1))
    found = {s: float(predicted(rows, "sgd", lr, times=end, stream=s).value[-1]) for s in ("replace", "once")}
    assert found["replace"] == pytest.approx(with_, rel=0.015)  # first order in the step
    assert found["once"] == pytest.approx(once, rel=0.03)
    assert once < 0.6 * with_


def test_rows_drawn_once_run_out():
    rows = skewed()
    common = {"optimizer": "signsgd", "schedule": 0.3, "displacement": rows.displacement}
    with pytest.raises(InvalidInput, match=r"takes 75 steps, but stream 'once' has 60 rows"):
        flow(rows, horizon=15, stream="once", **common)
    with pytest.raises(InvalidInput, match="`stream`"):
        flow(rows, horizon=2, stream="twice", **common)


def test_momentum_passes_on_rows_and_not_the_place_of_a_run(monkeypatch):
    """A strong common factor: what a run's own place adds to its gradient is 29% of the late risk if taken as noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 20)) + 1.5 * rng.standard_normal((600, 1))
    problem = LeastSquares.from_data(X, 0.1 * X @ rng.standard_normal(20) + rng.standard_normal(600))
    times = torch.linspace(0, 40, 21, dtype=torch.float64)
    runs = simulate(problem, "adam", lr=1.0, horizon=40, num_runs=2000, rows="replace", seed=1, times=times)

    def late_gap():
        curve = predict(problem, "adam", lr=1.0, horizon=40, method="rows", times=times)
        return float((curve.value / runs.value - 1)[10:].mean())

    error = float((runs.stderr / runs.value)[10:].mean())  # 0.037, of one time
    assert abs(late_gap()) < 2 * error
    monkeypatch.setattr(System, "_passed_on", lambda self, raw, cov: raw)
    assert late_gap() > 5 * error
