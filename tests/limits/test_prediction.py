"""`predict`: every option moves the path, schedules differentiate, statuses explain themselves."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from signscope import InvalidInput, LeastSquares, Unsupported, limit, predict
from signscope.integrate import ModeSystem, solve
from signscope.limits import effect_curve, predict_plan
from signscope.limits.coefficients import Setting, coefficients
from signscope.limits.spectrum import spectrum
from signscope.schedules import BatchPlan, Constant, Cosine, Linear, PiecewiseConstant, WarmupStableDecay


def rotated(dim=12, noise=0.3, seed=0):
    gen = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(gen.standard_normal((dim, dim)))
    scales = np.logspace(-0.5, 0.5, dim)
    cov = (basis * np.logspace(-2, 0, dim)) @ basis.T * np.outer(scales, scales)
    return LeastSquares(cov, noise=noise, seed=seed)


def matrix_equation(problem, optimizer, lr, horizon, times, form):
    """d/dt of E vv' typed from the homogenized SDEs (3.1), (3.2), and the quadratic tr(form E vv')."""
    cov = np.asarray(problem.cov)
    dim, s2 = problem.dim, problem.noise.second_moment
    root = np.sqrt(np.diag(cov))
    angles = np.arcsin(np.clip(cov / np.outer(root, root), -1, 1))
    v0 = problem.displacement.numpy()

    def slope(t, flat):
        second = flat.reshape(dim, dim)
        risk, eta = 0.5 * np.trace(cov @ second), lr(t)
        if optimizer == "sgd":
            drift, noise = eta * cov, eta**2 * (2 * risk + s2) / dim * cov
        else:
            phi = 2 / math.pi / math.sqrt(2 * risk + s2)
            drift, noise = eta * phi * cov / root[:, None], eta**2 * 2 / (math.pi * dim) * angles
        return (-drift @ second - second @ drift.T + noise).ravel()

    found = solve_ivp(slope, (0, horizon), np.outer(v0, v0).ravel(), "LSODA", times, rtol=1e-10, atol=1e-13)
    return np.einsum("ij,jit->t", form(cov), found.y.reshape(dim, dim, -1))


FORMS = {"excess_risk": lambda k: 0.5 * k, "distance": lambda k: np.eye(len(k)), "grad_norm": lambda k: k @ k}


@pytest.mark.parametrize("quantity", FORMS)
@pytest.mark.parametrize("optimizer", ["sgd", "signsgd"])
@pytest.mark.parametrize(
    "schedule", [Constant(0.4), Cosine(0.8, 6.0), Linear(0.8, 6.0), WarmupStableDecay(0.5, 6, 1, 2)]
)
def test_agrees_with_the_matrix_equation(optimizer, quantity, schedule):
    problem, times = rotated(), np.linspace(0, 6, 13)
    wanted = matrix_equation(problem, optimizer, lambda t: float(schedule(torch.tensor(t))), 6, times, FORMS[quantity])
    curve = predict(problem, optimizer, lr=schedule, horizon=6, times=torch.tensor(times), quantity=quantity, rtol=1e-8)
    np.testing.assert_allclose(curve.value, wanted, rtol=3e-6)


@pytest.mark.parametrize("diagonal", [False, True])
def test_any_quadratic_statistic(diagonal):
    """E v'Qv for a matrix Q: a rank-one form, and K/2, which must give the risk back."""
    problem = rotated()
    if diagonal:
        problem = LeastSquares(problem.cov.diagonal(), start=problem.start, target=problem.target, noise=0.3)
    times, direction = np.linspace(0, 6, 7), np.random.default_rng(1).standard_normal(12)
    form = np.outer(direction, direction)
    options = {"lr": 0.4, "horizon": 6, "times": torch.tensor(times), "rtol": 1e-8}
    wanted = matrix_equation(problem, "signsgd", lambda t: 0.4, 6, times, lambda k: form)
    curve = predict(problem, "signsgd", quantity=form, **options)
    np.testing.assert_allclose(curve.value, wanted, rtol=1e-5, atol=1e-8 * wanted.max())
    assert curve.quantity == "quadratic"
    risk = predict(problem, "signsgd", **options).value
    half = predict(problem, "signsgd", quantity=0.5 * problem.cov.dense(), **options).value
    torch.testing.assert_close(half, risk, rtol=1e-7, atol=0)
    with pytest.raises(InvalidInput, match="must be finite and of shape"):
        predict(problem, "signsgd", quantity=np.ones(3), **options)


def test_diagonal_and_dense_routes_agree():
    variances = np.logspace(-2, 0.3, 9)
    gen = np.random.default_rng(0)
    start = gen.standard_normal(9)
    nearly = np.diag(variances)
    nearly[0, 1] = nearly[1, 0] = 1e-14
    for optimizer in ("sgd", "signsgd", "adam"):
        for quantity in FORMS:
            both = [
                predict(
                    LeastSquares(cov, start=start, target=np.zeros(9), noise=0.2),
                    optimizer,
                    lr=0.3,
                    horizon=5,
                    quantity=quantity,
                    betas=(0.0, 0.9),
                ).value
                for cov in (variances, nearly)
            ]
            torch.testing.assert_close(both[0], both[1], rtol=1e-7, atol=0)


OPTIONS = {
    "lr": ("signsgd", {"lr": 0.3}, {"lr": 0.31}),
    "batch_size": ("signsgd", {}, {"batch_size": 2}),
    "beta1": ("adam", {"betas": (0.0, 0.8)}, {"betas": (0.5, 0.8)}),
    "beta2": ("adam", {"betas": (0.0, 0.8)}, {"betas": (0.0, 0.9)}),
    "quantity": ("sgd", {}, {"quantity": "distance"}),
    "method": ("sgd", {}, {"method": "exact"}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_moves_the_path(name):
    optimizer, off, on = OPTIONS[name]
    base = {"lr": 0.3, "horizon": 3.0}
    finals = [predict(rotated(), optimizer, **{**base, **extra}).final for extra in (off, on)]
    assert abs(finals[0] / finals[1] - 1) > 1e-4


def test_adam_without_averages_is_signsgd():
    adam = predict(rotated(), "adam", lr=0.3, horizon=5, betas=(0.0, 0.0))
    sign = predict(rotated(), "signsgd", lr=0.3, horizon=5)
    torch.testing.assert_close(adam.value, sign.value, rtol=1e-12, atol=0)


def test_exact_recursion_tends_to_the_limit_like_one_over_dim():
    gaps = []
    for dim in (50, 200):
        problem = LeastSquares(np.logspace(-1, 0, dim), noise=0.3, start=np.ones(dim) / dim**0.5, target=np.zeros(dim))
        exact, limiting = (predict(problem, "sgd", lr=0.8, horizon=4, method=m).value for m in ("exact", "gaussian"))
        gaps.append(float((exact / limiting - 1)[20:].mean()))
    assert 0 < abs(gaps[1]) < abs(gaps[0])
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.25)


def test_gradient_with_respect_to_a_schedule():
    problem = rotated()
    values = torch.tensor([0.5, 0.4, 0.2], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 3.0], dtype=torch.float64)

    def final(v):
        schedule = PiecewiseConstant((0.0, 1.0, 2.0), v)
        return predict(problem, "signsgd", lr=schedule, horizon=3, times=times, rtol=1e-9).value[-1]

    (gradient,) = torch.autograd.grad(final(values), values)
    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 2e-4
        slope = (final(values.detach() + step) - final(values.detach() - step)) / 4e-4
        assert float(gradient[i]) == pytest.approx(float(slope), rel=1e-5)


def test_problems_are_batched_as_lanes():
    problems = [rotated(seed=0), rotated(seed=1)]
    parts = [spectrum(p, "signsgd") for p in problems]
    scalars = coefficients(problems[0], Setting("signsgd"), Constant(0.4), scale=1.0)
    system = ModeSystem(
        torch.stack([m.eigvals for m in parts]),
        torch.stack([m.start for m in parts]),
        torch.stack([m.sources for m in parts]),
        scalars,
        num_lanes=2,
    )
    times = torch.linspace(0, 4, 9, dtype=torch.float64)
    together = solve(system, times, rtol=1e-8).risk
    for lane, problem in enumerate(problems):
        alone = predict(problem, "signsgd", lr=0.4, horizon=4, times=times, rtol=1e-8).value
        torch.testing.assert_close(together[lane], alone, rtol=1e-7, atol=0)


def test_noise_that_rules_sgd_out_is_a_status_that_names_it():
    problem = LeastSquares(np.ones(5), noise="cauchy:2,1")
    curve = predict(problem, "sgd", lr=0.1, horizon=2)
    assert curve.status == "undefined"
    assert "cauchy:2,1" in curve.message
    assert bool(torch.isnan(curve.value).all())
    assert limit(problem, "sgd", lr=0.1).status == "undefined"
    assert predict(problem, "signsgd", lr=0.1, horizon=2).status == "ok"


def test_sgd_beyond_its_stability_limit_is_unstable():
    problem = LeastSquares(np.ones(400), noise=0.1)
    assert predict(problem, "sgd", lr=1.98, horizon=2).status == "ok"
    curve = predict(problem, "sgd", lr=2.01, horizon=2)
    assert curve.status == "unstable"
    assert "2" in curve.message
    assert curve.value[-1] > curve.value[0]


def test_noise_with_a_gap_leaves_a_floor():
    problem = LeastSquares(np.ones(50), noise="rademacher:1.0", start=np.ones(50), target=np.zeros(50))
    small, smaller = (limit(problem, "signsgd", lr=lr).excess_risk for lr in (1e-3, 1e-6))
    # Halving log lr hardly lowers the floor: phi vanishes like exp(-c^2/4R).
    assert smaller > small / 5
    plain = LeastSquares(np.ones(50), noise=1.0, start=np.ones(50), target=np.zeros(50))
    assert limit(plain, "signsgd", lr=1e-6).excess_risk < 2e-3 * limit(plain, "signsgd", lr=1e-3).excess_risk


def test_start_at_the_optimum():
    for noise in (None, 0.3, "rademacher:0.5"):
        problem = LeastSquares(np.logspace(-1, 0, 6), start=np.ones(6), target=np.ones(6), noise=noise)
        for optimizer in ("sgd", "signsgd", "adam"):
            curve = predict(problem, optimizer, lr=0.2, horizon=4, betas=(0.0, 0.9))
            assert bool(torch.isfinite(curve.value).all())
            assert curve.value[0] == 0


def test_bad_arguments_get_a_clear_answer():
    problem = LeastSquares(np.ones(4), noise=0.1)
    cases = [
        ({"lr": -1}, "`lr` must be above 0, got -1"),
        ({"lr": float("nan")}, "`lr` must be finite"),
        ({"horizon": 0}, "`horizon` must be above 0"),
        ({"batch_size": 1.5}, "`batch_size` must be a whole number"),
        ({"betas": (0.9, 1.0)}, r"`betas\[1\]` must lie in \[0, 1\)"),
        ({"times": [0.0, 0.0]}, "`times` must increase"),
        ({"times": [0.0, 9.0]}, "`times` must increase"),
        ({"times": "soon"}, "`times` must hold real numbers"),
        ({"method": "magic"}, "`method` must be one of"),
        ({"quantity": "loss"}, "`quantity` must be one of"),
    ]
    for change, message in cases:
        with pytest.raises(InvalidInput, match=message):
            predict(problem, "signsgd", **{"lr": 0.1, "horizon": 1.0, **change})
    with pytest.raises(InvalidInput, match="`optimizer` must be one of"):
        predict(problem, "adagrad", lr=0.1, horizon=1)
    with pytest.raises(Unsupported, match="'exact' exists for sgd only"):
        predict(problem, "signsgd", lr=0.1, horizon=1, method="exact")
    with pytest.raises(Unsupported, match=r"needs a problem made by LeastSquares\.from_data"):
        predict(problem, "signsgd", lr=0.1, horizon=1, method="rows")


@pytest.mark.parametrize("quantity", ["excess_risk", "distance"])
def test_gradients_hold_at_the_default_tolerance(quantity):
    values = torch.tensor([0.5, 0.4, 0.2], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 3.0], dtype=torch.float64)

    def final(v, rtol):
        schedule = PiecewiseConstant((0.0, 1.0, 2.0), v)
        options = {"horizon": 3, "times": times, "rtol": rtol, "quantity": quantity}
        return predict(rotated(), "signsgd", lr=schedule, **options).value[-1]

    (default,) = torch.autograd.grad(final(values, 1e-6), values)
    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 2e-4
        exact = (final(values.detach() + step, 1e-11) - final(values.detach() - step, 1e-11)) / 4e-4
        assert float(default[i]) == pytest.approx(float(exact), rel=1e-3)


def test_schedules_that_turn_negative_are_refused():
    problem = rotated()
    for schedule in (lambda t: 0.5 - t, Linear(0.5, 2.0, -0.5), lambda t: torch.full_like(t, torch.nan)):
        with pytest.raises(InvalidInput, match=r"`lr` is .* steps/dim"):
            predict(problem, "signsgd", lr=schedule, horizon=5)
    with pytest.raises(InvalidInput, match="could not be evaluated"):
        predict(problem, "signsgd", lr=lambda t: "fast", horizon=5)


def test_problems_cannot_be_changed_behind_the_caches():
    problem = rotated()
    with pytest.raises(AttributeError, match="make a new problem"):
        problem.noise = 0.5
    variances = torch.tensor([1.0, 2.0], dtype=torch.float64)
    held = LeastSquares(variances)
    variances[0] = 9
    assert float(held.cov.diagonal()[0]) == 1


@pytest.mark.parametrize("quantity", FORMS)
def test_every_quantity_of_a_run_that_diverges_goes_to_infinity(quantity):
    problem, top = rotated(), 2 * 12 / float(rotated().cov.diagonal().sum())
    curve = predict(problem, "sgd", lr=3 * top, horizon=400, quantity=quantity)
    assert curve.status == "unstable"
    assert math.isfinite(curve.value[0])
    assert math.isinf(curve.final)


@pytest.mark.parametrize("quantity", FORMS)
def test_the_start_alone_can_be_asked_for(quantity):
    problem = rotated()
    v, cov = problem.displacement, problem.cov.dense()
    wanted = float(v @ torch.from_numpy(FORMS[quantity](cov.numpy())) @ v)
    assert predict(problem, "signsgd", lr=0.3, horizon=2, times=[0.0], quantity=quantity).final == pytest.approx(wanted)
    rows = np.random.default_rng(0).standard_normal((60, 3))
    data = LeastSquares.from_data(rows, rows.sum(1) + 0.1 * rows[:, 0] ** 3)
    assert predict(data, "signsgd", lr=0.3, horizon=2, times=[0.0], quantity=quantity).final == pytest.approx(
        predict(data, "signsgd", lr=0.3, horizon=2, quantity=quantity).value[0]
    )


def test_times_may_be_a_view_and_are_the_callers_own():
    falling = np.linspace(2, 0, 5)
    curve = predict(rotated(), "sgd", lr=0.3, horizon=2, times=falling[::-1])
    falling[:] = 7
    assert curve.time.tolist() == [0, 0.5, 1, 1.5, 2]


def test_more_pieces_than_steps_are_refused_at_once():
    """A rate for every single step, as a scheduler would give it: the solver stops at each piece."""
    problem = LeastSquares(np.linspace(0.1, 1, 2000), noise=0.3)
    count = 20_001
    pieces = PiecewiseConstant(tuple(k / 2000 for k in range(count)), tuple(0.3 for _ in range(count)))
    words = r"`lr` has 20,001 pieces up to time 10.1 and the solver takes at most 20,000 steps"
    for optimizer in ("sgd", "signsgd", "adam"):
        with pytest.raises(Unsupported, match=words):
            predict(problem, optimizer, lr=pieces, horizon=10.1)
    with pytest.raises(Unsupported, match="20,001 pieces"):
        effect_curve(problem, "compression", lr=pieces, horizon=10.1)
    with pytest.raises(Unsupported, match="predict_plan: `lr` has 20,001 pieces"):
        predict_plan(problem, "sgd", plan=BatchPlan(pieces.times, pieces.values, (1,) * count, 10.1))
    exact = [predict(problem, "sgd", lr=lr, horizon=0.5, method="exact").final for lr in (pieces, 0.3)]
    assert exact[0] == exact[1]
    rows = np.random.default_rng(0).standard_normal((60, 3))
    data = LeastSquares.from_data(rows, rows.sum(1) + 0.1 * rows[:, 0] ** 3)
    with pytest.raises(Unsupported, match="takes at most 3,000 steps"):
        predict(data, "sgd", lr=pieces, horizon=5)


def test_a_rate_that_swings_too_fast_is_never_ok_and_negative(monkeypatch):
    """2,000 swings per unit of time: resolved where there are steps enough, and said where there are not."""
    problem = LeastSquares(np.linspace(0.1, 1, 20), noise=0.3, seed=1)

    def swinging(t):
        return 0.3 * (1 + torch.sin(2 * math.pi * t / 5e-4))

    times = torch.tensor([0.0, 0.05], dtype=torch.float64)
    found = predict(problem, "sgd", lr=swinging, horizon=0.05, times=times, rtol=1e-3)
    steady = predict(problem, "sgd", lr=0.3, horizon=0.05, times=times)
    assert found.status == "ok"
    assert found.final == pytest.approx(steady.final, rel=2e-3)
    monkeypatch.setattr("signscope.integrate.exponential._MAX_STEPS", 20)
    for quantity in FORMS:
        short = predict(problem, "sgd", lr=swinging, horizon=20, rtol=1e-3, quantity=quantity)
        assert short.status == "inaccurate"
        assert "ran out of steps" in short.message
        assert math.isnan(short.final)
