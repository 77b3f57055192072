"""What from_data accepts as X and y, and the one clear line for what it does not."""

import numpy as np
import pandas as pd
import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope.problems import LeastSquares
from signscope.problems.tables import as_table, code_target

X = np.random.default_rng(0).standard_normal((6, 2))
NUMBERS = np.array([1.0, 2, 3, 4, 5, 7])

TWO_CLASSES = {
    "list of str": (["no", "yes", "no", "yes", "yes", "no"], "'no' = -1, 'yes' = +1"),
    "array of str": (np.array(["b", "a", "b", "a", "a", "b"]), "'a' = -1, 'b' = +1"),
    "array of objects": (np.array(["b", "a", "b", "a", "a", "b"], dtype=object), "'a' = -1, 'b' = +1"),
    "bytes": (np.array([b"x", b"y", b"x", b"y", b"y", b"x"]), "b'x' = -1, b'y' = +1"),
    "bools": ([True, False, True, False, False, True], "False = -1, True = +1"),
    "bool tensor": (torch.tensor([True, False, True, False, False, True]), "False = -1, True = +1"),
    "series of str": (pd.Series(list("abaabb"), index=range(9, 3, -1)), "'a' = -1, 'b' = +1"),
    "nullable bools": (pd.Series([True, False, True, False, False, True], dtype="boolean"), "False = -1, True = +1"),
    "categories": (pd.Series(list("xyxyyx"), dtype="category"), "'x' = -1, 'y' = +1"),
    "categorical": (pd.Categorical(list("xyxyyx"), categories=["z", "y", "x"]), "'x' = -1, 'y' = +1"),
    "numeric categories": (pd.Series([3, 8, 3, 8, 8, 3], dtype="category"), "3 = -1, 8 = +1"),
}


@pytest.mark.parametrize("case", TWO_CLASSES)
def test_two_classes_become_minus_and_plus_one(case):
    y, words = TWO_CLASSES[case]
    coded, coding = code_target(y)
    assert coding == words
    second = words.split(", ")[1].removesuffix(" = +1")
    expected = [1.0 if repr(v) == second else -1.0 for v in np.asarray(y).tolist()]
    assert coded.tolist() == expected
    assert f"y: {words}" in LeastSquares.from_data(X, y).report


NUMERIC = {
    "list": NUMBERS.tolist(),
    "column": NUMBERS[:, None],
    "integers": NUMBERS.astype(np.int32),
    "float32 tensor": torch.tensor(NUMBERS, dtype=torch.float32, requires_grad=True),
    "bfloat16 tensor": torch.tensor(NUMBERS, dtype=torch.bfloat16),
    "series": pd.Series(NUMBERS, index=[5, 4, 3, 2, 1, 0]),
    "nullable integers": pd.Series(NUMBERS.astype(int), dtype="Int64"),
    "objects": np.array(NUMBERS.tolist(), dtype=object),
    "one-column frame": pd.DataFrame({"y": NUMBERS}),
}


@pytest.mark.parametrize("case", NUMERIC)
def test_numeric_targets_stay_numbers_in_their_order(case):
    coded, coding = code_target(NUMERIC[case])
    assert coding == ""
    assert coded.tolist() == NUMBERS.tolist()


def test_labels_zero_and_one_are_left_alone():
    assert code_target(np.array([0, 1, 1]))[0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["a", "b", "c"] * 2, r"3 classes \('a', 'b', 'c'\).*one against the rest"),
        ([str(i) for i in range(9)], r"9 classes \('0', '1', '2', '3', '4', '5', \.\.\.\)"),
        (["a"] * 6, "a single class"),
        ([True] * 6, "a single class"),
        (np.zeros((6, 2)), r"shape \(n,\), got \(6, 2\)"),
        (3.0, r"shape \(n,\), got \(\)"),
        (NUMBERS + 1j, "real numbers, got complex128"),
        (np.array([1, "a", None, 2, 3, 4], dtype=object), "its values are mixed"),
        (pd.Series(pd.date_range("2024-01-01", periods=6)), "its values are datetime"),
        (NUMBERS[:5], "X has 6 rows, but `y` has 5 entries"),
        ([[1, 2], [3], [4], [5], [6], [7]], "must be arrays"),
        ([1, 2, None, 4, None, 6], r"2 missing values .*'y' 2"),
        ([None] * 6, r"6 missing values .*'y' 6"),
        (["a", "b", None, "a", "b", "a"], r"1 missing value .*'y' 1"),
        ([True, False, None, True, True, False], r"1 missing value .*'y' 1"),
        (pd.Series([1, 2, None, 4, 5, 6], dtype="Int64"), r"1 missing value .*'y' 1"),
        ([1, 2, np.inf, 4, 5, 6], r"1 infinite value .*'y' 1"),
    ],
)
def test_bad_target_gets_one_clear_line(y, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        LeastSquares.from_data(X, y)
    assert "\n" not in str(caught.value)


FEATURES = {
    "list": X.tolist(),
    "float32": X.astype(np.float32),
    "integers": np.arange(12).reshape(6, 2) ** 2,
    "bools": X > 0,
    "objects": X.astype(object),
    "tensor": torch.from_numpy(X).requires_grad_(),
    "half tensor": torch.from_numpy(X).to(torch.bfloat16),
    "Fortran order": np.asfortranarray(X),
    "a view": np.column_stack([X, X])[:, ::2],
    "mixed frame": pd.DataFrame({"a": X[:, 0], "b": [1, 2, 3, 4, 5, 7], "c": [True, False] * 3}),
    "nullable frame": pd.DataFrame({"a": X[:, 0], "b": pd.array([1, 2, 3, 4, 5, 7], dtype="Int64")}),
    "frame of objects": pd.DataFrame(X.astype(object), columns=["a", "b"]),
}


@pytest.mark.parametrize("case", FEATURES)
def test_features_are_taken_as_they_come(case):
    given = FEATURES[case]
    expected = given.detach().double().numpy() if isinstance(given, torch.Tensor) else np.asarray(given, dtype=float)
    np.testing.assert_array_equal(np.asarray(as_table(given, NUMBERS).features, dtype=float), expected)
    assert LeastSquares.from_data(given, NUMBERS).dim == expected.shape[1]


def test_frame_column_is_the_target():
    frame = pd.DataFrame({"a": X[:, 0], "y": NUMBERS, "b": X[:, 1]})
    table = as_table(frame, "y")
    assert table.names == ("a", "b")
    assert table.target.tolist() == NUMBERS.tolist()
    np.testing.assert_array_equal(table.features, X)
    numbered = as_table(pd.DataFrame(np.column_stack([X, NUMBERS])), 2)
    assert numbered.names == ("0", "1")
    assert numbered.target.tolist() == NUMBERS.tolist()


def frame_with(**columns):
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns})


def holes(*where):
    values = np.random.default_rng(1).standard_normal((6, 9))
    for value, i, j in where:
        values[i, j] = value
    return values


NAN, INF = np.nan, np.inf
BAD_FEATURES = {
    "unknown column": (frame_with(), "z", "there is no column 'z'; the columns are a, b"),
    "column name without a frame": (X, "y", "not a pandas DataFrame"),
    "doubled column": (pd.DataFrame(np.ones((6, 3)), columns=["a", "y", "y"]), "y", "2 columns are named 'y'"),
    "text columns": (
        frame_with(city=["Ulm"] * 6, when=pd.date_range("2024-01-01", periods=6)),
        NUMBERS,
        "2 of 4 feature columns are not numeric: 'city' .such as 'Ulm'., 'when'",
    ),
    "categories": (frame_with(c=pd.Categorical([1, 2] * 3)), NUMBERS, "not numeric: 'c'"),
    "missing": (holes((NAN, 0, 1), (NAN, 3, 1), (NAN, 2, 8)), NUMBERS, "3 missing values .* 'x1' 2, 'x8' 1"),
    "missing in a frame": (frame_with(c=[1, None, 2, 3, None, 5]), NUMBERS, "2 missing values .* 'c' 2"),
    "missing integers": (frame_with(c=pd.array([1, None, 2, 3, 4, 5], dtype="Int64")), NUMBERS, "'c' 1"),
    "nothing in a column": (frame_with(c=[None] * 6), NUMBERS, "6 missing values .* 'c' 6"),
    "everywhere": (np.full((6, 9), NAN), NUMBERS, "54 missing values .* 'x5' 6 and 3 more"),
    "masked": (np.ma.masked_greater(X, 0), NUMBERS, "missing values"),
    "infinite": (holes((INF, 0, 1), (-INF, 3, 4)), NUMBERS, "2 infinite values .* 'x1' 1, 'x4' 1"),
    "one axis": (NUMBERS, NUMBERS, r"shape \(n, d\), got ndarray of shape \(6,\)"),
    "three axes": (np.ones((6, 2, 2)), NUMBERS, r"shape \(6, 2, 2\)"),
    "text": (np.array([["a", "b"]] * 6), NUMBERS, "matrix of real numbers"),
    "text among objects": (np.array([[1, "b"]] * 6, dtype=object), NUMBERS, "matrix of real numbers"),
    "complex": (X + 1j, NUMBERS, "matrix of real numbers"),
    "no rows": (np.empty((0, 2)), [], "X is empty"),
    "no columns": (np.empty((6, 0)), NUMBERS, "X is empty"),
    "nothing": (None, NUMBERS, "matrix of real numbers"),
}


@pytest.mark.parametrize("case", BAD_FEATURES)
def test_bad_features_get_one_clear_line(case):
    features, y, words = BAD_FEATURES[case]
    with pytest.raises(InvalidInput, match=words) as caught:
        LeastSquares.from_data(features, y)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("LeastSquares.from_data: ")
