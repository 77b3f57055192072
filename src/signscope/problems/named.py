"""Real data sets by name, ``KIND`` or ``KIND:PATH``, as regression tasks with two classes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signscope._core.damage import DAMAGED
from signscope._core.errors import InvalidInput, SignscopeError
from signscope.problems.images import cifar10_training
from signscope.problems.reviews import review_vectors

VARIABLE = "SIGNSCOPE_DATA"
FROG = 6
ANIMALS = (2, 3, 4, 5, 7)  # bird, cat, deer, dog, horse; the others are airplane, automobile, ship, truck


@dataclass(frozen=True)
class Named:
    """A data set that is named, not bundled.

    Attributes:
        load: Standardised columns X (n, p), float32, and y = +-1 of a folder or file.
        features: Random features that go with it, for `features_from_text`.
        about: One line.
    """

    load: Callable[[Path], tuple[np.ndarray, np.ndarray]]
    features: str
    about: str


def cifar10(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's training images without frogs, every pixel standardised: 45,000 x 3072; +1 animal, -1 vehicle."""
    images, labels = cifar10_training(path)
    kept = labels != FROG
    rows = images[kept].reshape(int(kept.sum()), -1)
    return standardised(rows), np.where(np.isin(labels[kept], ANIMALS), 1.0, -1.0)


def imdb(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Averages of 50 GloVe coordinates over a review, standardised: 25,000 x 50; +1 positive, -1 negative."""
    rows, labels, _, _ = review_vectors(path)
    return standardised(rows), np.where(np.asarray(labels) > 0, 1.0, -1.0)


NAMED = {
    "cifar10": Named(cifar10, "tanh:400", "CIFAR-10, animals against vehicles"),
    "imdb": Named(imdb, "tanh:50:0.3", "IMDB reviews as averaged word vectors"),
}


def is_named(text: str) -> bool:
    """Whether ``text`` is KIND or KIND:PATH with a kind of `NAMED`; a file of that name goes first."""
    return text.partition(":")[0] in NAMED and not Path(text).is_file()


def named_data(text: str) -> tuple[np.ndarray, np.ndarray, Path]:
    """X, y and the resolved place of ``KIND:PATH``; without PATH the variable SIGNSCOPE_DATA says where.

    Args:
        text: "cifar10", "cifar10:PATH", "imdb" or "imdb:PATH"; PATH a folder or a file.

    Returns:
        X (n, p), float32, columns standardised; y of +-1; the absolute path that was read.

    Raises:
        InvalidInput: Unknown kind, no place, nothing there, or a file that is not what the kind needs.
    """
    kind, _, path = text.partition(":")
    if kind not in NAMED:
        raise InvalidInput(f"data: unknown kind {kind!r}; use one of {', '.join(NAMED)} (KIND or KIND:PATH).")
    path = path or os.environ.get(VARIABLE, "")
    if not path:
        raise InvalidInput(
            f"data: `{kind}` is not bundled. Name its folder or file, as in {kind}:PATH, or set {VARIABLE}."
        )
    place = Path(path).expanduser().resolve()
    if not place.exists():
        raise InvalidInput(f"data: {place} does not exist.")
    try:
        X, y = NAMED[kind].load(place)
    except SignscopeError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"data: {place} cannot be read as {kind} ({type(error).__name__}: {reason}).") from None
    return X, y, place


def standardised(rows: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1, float32; a column that never varies becomes 0."""
    x = rows.astype(np.float32)
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    std = np.sqrt(np.square(x).mean(axis=0, dtype=np.float64))
    x /= np.where(std > 0, std, 1.0).astype(np.float32)
    return x
