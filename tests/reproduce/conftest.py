"""One thread, and small files in the shape of public data sets."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def unrendered(monkeypatch):
    """Pictures are made but not rendered, which takes longer than a small experiment; other tests render them."""

    def savefig(figure, path, **options):
        Path(path).write_bytes(bytes(600))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.fixture
def cifar_binary(tmp_path):
    """CIFAR-10's binary version with 40 + 20 random images; pixel (0, 0) of image k of a file is k."""
    rng = np.random.default_rng(0)
    for name, count in (("data_batch_1.bin", 20), ("data_batch_2.bin", 20), ("test_batch.bin", 20)):
        records = rng.integers(256, size=(count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        records[:, 1] = np.arange(count)  # red, top left
        (tmp_path / name).write_bytes(records.tobytes())
    return tmp_path


@pytest.fixture
def cifar_mosaics(tmp_path):
    """The same data as lossless mosaics: 200 + 100 images; all pixels of image k are k mod 256."""
    Image = pytest.importorskip("PIL.Image")
    for name, mosaics in (("cifar10_train_1.npz", 2), ("cifar10_test.npz", 1)):
        packed, offsets = b"", [0]
        for k in range(mosaics):
            images = np.broadcast_to((100 * k + np.arange(100))[:, None, None, None], (100, 32, 32, 3)).astype(np.uint8)
            picture = images.reshape(10, 10, 32, 32, 3).swapaxes(1, 2).reshape(320, 320, 3)
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, format="WEBP", lossless=True)
            packed += buffer.getvalue()
            offsets.append(len(packed))
        labels = (np.arange(100 * mosaics) % 10).astype(np.uint8)
        np.savez(tmp_path / name, webp=np.frombuffer(packed, np.uint8), offsets=np.array(offsets), labels=labels)
    return tmp_path


@pytest.fixture
def fashion_idx(tmp_path):
    """Fashion-MNIST's IDX files with 30 + 10 images; image k is filled with k."""
    for part, count in (("train", 30), ("t10k", 10)):
        images = np.broadcast_to(np.arange(count)[:, None, None], (count, 28, 28)).astype(np.uint8)
        head = b"\x00\x00\x08\x03" + np.array([count, 28, 28], dtype=">i4").tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        head = b"\x00\x00\x08\x01" + np.array([count], dtype=">i4").tobytes()
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(head + (np.arange(count) % 10).astype(np.uint8).tobytes())
    return tmp_path


@pytest.fixture
def reviews(tmp_path):
    """Raw reviews, 60 + 20, whose one telling word gives the label away."""
    path = tmp_path / "reviews.jsonl.gz"
    entries = [
        {"split": split, "label": 1 if k % 2 else -1, "text": f"a {'fine' if k % 2 else 'poor'} film number {k % 7}"}
        for split, count in (("train", 60), ("test", 20))
        for k in range(count)
    ]
    path.write_bytes(gzip.compress("\n".join(json.dumps(e) for e in entries).encode()))
    return path
