"""Loaders: bundled data, files in public formats, and what is wrong with a file."""

import numpy as np
import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope.reproduce.datasets import CONTEXT, TEXT, load
from signscope.reproduce.networks import build


def test_digits_are_split_without_overlap():
    data = load("digits")
    assert data.train_x.shape == (1437, 1, 8, 8)
    assert data.test_x.shape == (360, 1, 8, 8)
    assert sorted(data.test_y.unique().tolist()) == list(range(10))
    assert torch.equal(load("digits").train_x, data.train_x)


def test_shipped_text_is_small_named_and_windowed():
    assert TEXT.stat().st_size < 200_000
    assert "public domain" in (TEXT.parent / "README.md").read_text()
    data, text = load("shakespeare"), TEXT.read_text()
    letters = sorted(set(text))
    window = "".join(letters[i] for i in [*data.train_x[5].tolist(), int(data.train_y[5])])
    assert len(window) == CONTEXT + 1
    assert window in text[: int(0.9 * len(text))]
    last = "".join(letters[i] for i in data.test_x[0].tolist())
    assert last in text[int(0.9 * len(text)) :]


def test_cifar_binary_and_mosaics(cifar_binary):
    data = load(f"cifar10:{cifar_binary}")
    assert data.train_x.shape == (40, 3, 32, 32)
    assert data.test_x.shape == (20, 3, 32, 32)
    red = data.train_x[:, 0, 0, 0] * 0.2470 + 0.4914
    np.testing.assert_allclose(red * 255, [*range(20), *range(20)], atol=1e-3)
    assert data.train_y.tolist() == [k % 10 for k in range(20)] * 2


def test_cifar_mosaics(cifar_mosaics):
    data = load(f"cifar10:{cifar_mosaics}")
    assert data.train_x.shape == (200, 3, 32, 32)
    blue = data.train_x[:, 2, 17, 30] * 0.2616 + 0.4465
    np.testing.assert_allclose(blue * 255, np.arange(200), atol=1e-3)


def test_fashion_idx_and_npz(fashion_idx, tmp_path):
    data = load(f"fashion_mnist:{fashion_idx}")
    assert data.train_x.shape == (30, 1, 28, 28)
    grey = (data.test_x[:, 0, 3, 4] * 0.3530 + 0.2860) * 255
    np.testing.assert_allclose(grey, np.arange(10), atol=1e-3)
    arrays = {f"{k}_{p}": np.zeros((4, 28, 28) if k == "x" else 4, np.uint8) for k in "xy" for p in ("train", "test")}
    np.savez(tmp_path / "f.npz", **arrays)
    assert load(f"fashion_mnist:{tmp_path / 'f.npz'}").train_x.shape == (4, 1, 28, 28)


def test_imdb_text_becomes_words(reviews):
    data = load(f"imdb:{reviews}")
    assert data.kind == "features"
    assert data.num_classes == 2
    assert data.train_y.tolist() == [k % 2 for k in range(60)]
    telling = [j for j in range(data.train_x.shape[1]) if bool(((data.train_x[:, j] > 0) == data.train_y.bool()).all())]
    assert len(telling) == 1  # "fine"


def test_imdb_vectors(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 5)).astype(np.float32) + 3, np.where(rng.random(20) < 0.5, -1, 1)
    np.savez(tmp_path / "imdb_glove50.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    data = load(f"imdb:{tmp_path}")
    torch.testing.assert_close(data.train_x.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    assert data.train_y.tolist() == [int(v > 0) for v in y]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnist", "unknown kind 'mnist'"),
        ("cifar10", "not bundled"),
        ("digits:here", "takes no path"),
        ("cifar10:/nowhere", "does not exist"),
        ("imdb:{folder}", "holds neither"),
        ("cifar10:{folder}", "pickles"),
        ("fashion_mnist:{folder}", "lacks train-images"),
        ("cifar10:{folder}/a.npz", "needs a folder"),
        ("fashion_mnist:{folder}/a.npz", "cannot be read"),
        ("shakespeare:{folder}/short.txt", "at least"),
    ],
)
def test_what_is_wrong_is_said(spec, message, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    (tmp_path / "short.txt").write_text("short")
    with pytest.raises(InvalidInput, match=message):
        load(spec.format(folder=tmp_path))


def test_networks_start_from_their_seed_alone(cifar_binary):
    data = load(f"cifar10:{cifar_binary}")
    state = torch.get_rng_state()
    first, again, other = (build("resnet20", data, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert sum(p.numel() for p in first.parameters()) == 269_722  # the 0.27 M of the ResNet paper
    assert first(data.train_x[:3]).shape == (3, 10)
    alone = first(data.train_x[:1])
    torch.testing.assert_close(alone, first(data.train_x[:3])[:1], atol=1e-5, rtol=1e-5)  # rows are not coupled


def test_a_network_must_fit_the_data():
    with pytest.raises(InvalidInput, match="does not fit digits"):
        build("mlp", load("digits"), seed=0)
    with pytest.raises(InvalidInput, match="cnn or resnet20"):
        build("resnet50", load("digits"), seed=0)
