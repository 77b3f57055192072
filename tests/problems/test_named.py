"""Data sets by name: what is read, where it is looked for, and what is said when it is not there."""

import numpy as np
import pytest

from signscope._core.errors import InvalidInput
from signscope.problems.named import NAMED, VARIABLE, is_named, named_data


@pytest.fixture
def pictures(tmp_path):
    """CIFAR-10's binary format: 40 random images in two files, class k mod 10; the last pixel never varies."""
    rng = np.random.default_rng(0)
    for part in (1, 2):
        records = rng.integers(256, size=(20, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        records[:, -1] = 7
        (tmp_path / f"data_batch_{part}.bin").write_bytes(records.tobytes())
    return tmp_path


@pytest.fixture
def reviews(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 5)).astype(np.float32) + 3, np.where(rng.random(20) < 0.5, -1, 1).astype(np.int8)
    np.savez(tmp_path / "imdb_glove50.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    return tmp_path


def test_frogs_are_gone_and_pixels_standardised(pictures):
    X, y, place = named_data(f"cifar10:{pictures}")
    assert place == pictures.resolve()
    assert X.shape == (36, 3072)
    kept = [k for k in [*range(10)] * 4 if k != 6]
    assert y.tolist() == [1.0 if k in (2, 3, 4, 5, 7) else -1.0 for k in kept]
    varying = X.std(0) > 0
    np.testing.assert_allclose(X.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(X.std(0)[varying], 1, rtol=1e-5)
    assert 0 < (~varying).sum() <= 3
    one, _, _ = named_data(f"cifar10:{pictures / 'data_batch_1.bin'}")
    assert len(one) == 18


def test_reviews_from_folder_and_file(reviews):
    X, y, _ = named_data(f"imdb:{reviews}")
    assert X.shape == (20, 5)
    assert set(y) == {-1.0, 1.0}
    np.testing.assert_allclose(X.std(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(named_data(f"imdb:{reviews / 'imdb_glove50.npz'}")[0], X)


def test_the_variable_says_where(reviews, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(reviews))
    assert named_data("imdb")[2] == reviews.resolve()
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(InvalidInput, match=f"or set {VARIABLE}"):
        named_data("imdb")


def test_names_are_told_from_files(tmp_path, monkeypatch):
    assert all(is_named(kind) and is_named(f"{kind}:/nowhere") for kind in NAMED)
    assert not is_named("digits")
    assert not is_named("cifar10.npz")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imdb").write_text("a file of this name")
    assert not is_named("imdb")
    (tmp_path / "cifar10").mkdir()  # a folder of results
    assert is_named("cifar10")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mnist:/x", "unknown kind 'mnist'"),
        ("cifar10:/nowhere/at/all", "does not exist"),
        ("cifar10:{folder}", "pickles"),
        ("cifar10:{folder}/notes.txt", "is read from .bin or .npz files"),
        ("cifar10:{folder}/short.bin", "whole number of 3073-byte records"),
        ("cifar10:{folder}/other.npz", "cannot be read as cifar10"),
        ("imdb:{folder}", "has no imdb_glove50.npz"),
        ("imdb:{folder}/other.npz", "has no array 'x_train'"),
        ("imdb:{folder}/notes.txt", "cannot be read as an .npz file"),
        ("imdb:{folder}/damaged.npz", "cannot be read as an .npz file"),
        ("cifar10:{folder}/damaged.npz", "cannot be read as cifar10"),
    ],
)
def test_what_is_wrong_is_said(text, words, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "short.bin").write_bytes(b"123")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    rows = dict.fromkeys(("x_train", "y_train", "x_test", "y_test", "webp", "offsets"), np.arange(400.0))
    np.savez_compressed(tmp_path / "damaged.npz", **rows)
    content = (tmp_path / "damaged.npz").read_bytes()
    place = content.index(b"webp") + 50  # the first array is whole, its successors' streams are not
    content = content[:60] + b"\xff" * 30 + content[90:place] + b"\xff" * 30 + content[place + 30 :]
    (tmp_path / "damaged.npz").write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        named_data(text.format(folder=tmp_path))
