"""Data sets of the training experiments: bundled ones, and files the user names as KIND:PATH."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core.damage import DAMAGED
from signscope._core.errors import InvalidInput, SignscopeError
from signscope._core.random import stream
from signscope.problems.images import cifar10_arrays, fashion_arrays
from signscope.problems.reviews import review_vectors

Kind = Literal["images", "features", "characters"]
TEXT = Path(__file__).parent / "data" / "shakespeare.txt"
CONTEXT = 12
WINDOWS = 16_384
WORDS = 2_000
WHO = "data"


@dataclass(frozen=True)
class Dataset:
    """A classification task.

    Attributes:
        name: Short name; part of the identity of a run.
        kind: What a row is: an image (channels, height, width), a vector of features, or indices of characters.
        train_x, train_y: Training rows and their classes.
        test_x, test_y: Test rows and their classes.
        num_classes: Classes (for characters: the alphabet, also of the input).
        source: Where it comes from, for the caption.
    """

    name: str
    kind: Kind
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    num_classes: int
    source: str

    def to(self, device: str) -> "Dataset":
        """The same data on a device."""
        parts = {name: getattr(self, name).to(device) for name in ("train_x", "train_y", "test_x", "test_y")}
        return replace(self, **parts)

    def head(self, rows: int | None) -> "Dataset":
        """At most the first ``rows`` training and test rows; all for None."""
        if rows is None:
            return self
        parts = {name: getattr(self, name)[:rows] for name in ("train_x", "train_y", "test_x", "test_y")}
        return replace(self, **parts)


def load(spec: str) -> Dataset:
    """The data set of ``KIND`` or ``KIND:PATH``.

    Args:
        spec: "digits", "shakespeare", "shakespeare:FILE", "cifar10:PATH", "fashion_mnist:PATH" or "imdb:PATH".

    Returns:
        The data, rows in a fixed random order (a prefix is a random sample), in memory on the CPU.

    Raises:
        InvalidInput: Unknown kind, missing path, or a file that is not what the kind needs.
    """
    kind, _, path = spec.partition(":")
    if kind not in LOADERS:
        raise InvalidInput(f"{WHO}: unknown kind {kind!r}; use one of {', '.join(LOADERS)} (KIND or KIND:PATH).")
    if not path and kind not in ("digits", "shakespeare"):
        raise InvalidInput(f"{WHO}: `{kind}` is not bundled; name its file or folder, as in {kind}:PATH.")
    if kind == "digits" and path:
        raise InvalidInput("data: `digits` comes with scikit-learn and takes no path.")
    place = Path(path).expanduser() if path else TEXT
    if not place.exists():
        raise InvalidInput(f"{WHO}: {place} does not exist.")
    try:
        return LOADERS[kind](place)
    except SignscopeError:
        raise
    except DAMAGED as error:
        raise InvalidInput(f"{WHO}: {place} cannot be read as {kind} ({type(error).__name__}: {error}).") from None


def _digits(_: Path) -> Dataset:
    from sklearn.datasets import load_digits

    bundle: Any = load_digits()
    order = stream(0, "digits").permutation(len(bundle.target))
    x, y = bundle.images[order, None] / 16.0, bundle.target[order]
    source = "scikit-learn's handwritten digits, 8 x 8"
    return _images("digits", x[:1437] - 0.3, y[:1437], x[1437:] - 0.3, y[1437:], source)


def _cifar10(path: Path) -> Dataset:
    mean, std = (np.array(v, dtype=np.float32) for v in ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)))
    parts = cifar10_arrays(path)
    train, test = (((x.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2) for x in (parts[0], parts[2]))
    return _images("cifar10", train, parts[1], test, parts[3], "CIFAR-10 (Krizhevsky, 2009)")


def _fashion_mnist(path: Path) -> Dataset:
    train_x, train_y, test_x, test_y = fashion_arrays(path)
    train, test = (((x.astype(np.float32) / 255 - 0.2860) / 0.3530)[:, None] for x in (train_x, test_x))
    return _images("fashion_mnist", train, train_y, test, test_y, "Fashion-MNIST (Xiao et al., 2017)")


def _images(name: str, train_x: Any, train_y: Any, test_x: Any, test_y: Any, source: str) -> Dataset:
    x, z = (torch.as_tensor(np.ascontiguousarray(a, dtype=np.float32)) for a in (train_x, test_x))
    y, w = (torch.as_tensor(np.asarray(a, dtype=np.int64)) for a in (train_y, test_y))
    return Dataset(name, "images", x, y, z, w, 10, source)


def _imdb(path: Path) -> Dataset:
    """Averaged word vectors (.npz), or raw text (.jsonl, .jsonl.gz) as the presence of its commonest words."""
    if path.is_dir():
        found = [path / name for name in ("imdb_glove50.npz", "imdb_text_5000.jsonl.gz") if (path / name).exists()]
        if not found:
            raise InvalidInput(f"{WHO}: {path} holds neither imdb_glove50.npz nor imdb_text_5000.jsonl.gz.")
        path = found[0]
    if path.suffix == ".npz":
        train_x, train_y, test_x, test_y = review_vectors(path)
        centre, scale = train_x.mean(0), train_x.std(0)
        train_x, test_x = (train_x - centre) / scale, (test_x - centre) / scale
    else:
        train_x, train_y, test_x, test_y = _bag_of_words(path)
    labels = (torch.as_tensor((np.asarray(y) > 0).astype(np.int64)) for y in (train_y, test_y))
    rows = (torch.as_tensor(np.asarray(x, dtype=np.float32)) for x in (train_x, test_x))
    (x, z), (y, w) = rows, labels
    name = "imdb" if path.suffix == ".npz" else "imdb_words"
    return Dataset(name, "features", x, y, z, w, 2, "IMDB reviews (Maas et al., 2011)")


def _bag_of_words(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        entries = [json.loads(line) for line in file if line.strip()]
    train, test = ([e for e in entries if e["split"] == split] for split in ("train", "test"))
    words = TfidfVectorizer(max_features=WORDS, sublinear_tf=True)
    x = np.asarray(words.fit_transform(e["text"] for e in train).todense()) * WORDS**0.5 / 4
    z = np.asarray(words.transform(e["text"] for e in test).todense()) * WORDS**0.5 / 4  # pyright: ignore[reportAttributeAccessIssue]
    return x, np.array([e["label"] for e in train]), z, np.array([e["label"] for e in test])


def _shakespeare(path: Path) -> Dataset:
    """Next character from the 12 before it; the last tenth of the text is the test."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        text = file.read()
    alphabet = {c: i for i, c in enumerate(sorted(set(text)))}
    codes = np.array([alphabet[c] for c in text])
    if len(codes) < 100 * CONTEXT:
        raise InvalidInput(f"{WHO}: {path} holds {len(codes)} characters; at least {100 * CONTEXT} are needed.")
    cut = int(0.9 * len(codes))
    train, test = _windows(codes[:cut], WINDOWS, "train"), _windows(codes[cut:], WINDOWS // 4, "test")
    name = "shakespeare" if path == TEXT else path.name.partition(".")[0]
    source = "tiny Shakespeare, public domain" if path == TEXT else path.name
    return Dataset(name, "characters", *train, *test, len(alphabet), source)


def _windows(codes: np.ndarray, count: int, part: str) -> tuple[Tensor, Tensor]:
    starts = stream(0, "windows", part).permutation(len(codes) - CONTEXT)[:count]
    windows = torch.from_numpy(codes[starts[:, None] + np.arange(CONTEXT + 1)])
    return windows[:, :-1].contiguous(), windows[:, -1].contiguous()


LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "digits": _digits,
    "shakespeare": _shakespeare,
    "cifar10": _cifar10,
    "fashion_mnist": _fashion_mnist,
    "imdb": _imdb,
}
