"""Optimal schedules: the example of the specification, closed forms, gradients, bounds, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from helpers.schedule_problems import isotropic, section_seven
from signscope import InvalidInput, LeastSquares, Unsupported, predict
from signscope.limits import max_lr
from signscope.limits.coefficients import Setting
from signscope.limits.gaussian import final_risks
from signscope.limits.greedy import greedy_schedule
from signscope.limits.modes import modes_of
from signscope.limits.optimal import design_schedule, optimal_schedule
from signscope.limits.optimal_flow import Flow
from signscope.limits.optimal_modes import Modes, compressed, gauss_rule
from signscope.limits.optimal_scalars import scalars
from signscope.limits.optimal_search import Task, graded
from signscope.limits.optimal_shapes import compare_schedules
from signscope.limits.stationary import finite_max_lr
from signscope.schedules import Constant, PiecewiseLinear, Schedule, as_schedule


@pytest.fixture(scope="module")
def example():
    return compare_schedules(section_seven(), "signsgd", horizon=10)


EXAMPLE = {"constant": 0.005373, "greedy": 0.004171, "linear": 0.003814, "cosine": 0.004452, "optimal": 0.003533}
PEAKS = {"constant": 0.249, "linear": 0.647, "cosine": 0.629}


@pytest.mark.parametrize("name", list(EXAMPLE))
def test_the_example_of_the_specification(example, name):
    schedule = example[name].schedule
    assert example[name].risk == pytest.approx(EXAMPLE[name], rel=2e-3)
    trusted = predict(section_seven(), "signsgd", lr=schedule, horizon=10, times=[10.0], rtol=1e-4).final
    assert trusted == pytest.approx(EXAMPLE[name], rel=2e-3)
    if name in PEAKS:
        assert schedule.initial == pytest.approx(PEAKS[name], rel=6e-3)


def test_the_order_of_the_shapes(example):
    risks = [example[name].risk for name in ("optimal", "linear", "greedy", "cosine", "constant")]
    assert risks == sorted(risks)
    assert example["wsd"].risk <= example["linear"].risk * (1 + 1e-6)  # a linear decay is one of its members


def test_the_effort_is_counted_and_small(example):
    found = example["optimal"]
    assert 5 < found.iterations <= 60  # 200 are allowed
    assert found.iterations < found.evaluations <= 150


@pytest.mark.slow
def test_no_knot_can_be_moved_to_lower_the_risk():
    """By the adaptive solver and its autograd, which the search does not use."""
    law = section_seven(dim=20)
    schedule = optimal_schedule(law, "signsgd", horizon=10)
    times, rates = schedule.times, schedule.values

    def slopes(values):
        logs = torch.tensor(values, dtype=torch.float64).log().requires_grad_()
        curve = predict(law, "signsgd", lr=PiecewiseLinear(times, logs.exp()), horizon=10, times=[10.0], rtol=3e-3)
        curve.value[-1].log().backward()
        return float(logs.grad.abs().max())

    assert slopes(rates) < 2e-3
    assert slopes(np.array(rates) * np.linspace(1.2, 0.8, len(rates))) > 1e-2


def sgd_isotropic(start, spread, horizon):
    """R(T) for dR/dt = -R^2/P."""
    return brentq(
        lambda r: math.log(r / start) - 0.5 * spread * (1 / r - 1 / start) + horizon, start * math.exp(-horizon), start
    )


def sign_isotropic(start, spread, horizon):
    """R(T) for dR/dt = -2 R^2 phi^2 with Gaussian noise."""

    def equation(r):
        return 2 * math.log(r / start) - spread * (1 / r - 1 / start) + 8 * horizon / math.pi**2

    return brentq(equation, start * math.exp(-4 * horizon / math.pi**2), start)


@pytest.mark.parametrize(("optimizer", "closed"), [("sgd", sgd_isotropic), ("signsgd", sign_isotropic)])
def test_with_one_eigenvalue_the_optimal_risk_is_known(optimizer, closed):
    """A lower risk is then better at all later times, so the greedy rate is optimal."""
    found = design_schedule(isotropic(0.5), optimizer, horizon=8)
    expected = closed(0.5, 0.25, 8.0)
    assert found.risk == pytest.approx(expected, rel=1e-3)
    assert found.risk > expected * (1 - 2e-4)  # nothing is below the optimum
    assert design_schedule(isotropic(0.5), optimizer, horizon=8.5).risk < expected * (1 - 5e-3)  # teeth


CASES = [
    ("sgd", "gaussian:0.1", {}),
    ("signsgd", "laplace:0.2", {}),
    ("adam", "gaussian:0.1", {}),
    pytest.param("signsgd", "cauchy:0,1", {}, marks=pytest.mark.slow),
    pytest.param("signsgd", "rademacher:0.5", {"batch_size": 3}, marks=pytest.mark.slow),
    pytest.param("adam", "gaussian:0.1", {"betas": (0.0, 0.9)}, marks=pytest.mark.slow),
    pytest.param("adam", "cauchy:0,1", {"betas": (0.0, 0.9)}, marks=pytest.mark.slow),
]


def flow_of(optimizer, noise, num_steps, dim=60, **options):
    law = section_seven(noise, dim)
    setting = Setting(optimizer, **options)
    return law, Flow(compressed(modes_of(law, setting.kernel)), scalars(law, setting), graded(5.0, num_steps))


@pytest.mark.parametrize(("optimizer", "noise", "options"), CASES)
def test_gradients_are_those_of_finite_differences(optimizer, noise, options):
    _, flow = flow_of(optimizer, noise, 24, **options)
    rates = 0.3 * np.exp(-0.2 * flow.middles)
    risk, gradient = flow.gradient(rates)
    assert risk == flow.final(rates[None])[0]
    for step in (0, 1, 11, 23):
        moved = np.stack([rates, rates])
        moved[:, step] *= (1 + 1e-5, 1 - 1e-5)
        high, low = flow.final(moved)
        assert (high - low) / (2e-5 * rates[step]) == pytest.approx(gradient[step], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("optimizer", "noise", "options"), CASES)
def test_the_short_solver_converges_to_the_prediction_at_second_order(optimizer, noise, options):
    law, _ = flow_of(optimizer, noise, 4, **options)
    smooth = {"lr": lambda t: 0.3 * torch.exp(-0.2 * t), "horizon": 5, "times": [5.0]}
    trusted = predict(law, optimizer, **smooth, rtol=1e-7, **options)
    errors = []
    for num_steps in (64, 128):
        _, flow = flow_of(optimizer, noise, num_steps, **options)
        found = flow.final(0.3 * np.exp(-0.2 * flow.middles)[None])[0]
        errors.append(abs(found / trusted.final - 1))
    assert errors[0] < 3e-3
    assert errors[1] < 0.35 * errors[0]


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd", "adam"])
def test_few_modes_stand_for_all(optimizer):
    law = LeastSquares(torch.logspace(-8, 0, 3000, dtype=torch.float64), noise=0.1, seed=1)
    setting = Setting(optimizer, betas=(0.0, 0.9))
    every = modes_of(law, optimizer)
    few = compressed(every)
    all_of_them = Modes(every.eigvals.numpy(), every.start.numpy(), every.sources.numpy())
    assert len(few.eigvals) < 320
    rates = 2 * np.exp(-0.05 * np.arange(64.0))[None]
    paths = [Flow(modes, scalars(law, setting), graded(40.0, 64)).path(rates) for modes in (few, all_of_them)]
    np.testing.assert_allclose(*paths, rtol=1e-6)
    assert paths[0][0, -1] < 0.05 * paths[0][0, 0]


def test_gauss_rules_are_exact_for_polynomials():
    rng = np.random.default_rng(0)
    points, weights = rng.random(400), rng.random(400)
    nodes, found = gauss_rule(points, weights, 6)
    for degree in range(12):
        assert found @ nodes**degree == pytest.approx(weights @ points**degree, rel=1e-12)
    assert abs(found @ nodes**12 / (weights @ points**12) - 1) > 1e-9
    assert len(gauss_rule(points[:4], weights[:4], 6)[0]) == 4


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    optimizer=st.sampled_from(["sgd", "signsgd", "adam"]),
    low=st.floats(-4, 0),
    noise=st.sampled_from(["none", "gaussian:0.3", "laplace:0.2"]),
    horizon=st.floats(0.05, 20),
    rotated=st.booleans(),
)
def test_never_worse_than_the_best_constant_rate(optimizer, low, noise, horizon, rotated):
    dim = 30
    eigvals = np.logspace(low, 0, dim)
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, dim)))[0] if rotated else np.eye(dim)
    check_against_constants(LeastSquares((basis * eigvals) @ basis.T, noise=noise, seed=2), optimizer, horizon)


@pytest.mark.parametrize("optimizer", ["signsgd", *(pytest.param(o, marks=pytest.mark.slow) for o in ("sgd", "adam"))])
def test_better_than_the_best_constant_rate(optimizer):
    gain = check_against_constants(section_seven(dim=30), optimizer, 5.0)
    assert gain < 0.9


def check_against_constants(law, optimizer, horizon):
    betas = (0.0, 0.9)
    found = design_schedule(law, optimizer, horizon=horizon, betas=betas)
    curve = predict(law, optimizer, lr=found.schedule, horizon=horizon, times=[horizon], betas=betas, rtol=1e-4)
    top = 0.98 * max_lr(law, optimizer)[0]
    rates = found.schedule.initial * np.geomspace(0.02, 5, 16)
    rates = torch.from_numpy(rates[rates <= top])
    constant = final_risks(law, Setting(optimizer, 1, betas), rates, horizon)
    assert not curve.failed  # SGD's best steps are long for 30 coordinates, and are called inaccurate
    assert curve.final <= float(constant.min()) * (1 + 2e-3)
    assert found.risk == pytest.approx(curve.final, rel=5e-3)
    grid = found.schedule(torch.linspace(0, horizon, 301, dtype=torch.float64))
    assert bool((grid > 0).all())
    assert float(grid.max()) <= top * (1 + 1e-12)
    return curve.final / float(constant.min())


def test_sgd_stays_below_its_stability_limit():
    """All of the risk is in two large eigenvalues; the many small ones bring the limit down."""
    variances = torch.full((200,), 0.1, dtype=torch.float64)
    variances[:2] = 1.0
    law = LeastSquares(variances, start=(variances == 1).double(), target=torch.zeros(200))
    top = 0.98 * max_lr(law, "sgd")[0]
    time = torch.linspace(0, 0.2, 100, dtype=torch.float64)
    for schedule in (optimal_schedule(law, "sgd", horizon=0.2), greedy_schedule(law, "sgd", horizon=0.2)):
        assert 0.98 * top < float(schedule(time).max()) <= top * (1 + 1e-12)


def test_batch_sizes_matter():
    law = section_seven("gaussian:0.2", 50)
    risks = [design_schedule(law, "signsgd", horizon=3, batch_size=size).risk for size in (1, 4)]
    assert risks[1] < 0.8 * risks[0]


@pytest.mark.slow
def test_betas_matter():
    law = section_seven("gaussian:0.2", 50)
    risks = [design_schedule(law, "adam", horizon=3, betas=(0.0, beta)).risk for beta in (0.5, 0.9)]
    assert abs(risks[1] / risks[0] - 1) > 0.01


def test_a_description_is_the_schedule(example):
    for found in example.values():
        read = as_schedule(json.loads(json.dumps(found.schedule.describe())), who="test")
        assert read == found.schedule


def test_infinite_variance_is_fine_for_signs_and_refused_for_sgd():
    law = section_seven("cauchy:0,1", 50)
    assert isinstance(optimal_schedule(law, "signsgd", horizon=5), Schedule)
    with pytest.raises(Unsupported, match=r"optimal_schedule: sgd has no risk curve under cauchy:1 noise: E eps\^2"):
        optimal_schedule(law, "sgd", horizon=5)


def test_a_start_at_the_optimum_stays_there():
    law = LeastSquares(torch.ones(20, dtype=torch.float64), target=torch.zeros(20), noise=0.1)
    found = design_schedule(law, "signsgd", horizon=5)
    assert isinstance(found.schedule, Constant)
    assert found.schedule.initial < 1e-5
    assert "starts at the optimum" in found.message


def test_a_data_set_is_taken_as_gaussian_and_that_is_said():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 8))
    law = LeastSquares.from_data(X, X.sum(1) + rng.standard_normal(200))
    found = design_schedule(law, "signsgd", horizon=4)
    assert "Gaussian rows with the data's covariance" in found.message
    theory = {"times": [4.0], "rtol": 1e-4, "method": "gaussian"}
    curve = predict(law, "signsgd", lr=found.schedule, horizon=4, **theory)
    assert curve.final == pytest.approx(found.risk, rel=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 0}, "`horizon` must be above 0"),
        ({"horizon": math.nan}, "`horizon` must be finite"),
        ({"optimizer": "sgdd"}, "`optimizer` must be one of"),
        ({"batch_size": 0}, "`batch_size` must be a whole number"),
        ({"betas": (0.9, 1.0)}, r"`betas\[1\]` must lie in"),
        ({"problem": 3}, "`problem` must be a LeastSquares"),
        ({"batch_sizes": "all"}, "`batch_sizes` must be one of 'auto'"),
        ({"batch_sizes": [0]}, "`batch_sizes` must be a whole number"),
        ({"batch_sizes": [2.5]}, "`batch_sizes` must be a whole number"),
        ({"batch_sizes": 4}, "`batch_sizes` must be a list"),
        ({"batch_sizes": []}, "`batch_sizes` is empty"),
        ({"batch_sizes": [10**6]}, "does not fit"),
        ({"batch_sizes": [2], "batch_size": 2}, "not both"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"problem": section_seven(dim=10), "optimizer": "signsgd", "horizon": 1.0, **change}
    with pytest.raises(InvalidInput, match=message):
        optimal_schedule(arguments.pop("problem"), arguments.pop("optimizer"), **arguments)


def test_shapes_are_checked():
    for shapes, message in ((["constant", "square"], "`shapes` must be one of"), ("constant", "must be a list")):
        with pytest.raises(InvalidInput, match=message):
            compare_schedules(section_seven(dim=10), "sgd", horizon=1, shapes=shapes)
    found = compare_schedules(section_seven(dim=10), "sgd", horizon=1, shapes=["optimal", "linear"])
    assert list(found) == ["optimal", "linear"]


def test_the_task_keeps_its_distance_from_the_limit():
    law = section_seven(dim=30)
    highest = Task.of(law, Setting("sgd", 2), 1.0).highest
    assert highest == 0.98 * finite_max_lr(law, batch_size=2)
    assert highest < 0.98 * max_lr(law, "sgd", batch_size=2)[0]
    assert math.isinf(Task.of(law, Setting("signsgd"), 1.0).highest)
