"""Averaged word vectors of film reviews, from an .npz file."""

from pathlib import Path

import numpy as np

from signscope._core.damage import DAMAGED
from signscope._core.errors import InvalidInput

NAMES = ("x_train", "y_train", "x_test", "y_test")
FILE = "imdb_glove50.npz"


def review_vectors(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training rows (n, p), their labels (positive above 0), test rows and theirs.

    Args:
        path: The .npz file with x_train, y_train, x_test and y_test, or the folder that holds imdb_glove50.npz.

    Raises:
        InvalidInput: The file is not there, is not an .npz file, or lacks one of these arrays.
    """
    if path.is_dir():
        path = path / FILE
    if not path.exists():
        raise InvalidInput(f"data: {path.parent} has no {path.name}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in NAMES if name not in file.files]
            if missing:
                raise InvalidInput(f"data: {path} has no array {missing[0]!r}; imdb needs {', '.join(NAMES)}.")
            x, y, z, w = (file[name] for name in NAMES)
    except InvalidInput:
        raise
    except (*DAMAGED, AttributeError) as error:
        raise InvalidInput(f"data: {path} cannot be read as an .npz file of arrays ({type(error).__name__}).") from None
    return x, y, z, w
