"""from_data: real data, scaling, solving, and the record of what was done."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope.problems import LeastSquares, breast_cancer, bundled, diabetes, digits


def sample(n=200, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.arange(1, d + 1) + 10
    return X, X @ np.arange(d) + rng.standard_normal(n) + 3


def test_digits_is_the_problem_of_the_demo():
    X, y = digits()
    assert X.shape == (1797, 64)
    target = np.asarray(y)
    assert set(target) == {-1.0, 1.0}
    assert target[:4].tolist() == [-1, 1, -1, 1]  # the data set starts 0, 1, 2, 3
    problem = LeastSquares.from_data(X, y)
    assert problem.dim == 61
    assert problem.dropped_columns == ("pixel_0_0", "pixel_4_0", "pixel_4_7")
    assert problem.cov.trace == pytest.approx(61, rel=1e-13)
    assert problem.rows.num_rows == 1797
    assert "dropped 3 columns that never vary: pixel_0_0, pixel_4_0, pixel_4_7" in problem.report
    assert "rank 61 of 61" in problem.report


def test_digits_are_those_of_scikit_learn_and_come_without_importing_it():
    from sklearn.datasets import load_digits

    truth = load_digits()
    X, y = digits()
    np.testing.assert_array_equal(X.to_numpy(), truth.data)
    np.testing.assert_array_equal(y, np.where(truth.target % 2 == 1, 1.0, -1.0))
    assert list(X.columns) == list(truth.feature_names)
    named, same = bundled("digits")
    assert np.array_equal(np.asarray(named), truth.data)
    assert np.array_equal(same, y)
    assert named.names == tuple(truth.feature_names)
    code = (
        "import sys; from signscope.problems import LeastSquares, bundled; "
        "print(LeastSquares.from_data(*bundled('digits')).dropped_columns, 'sklearn' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "('pixel_0_0', 'pixel_4_0', 'pixel_4_7') False"


@pytest.mark.parametrize(("load", "rows", "dim"), [(diabetes, 442, 10), (breast_cancer, 569, 30)])
def test_other_bundled_data(load, rows, dim):
    problem = LeastSquares.from_data(*load(), scale="columns")
    assert (problem.rows.num_rows, problem.dim) == (rows, dim)
    torch.testing.assert_close(problem.cov.diagonal(), torch.ones(dim, dtype=torch.float64))


def mean_square_limit(problem):
    """d / spectral radius of Sigma -> L^-1 E[x x' Sigma x x'], by power iteration on the rows."""
    eigvals, eigvecs = problem.cov.eigh()
    rows = problem.rows.features @ eigvecs
    sigma = torch.eye(problem.dim, dtype=torch.float64)
    for _ in range(40):
        weights = ((rows @ sigma) * rows).sum(1)
        image = rows.T @ (weights[:, None] * rows) / len(rows) / (eigvals[:, None] + eigvals)
        radius, sigma = float(image.norm() / sigma.norm()), image / image.norm()
    return problem.dim / radius


@pytest.mark.parametrize(
    ("name", "scale", "limit"),
    [
        ("digits", "columns", 0.0602),
        ("digits", "global", 1.893),
        ("breast-cancer", "columns", 0.4525),
        ("diabetes", "columns", 1.429),
    ],
)
def test_rows_have_the_published_stability_limit(name, scale, limit):
    """One number that depends on every row: centring, scaling and dropping are those of the specification."""
    assert mean_square_limit(LeastSquares.from_data(*bundled(name), scale=scale)) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", ["global", "columns", "none"])
def test_rows_covariance_and_residuals_agree(center, scale):
    X, y = sample()
    problem = LeastSquares.from_data(X, y, center=center, scale=scale)
    rows = problem.rows
    torch.testing.assert_close(problem.cov.dense(), rows.features.T @ rows.features / 200)
    torch.testing.assert_close(rows.residuals, rows.targets - rows.features @ problem.target)
    assert rows.features.dtype == rows.targets.dtype == torch.float64
    diagonal = problem.cov.diagonal()
    if scale == "columns":
        torch.testing.assert_close(diagonal, torch.ones(4, dtype=torch.float64))
    elif scale == "global":
        assert float(diagonal.mean()) == pytest.approx(1, rel=1e-13)
        ratio = rows.features / torch.from_numpy(X - X.mean(0) * center)
        assert float(ratio.max()) == pytest.approx(float(ratio.min()), rel=1e-9), "one number for all columns"
    else:
        torch.testing.assert_close(rows.features, torch.from_numpy(X - X.mean(0) * center))
    assert bool((rows.features.mean(0).abs() < 1e-13).all()) == center
    assert bool(rows.targets.mean().abs() < 1e-13) == center


def test_the_report_calls_the_size_of_columns_what_it_is():
    X, y = sample()
    for scale, words in (("global", "divided by one"), ("columns", "divided by its own")):
        assert f"{words} standard deviation" in LeastSquares.from_data(X, y, scale=scale).report
        assert f"{words} root mean square" in LeastSquares.from_data(X, y, scale=scale, center=False).report


def test_centring_is_an_intercept():
    X, y = sample()
    problem = LeastSquares.from_data(X, y, scale="none", ridge=0)
    fit, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(200)]), y)
    np.testing.assert_allclose(problem.target, fit[:4], rtol=1e-10)
    without, *_ = np.linalg.lstsq(X, y)
    plain = LeastSquares.from_data(X, y, center=False, scale="none", ridge=0)
    np.testing.assert_allclose(plain.target, without, rtol=1e-10)


def test_ridge_is_relative_to_the_mean_diagonal():
    X, y = sample()
    small = LeastSquares.from_data(X, y, ridge=0.1, scale="none")
    large = LeastSquares.from_data(1000 * X, y, ridge=0.1, scale="none")
    np.testing.assert_allclose(large.target, small.target / 1000, rtol=1e-10)
    C, b = np.cov(X.T, bias=True), (X - X.mean(0)).T @ (y - y.mean()) / 200
    np.testing.assert_allclose(small.target, np.linalg.solve(C + 0.1 * C.trace() / 4 * np.eye(4), b), rtol=1e-10)
    np.testing.assert_allclose(small.cov, C, rtol=1e-12)  # the ridge is not part of K


def test_minimum_is_at_the_target():
    problem = LeastSquares.from_data(*sample(), ridge=0)
    gradient = problem.rows.features.T @ problem.rows.residuals
    assert float(gradient.abs().max()) < 1e-9


@pytest.mark.parametrize("ridge", [0.0, 1e-6])
def test_collinear_columns_are_reported_and_get_the_shortest_solution(ridge):
    X, y = sample()
    X = np.column_stack([X, X[:, 0]])
    problem = LeastSquares.from_data(X, y, scale="none", ridge=ridge)
    assert problem.cov.rank == 4
    assert problem.describe()["condition_number"] is None
    assert "no variance along 1 direction: the target is 0 there" in problem.report
    expected, *_ = np.linalg.lstsq(X - X.mean(0), y - y.mean(), rcond=1e-10)
    np.testing.assert_allclose(problem.target, expected, atol=1e-12 if ridge == 0 else 1e-4)


def test_a_ridge_that_costs_something_is_reported():
    X, y = breast_cancer()
    assert "the ridge leaves out" in LeastSquares.from_data(X, y).report
    assert "the ridge leaves out" not in LeastSquares.from_data(X, y, ridge=0).report
    assert "the ridge leaves out" not in LeastSquares.from_data(*digits()).report


def test_constant_columns_are_dropped_and_named():
    X, y = sample()
    frame = pd.DataFrame({"a": X[:, 0], "const": 0.1, "b": X[:, 1], "zero": 0})
    problem = LeastSquares.from_data(frame, y)
    assert problem.dropped_columns == ("const", "zero")
    assert LeastSquares.from_data(frame.to_numpy(), y).dropped_columns == ("x1", "x3")
    intercept = LeastSquares.from_data(frame, y, center=False)
    assert intercept.dropped_columns == ("zero",), "without centring a constant is an intercept"


def test_large_offsets_are_removed_exactly():
    X, y = sample(n=5000)
    moved = LeastSquares.from_data(X + 1e8, y, scale="none")
    still = LeastSquares.from_data(X, y, scale="none")
    np.testing.assert_allclose(moved.cov, still.cov, rtol=1e-6, atol=1e-6)
    assert float(moved.rows.features.mean(0).abs().max()) < 1e-10


@pytest.mark.parametrize("unit", [1e-200, 1e200])
@pytest.mark.parametrize("scale", ["global", "columns"])
def test_extreme_units_disappear_in_the_scaling(unit, scale):
    X, y = sample()
    one, other = (LeastSquares.from_data(X * u, y, scale=scale) for u in (1, unit))
    torch.testing.assert_close(one.cov.dense(), other.cov.dense(), rtol=1e-9, atol=1e-12)
    with pytest.raises(InvalidInput, match="range of float64"):
        LeastSquares.from_data(X * unit, y, scale="none")


def law_numbers(problem):
    return problem.noise.mean, problem.noise.variance**0.5


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("kind", ["empirical", "gaussian", "mixture"])
def test_noise_law_has_the_moments_of_the_residuals(kind, center):
    problem = LeastSquares.from_data(*sample(n=2000), noise=kind, center=center)
    residuals = problem.rows.residuals
    mean, std = law_numbers(problem)
    assert mean == pytest.approx(float(residuals.mean()), abs=1e-3)
    assert std == pytest.approx(float(residuals.std(correction=0)), rel=1e-3)
    assert kind in problem.report
    json.dumps(problem.describe(), allow_nan=False)


def test_perfect_fit_has_no_noise():
    X = np.array([[1.0], [-1.0]])
    problem = LeastSquares.from_data(X, [1.0, -1.0], ridge=0)
    assert not problem.rows.residuals.any()
    assert problem.noise.second_moment == 0


@pytest.mark.parametrize("option", [{"center": False}, {"scale": "columns"}, {"ridge": 0.5}, {"noise": "gaussian"}])
def test_every_option_changes_the_problem(option):
    plain, other = LeastSquares.from_data(*sample()), LeastSquares.from_data(*sample(), **option)
    same = torch.equal(plain.target, other.target) and torch.equal(plain.cov.dense(), other.cov.dense())
    assert not same or plain.noise.spec != other.noise.spec


def test_description_counts_rows_and_columns():
    X, y = sample()
    described = LeastSquares.from_data(np.column_stack([X, np.zeros(200)]), y).describe()
    assert described["num_rows"] == 200
    assert described["dim"] == 4
    assert described["dropped_columns"] == ["x4"]
    assert described["trace"] == pytest.approx(4)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), shift=st.floats(-100, 100), unit=st.floats(1e-3, 1e3))
def test_global_scaling_ignores_unit_and_origin(seed, shift, unit):
    X, y = sample(n=50, seed=seed)
    one, other = LeastSquares.from_data(X, y), LeastSquares.from_data(unit * X + shift, y + shift)
    torch.testing.assert_close(one.cov.dense(), other.cov.dense(), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(one.target, other.target, rtol=1e-7, atol=1e-7)


def test_inputs_are_untouched():
    X, y = sample()
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    copies = X.copy(), y.copy(), frame.copy()
    LeastSquares.from_data(X, y, scale="columns")
    LeastSquares.from_data(torch.from_numpy(X), torch.from_numpy(y))
    LeastSquares.from_data(frame, "y")
    np.testing.assert_array_equal(X, copies[0])
    np.testing.assert_array_equal(y, copies[1])
    pd.testing.assert_frame_equal(frame, copies[2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "rows"}, "`scale` must be one of 'global', 'columns', 'none'; got 'rows'"),
        ({"noise": "cauchy"}, "`noise` must be one of 'empirical'"),
        ({"ridge": -1}, "`ridge` must be 0 or more"),
        ({"ridge": float("nan")}, "`ridge` must be finite"),
    ],
)
def test_bad_options_get_one_clear_line(options, words):
    with pytest.raises(InvalidInput, match=words):
        LeastSquares.from_data(*sample(), **options)


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (np.ones((5, 2)), np.arange(5), "none of the 2 columns of X varies"),
        (np.arange(12.0).reshape(3, 4) ** 2, np.arange(3), r"fewer rows than columns \(3 against 4\)"),
        (np.arange(5.0)[:, None], np.full(5, 0.1), "`y` never varies"),
        (np.arange(5.0)[:, None], np.zeros(5), "`y` never varies"),
    ],
)
def test_data_without_content_are_refused(X, y, words):
    with pytest.raises(InvalidInput, match=words):
        LeastSquares.from_data(X, y)


@pytest.mark.parametrize("frame", [False, True])
def test_memory_stays_within_three_copies(frame):
    X = np.random.default_rng(0).standard_normal((45_000, 400))
    y = X[:, 0].copy()
    X = pd.DataFrame(X) if frame else X
    tracemalloc.start()
    problem = LeastSquares.from_data(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = problem.rows.features.numel() * 8
    assert peak < 2.2 * size  # beside X itself; torch's own buffers are d x d and n
