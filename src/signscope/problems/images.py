"""Image files as arrays: CIFAR-10 (binary version or mosaics) and Fashion-MNIST (IDX or npz)."""

import gzip
import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from signscope._core.errors import InvalidInput, Unsupported

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_RECORD = 1 + 3 * 32 * 32
_NO_CIFAR = (
    "data: {path} holds neither data_batch_*.bin with test_batch.bin (CIFAR-10's binary version) nor "
    "cifar10_train*.npz with cifar10_test.npz. The Python version consists of pickles, which are not read."
)


def cifar10_arrays(path: Path) -> Arrays:
    """Train images (n, 32, 32, 3) uint8, their labels, test images and theirs.

    Args:
        path: Folder with data_batch_1.bin ... data_batch_5.bin and test_batch.bin (the "binary version"), or with
            cifar10_train_*.npz and cifar10_test.npz (losslessly compressed mosaics; needs Pillow).

    Raises:
        InvalidInput: Neither is there.
    """
    if not path.is_dir():
        raise InvalidInput(f"data: cifar10 needs a folder, got the file {path.name}.")
    batches, tests = sorted(path.glob("data_batch_*.bin")), sorted(path.glob("test_batch.bin"))
    if batches and tests:
        return *_binary(batches), *_binary(tests)
    batches, tests = sorted(path.glob("cifar10_train*.npz")), sorted(path.glob("cifar10_test*.npz"))
    if batches and tests:
        return *_mosaics(batches), *_mosaics(tests)
    raise InvalidInput(_NO_CIFAR.format(path=path))


def cifar10_training(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training images (n, 32, 32, 3) uint8 and their labels, of a folder or of one file (.bin or .npz).

    Raises:
        InvalidInput: The folder has no such files, or the file is of another kind.
    """
    if not path.is_dir():
        readers = {".bin": _binary, ".npz": _mosaics}
        if path.suffix not in readers:
            raise InvalidInput(f"data: cifar10 is read from .bin or .npz files, got {path.name}.")
        return readers[path.suffix]([path])
    for pattern, reader in (("data_batch_*.bin", _binary), ("cifar10_train*.npz", _mosaics)):
        if found := sorted(path.glob(pattern)):
            return reader(found)
    raise InvalidInput(_NO_CIFAR.format(path=path))


def fashion_arrays(path: Path) -> Arrays:
    """Train images (n, 28, 28) uint8, their labels, test images and theirs.

    Args:
        path: An .npz with x_train, y_train, x_test, y_test, or a folder with that file (fashion_mnist.npz) or with
            the four IDX files (train-images-idx3-ubyte[.gz] ...).

    Raises:
        InvalidInput: None of them is there.
    """
    if path.is_dir() and (path / "fashion_mnist.npz").exists():
        path = path / "fashion_mnist.npz"
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return file["x_train"], file["y_train"], file["x_test"], file["y_test"]
    if not path.is_dir():
        raise InvalidInput(f"data: fashion_mnist needs an .npz file or a folder of IDX files, got {path.name}.")
    train = _idx(path, "train-images-idx3-ubyte"), _idx(path, "train-labels-idx1-ubyte")
    return *train, _idx(path, "t10k-images-idx3-ubyte"), _idx(path, "t10k-labels-idx1-ubyte")


def _binary(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label byte and 3072 colour bytes, planes first."""
    raw = np.concatenate([np.fromfile(path, dtype=np.uint8) for path in paths])
    if raw.size == 0 or raw.size % _RECORD:
        raise InvalidInput(f"data: {paths[0].name}: {raw.size} bytes are no whole number of {_RECORD}-byte records.")
    records = raw.reshape(-1, _RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def _mosaics(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Lossless WebP pictures of 10 x 10 images each."""
    try:
        from PIL import Image
    except ImportError:
        raise Unsupported("data: these CIFAR-10 files need Pillow: install the extra `data`.") from None
    images, labels = [], []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            packed, offsets = file["webp"], file["offsets"]
            labels.append(file["labels"])
        for first, last in pairwise(offsets):
            mosaic = np.asarray(Image.open(io.BytesIO(packed[first:last].tobytes())).convert("RGB"))
            images.append(mosaic.reshape(10, 32, 10, 32, 3).swapaxes(1, 2).reshape(100, 32, 32, 3))
    return np.concatenate(images), np.concatenate(labels)


def _idx(folder: Path, name: str) -> np.ndarray:
    """An IDX file of bytes, compressed or not."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if raw[:3] != b"\x00\x00\x08":
                raise InvalidInput(f"data: {path.name} is not an IDX file of bytes.")
            shape = np.frombuffer(raw, dtype=">i4", count=raw[3], offset=4)
            return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    raise InvalidInput(f"data: {folder} lacks {name}.gz (and an .npz file with x_train, y_train, x_test, y_test).")
