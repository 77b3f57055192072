"""Files: what is read, and the one clear line for every way a file can be wrong."""

import sys

import numpy as np
import pandas as pd
import pytest

from signscope._core.errors import InvalidInput
from signscope.problems import LeastSquares, bundled, load_matrix, load_table

X = np.random.default_rng(0).standard_normal((8, 2))
Y = np.arange(8.0) ** 2
FRAME = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y)


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=Y, other=2 * Y)
    np.savez(tmp_path / "lower.npz", x=X, y=Y)
    np.savez(tmp_path / "split.npz", x_train=X, y_train=Y)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    FRAME.to_csv(tmp_path / "data.csv", index=False)
    FRAME.to_csv(tmp_path / "index.csv")
    FRAME.to_parquet(tmp_path / "data.parquet")
    FRAME.assign(city="Ulm").to_csv(tmp_path / "text.csv", index=False)
    return tmp_path


READ = {
    "npz": ("data.npz", None, {}, Y),
    "npz, another target": ("data.npz", "other", {}, 2 * Y),
    "npz, small letter": ("lower.npz", "y", {}, Y),
    "npz, other names": ("split.npz", "y_train", {"features": "x_train"}, Y),
    "csv": ("data.csv", "y", {}, Y),
    "csv, default target": ("data.csv", None, {}, Y),
    "csv with a saved index": ("index.csv", "y", {}, Y),
    "parquet": ("data.parquet", "y", {}, Y),
}


@pytest.mark.parametrize("case", READ)
def test_table_comes_back(folder, case):
    name, target, options, expected = READ[case]
    features, y = load_table(folder / name, target, **options)
    np.testing.assert_allclose(np.asarray(features), X, rtol=1e-15)
    np.testing.assert_array_equal(np.asarray(y), expected)
    assert LeastSquares.from_data(features, y).dim == 2


def test_npy_with_a_target_file(folder):
    features, y = load_table(str(folder / "X.npy"), str(folder / "y.npy"))
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(y, Y)


def test_any_column_can_be_the_target_and_names_are_kept(folder):
    features, y = load_table(folder / "data.csv", "a")
    assert list(features.columns) == ["b", "y"]
    np.testing.assert_allclose(y, X[:, 0], rtol=1e-15)


def test_text_column_is_refused_by_name_when_used(folder):
    with pytest.raises(InvalidInput, match="not numeric: 'city'"):
        LeastSquares.from_data(*load_table(folder / "text.csv"))


def test_two_word_classes_work_from_a_file(tmp_path):
    FRAME.assign(y=["no", "yes"] * 4).to_csv(tmp_path / "words.csv", index=False)
    problem = LeastSquares.from_data(*load_table(tmp_path / "words.csv"))
    assert "y: 'no' = -1, 'yes' = +1" in problem.report


def test_missing_csv_cells_are_counted(tmp_path):
    (tmp_path / "holes.csv").write_text("a,b,y\n1,2,3\n4,,6\n,8,9\nNA,1,2\n")
    with pytest.raises(InvalidInput, match=r"3 missing values .*'a' 2, 'b' 1"):
        LeastSquares.from_data(*load_table(tmp_path / "holes.csv"))


def write_bad_files(folder):
    for suffix in ("npz", "npy", "csv", "parquet"):
        (folder / f"empty.{suffix}").touch()
        (folder / f"garbage.{suffix}").write_bytes(b"\x89\xff\x00not a table" * 3)
        (folder / f"folder.{suffix}").mkdir()
    (folder / "cut.npz").write_bytes((folder / "data.npz").read_bytes()[:-40])
    (folder / "cut.npy").write_bytes((folder / "X.npy").read_bytes()[:-40])
    (folder / "ragged.csv").write_text("a,b,y\n1,2,3\n4,5,6,7,8\n")
    (folder / "header.csv").write_text("a,b,y\n")
    (folder / "twice.parquet").touch()
    np.savez(folder / "objects.npz", X=np.array([{}, None], dtype=object), y=Y)
    np.save(folder / "objects.npy", np.array([{}, None], dtype=object))
    (folder / "really_npy.npz").write_bytes((folder / "X.npy").read_bytes())
    (folder / "really_npz.npy").write_bytes((folder / "data.npz").read_bytes())
    (folder / "data.xlsx").touch()
    (folder / "plain").mkdir()
    np.savez_compressed(folder / "damaged.npz", X=np.arange(400.0).reshape(100, 4), y=np.arange(100.0))
    content = bytearray((folder / "damaged.npz").read_bytes())
    content[60:90] = b"\xff" * 30
    (folder / "damaged.npz").write_bytes(content)


BAD = {
    "missing": ("none.csv", "y", "there is no such file"),
    "unknown kind": ("data.xlsx", "y", "unknown kind of file '.xlsx'. Use one of .npz, .npy, .csv, .parquet"),
    "no suffix": ("data", "y", "unknown kind of file ''"),
    "npz, no such target": ("data.npz", "z", "no array 'z'; it holds X, y, other"),
    "npz, no features": ("split.npz", "y_train", "no array 'X'; it holds x_train, y_train"),
    "npz, neither": ("split.npz", None, "no array 'X' and no array 'y'"),
    "npy without target": ("X.npy", None, "holds X alone"),
    "npy with a name": ("X.npy", "y", "another .npy file, got 'y'"),
    "npy, missing target": ("X.npy", "none.npy", "none.npy: there is no such file"),
    "csv, no such column": ("data.csv", "z", "no column 'z'; the columns are a, b, y"),
    "parquet, no such column": ("data.parquet", "z", "no column 'z'"),
    "csv, rows of unequal length": ("ragged.csv", "y", "cannot be read"),
    "csv, header alone": ("header.csv", "y", "a header but no rows"),
    "cut npz": ("cut.npz", "y", "cannot be read"),
    "cut npy": ("cut.npy", "y.npy", "cannot be read"),
    "damaged compressed npz": ("damaged.npz", "y", "cannot be read"),
    "folder without suffix": ("plain", "y", "is a folder"),
    "objects in npz": ("objects.npz", "y", "Python objects are never unpickled"),
    "objects in npy": ("objects.npy", "y.npy", "Python objects are never unpickled"),
    "npy named npz": ("really_npy.npz", "y", "rename it to .npy"),
    "npz named npy": ("really_npz.npy", "y.npy", "rename it to .npz"),
    **{f"empty {s}": (f"empty.{s}", "y.npy", "is empty") for s in ("npz", "npy", "csv", "parquet")},
    **{f"garbage {s}": (f"garbage.{s}", "y.npy", "cannot be read") for s in ("npz", "npy", "csv", "parquet")},
    **{f"folder {s}": (f"folder.{s}", "y.npy", "is a folder") for s in ("npz", "npy", "csv", "parquet")},
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_gets_one_clear_line(folder, monkeypatch, case):
    write_bad_files(folder)
    monkeypatch.chdir(folder)
    name, target, words = BAD[case]
    with pytest.raises(InvalidInput, match=words) as caught:
        load_table(name, target)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value) or (target and target in str(caught.value))


def test_features_belong_to_npz_files(folder):
    with pytest.raises(InvalidInput, match=r"`features` names an array of an \.npz file"):
        load_table(folder / "data.csv", "y", features="X")


def test_parquet_without_pyarrow_names_the_extra(folder, monkeypatch):
    for module in ("pyarrow", "pyarrow.parquet", "fastparquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidInput, match=r"needs pyarrow.*its extra `data`") as caught:
        load_table(folder / "data.parquet", "y")
    assert "\n" not in str(caught.value)


def test_matrix_files(folder):
    np.save(folder / "K.npy", np.eye(3))
    np.savez(folder / "K.npz", cov=np.eye(3))
    for name in ("K.npy", "K.npz"):
        np.testing.assert_array_equal(load_matrix(folder / name), np.eye(3))
    with pytest.raises(InvalidInput, match="exactly one array, but holds 3: X, y, other"):
        load_matrix(folder / "data.npz")
    with pytest.raises(InvalidInput, match=r"from .npy or .npz, not from '.csv'"):
        load_matrix(folder / "data.csv")
    with pytest.raises(InvalidInput, match="there is no such file"):
        load_matrix(folder / "none.npy")


def test_unknown_bundled_name():
    with pytest.raises(InvalidInput, match="'digits', 'diabetes', 'breast_cancer'; got 'iris'"):
        bundled("iris")
