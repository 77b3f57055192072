"""`compare` end to end on small problems: every row, status and number is what its parts say."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from signscope._core.errors import InvalidInput, Unsupported
from signscope.comparison import compare, gap, steps
from signscope.limits import limit, predict
from signscope.problems import LeastSquares, gaussian_problem
from signscope.simulation import simulate

COLUMNS = [
    "optimizer", "rows", "lr", "step_size", "final_predicted", "final_simulated", "final_stderr", "limit", "rate",
    "gap_mean", "gap_worst", "gap_max_z", "gap_gaussian_theory", "status", "method", "message",
]  # fmt: skip
RATES = {"sgd": 0.5, "signsgd": 0.3, "adam": 0.2}


@pytest.fixture(scope="module")
def problem():
    return gaussian_problem(30, spectrum="log:0.1,1", rotated=True, noise="gaussian:0.3")


@pytest.fixture(scope="module")
def result(problem):
    return compare(problem, lr=RATES, horizon=3, num_runs=8, seed=1)


@pytest.fixture(scope="module")
def data_problem():
    rng = np.random.default_rng(2)
    X = np.exp(0.5 * rng.standard_normal((400, 20)))
    y = X @ rng.standard_normal(20) + 0.5 * rng.standard_normal(400)
    return LeastSquares.from_data(pd.DataFrame(X), y)


@pytest.fixture(scope="module")
def data_result(data_problem):
    return compare(data_problem, lr=RATES, horizon=3, num_runs=8)


def test_table_has_one_row_per_optimizer(result):
    assert list(result.table.columns) == COLUMNS
    assert list(result.table["optimizer"]) == ["sgd", "signsgd", "adam"]
    assert set(result.table["rows"]) == {"gaussian"}


@pytest.mark.parametrize("name", list(RATES))
def test_numbers_are_those_of_predict_simulate_limit_and_gap(problem, result, name):
    row = result.table.set_index("optimizer").loc[name]
    prediction = predict(problem, name, lr=RATES[name], horizon=3)
    simulation = simulate(problem, name, lr=RATES[name], horizon=3, num_runs=8, seed=1)
    end = limit(problem, name, lr=RATES[name])
    distance = gap(prediction, simulation)
    assert torch.equal(result.predictions[name].value, prediction.value)
    assert torch.equal(result.simulations[name].value, simulation.value)
    assert row["lr"] == RATES[name]
    assert row["step_size"] == RATES[name] / 30
    assert row["final_predicted"] == prediction.final
    assert row["final_simulated"] == simulation.final
    assert row["final_stderr"] == float(simulation.stderr[-1])
    assert (row["limit"], row["rate"]) == (end.excess_risk, end.rate)
    assert row["gap_mean"] == pytest.approx(distance.mean, rel=1e-12)
    assert row["gap_max_z"] == pytest.approx(distance.max_z, rel=1e-12)
    assert row["gap_gaussian_theory"] == row["gap_mean"]
    assert row["method"] == "gaussian"


def test_rates_left_open_are_searched_for(problem):
    found = compare(problem, optimizers=["signsgd"], horizon=3, num_runs=2)
    at = [predict(problem, "signsgd", lr=f * found.entries[0].lr, horizon=3).final for f in (0.9, 1.0, 1.1)]
    assert at[1] < min(at[0], at[2])
    assert "tuned" not in found.verdict.text
    mixed = compare(problem, optimizers=["sgd", "signsgd"], lr={"sgd": 0.1}, horizon=1, num_runs=2)
    assert "the rate was given for sgd and tuned for signsgd" in mixed.verdict.text


def test_repr_is_one_line_with_the_verdict(result):
    assert repr(result) == f"Comparison({result.title}: {result.verdict.text})"
    assert "\n" not in repr(result)


def test_a_data_set_has_two_predictions_and_two_simulations(data_problem, data_result):
    table = data_result.table.set_index(["optimizer", "rows"])
    assert len(table) == 6
    for name, lr in RATES.items():
        own = simulate(data_problem, name, lr=lr, horizon=3, num_runs=8, rows="replace")
        theory = predict(data_problem, name, lr=lr, horizon=3, method="gaussian")
        assert torch.equal(data_result.simulations[name].value, own.value)
        assert torch.equal(data_result.predictions[name, "gaussian"].value, theory.value)
        assert table.loc[(name, "data"), "method"] == "rows"
        beside = gap(theory, own).mean
        assert table.loc[(name, "data"), "gap_gaussian_theory"] == pytest.approx(beside, rel=1e-12)
        assert table.loc[(name, "data"), "gap_mean"] != table.loc[(name, "data"), "gap_gaussian_theory"]
    assert "the data's own rows" in data_result.verdict.text


def test_curves_are_found_by_position_and_by_name(data_result):
    curves = data_result.predictions
    assert len(curves) == len(list(curves)) == 6
    assert curves["sgd"] is curves["sgd", "data"]
    assert curves[0] is curves["sgd", "gaussian"]
    assert curves[-2:] == [curves["adam", "gaussian"], curves["adam", "data"]]
    assert dict(curves.items())["adam", "data"] is curves["adam"]
    with pytest.raises(InvalidInput, match="lion"):
        curves["lion"]


def test_larger_batches_on_data_fall_back_to_the_gaussian_theory(data_problem):
    found = compare(data_problem, optimizers=["signsgd"], lr={"signsgd": 0.3}, horizon=1, num_runs=2, batch_size=3)
    row = found.table.set_index("rows").loc["data"]
    assert row["method"] == "gaussian"
    assert "batch size 1" in row["message"]


def test_undefined_and_unstable_are_rows_and_the_others_go_on():
    heavy = gaussian_problem(20, noise="cauchy:0,1")
    table = compare(heavy, lr={"signsgd": 0.3}, optimizers=["sgd", "signsgd"], horizon=1, num_runs=2).table
    assert list(table["status"]) == ["undefined", "ok"]
    assert math.isnan(table["lr"][0])
    assert "infinite" in table["message"][0]
    calm = gaussian_problem(20, noise="gaussian:0.1", spectrum="constant:1")
    table = compare(calm, lr={"sgd": 5.0, "signsgd": 0.3}, optimizers=["sgd", "signsgd"], horizon=60, num_runs=2).table
    assert list(table["status"]) == ["unstable", "ok"]
    assert "stability limit" in table["message"][0]


def test_an_optimizer_the_theory_does_not_cover_is_a_row_too(problem, monkeypatch):
    def refuse(*args, **options):
        raise Unsupported("not here")

    monkeypatch.setattr(steps, "predict", refuse)
    entry = compare(problem, optimizers=["signsgd"], lr={"signsgd": 0.3}, horizon=1, num_runs=2).entries[0]
    assert (entry.status, entry.message) == ("undefined", "not here")
    assert entry.simulation is not None


def test_a_stop_by_keyboard_keeps_what_is_done(problem, monkeypatch):
    done = []

    def interrupted(*args, **options):
        curve = simulate(*args, **options)
        done.append(args[1])
        return curve.with_status("interrupted", "stopped") if len(done) == 2 else curve

    monkeypatch.setattr(steps, "simulate", interrupted)
    found = compare(problem, lr=RATES, horizon=1, num_runs=2)
    assert done == ["sgd", "signsgd"]
    assert list(found.table["status"]) == ["ok", "interrupted", "interrupted"]
    assert found.interrupted
    assert len(found.simulations) == 2
    assert found.verdict.winner == "sgd"


@pytest.mark.parametrize(
    ("option", "value"),
    [("num_runs", 5), ("seed", 2), ("batch_size", 2), ("dtype", "float32"), ("horizon", 2.0)],
)
def test_every_option_moves_the_simulation(problem, option, value):
    common = {"optimizers": ["signsgd"], "lr": {"signsgd": 0.3}, "horizon": 1.0, "num_runs": 3}
    plain = compare(problem, **common).simulations["signsgd"]
    assert not torch.equal(plain.value, compare(problem, **{**common, option: value}).simulations["signsgd"].value)


def test_betas_move_adam(problem):
    common = {"optimizers": ["adam"], "lr": {"adam": 0.2}, "horizon": 1.0, "num_runs": 3}
    one, other = compare(problem, **common), compare(problem, betas=(0.5, 0.9), **common)
    assert not torch.equal(one.simulations["adam"].value, other.simulations["adam"].value)
    assert not torch.equal(one.predictions["adam"].value, other.predictions["adam"].value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizers": ["lion"]}, "lion"),
        ({"optimizers": []}, "at least one"),
        ({"optimizers": ["sgd", "sgd"]}, "once"),
        ({"lr": {"lion": 0.1}}, "lion"),
        ({"lr": {"sgd": -0.1}}, "above 0"),
        ({"lr": {"sgd": math.nan}}, "finite"),
        ({"lr": 0.1}, "by optimizer"),
        ({"horizon": 0}, "horizon"),
        ({"horizon": math.inf}, "horizon"),
        ({"num_runs": 0}, "num_runs"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch_size"),
        ({"betas": (0.9,)}, "betas"),
        ({"betas": (0.9, 1.0)}, "betas"),
    ],
)
def test_bad_arguments_are_named(problem, options, message):
    with pytest.raises(InvalidInput, match=message):
        compare(problem, **{"horizon": 1.0, "num_runs": 2, **options})


def test_progress_is_reported_in_order(problem):
    class Listener:
        def __init__(self):
            self.seen, self.closed = [], False

        def update(self, done, message=""):
            self.seen.append((done, message))

        def close(self):
            self.closed = True

    listener = Listener()
    compare(problem, lr=RATES, horizon=0.5, num_runs=2, progress=listener)
    shares = [done for done, _ in listener.seen]
    assert shares == sorted(shares)
    assert len(shares) > 6  # simulations report on their way
    assert max(shares) <= 1
    assert listener.closed


def test_the_problem_is_left_as_it_was(problem):
    before = problem.start.clone(), problem.target.clone(), problem.cov.dense().clone()
    compare(problem, lr=RATES, horizon=0.5, num_runs=2)
    after = problem.start, problem.target, problem.cov.dense()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
