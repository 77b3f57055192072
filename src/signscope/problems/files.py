"""Data sets and covariances from files: one clear line for every way a file can be wrong."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from signscope._core.damage import DAMAGED
from signscope._core.errors import InvalidInput, SignscopeError
from signscope.problems.tables import listed


def load_table(
    path: str | os.PathLike[str], target: str | None = None, *, features: str | None = None
) -> tuple[Any, Any]:
    """Features and target (X, y) of a file, ready for `LeastSquares.from_data`.

    | suffix | X | ``target`` |
    |---|---|---|
    | ``.npz`` | the array ``features``, by default ``X`` or ``x`` | name of another array, by default ``y`` |
    | ``.npy`` | the array | path of another ``.npy`` file |
    | ``.csv`` (first line: names) | the other columns | name of a column, by default ``y`` |
    | ``.parquet`` (the extra ``data``) | the other columns | name of a column, by default ``y`` |

    Args:
        path: The file; nothing in it is ever unpickled.
        target: See the table.
        features: Name of the array X of an ``.npz`` file.

    Returns:
        (X, y): arrays, or a DataFrame without the target column and a Series.

    Raises:
        InvalidInput: The file is missing, empty, unreadable or of another kind, or lacks the names asked for.

    Notes:
        A first CSV column without a name that counts 0, 1, 2, ... is a saved row index, not a feature.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidInput(f"{path}: is a folder, not a file.")
    loaders = {".npz": _load_npz, ".npy": _load_npy, ".csv": _load_frame, ".parquet": _load_frame}
    loader = loaders.get(path.suffix.lower())
    if loader is None:
        raise InvalidInput(f"{path}: unknown kind of file {path.suffix!r}. Use one of {', '.join(loaders)}.")
    if features is not None and loader is not _load_npz:
        raise InvalidInput(
            f"{path}: `features` names an array of an .npz file; {path.suffix} files have no such names."
        )
    return loader(path, target, features)


def load_matrix(path: str | os.PathLike[str]) -> np.ndarray:
    """A matrix or a vector from a file: ``.npy``, or ``.npz`` with a single array.

    Raises:
        InvalidInput: The file is missing, empty, unreadable, or holds several arrays.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _read_array(path)
    if path.suffix.lower() != ".npz":
        raise InvalidInput(f"{path}: a matrix or vector is read from .npy or .npz, not from {path.suffix!r} files.")
    arrays = _read_arrays(path)
    if len(arrays) != 1:
        raise InvalidInput(f"{path}: needs exactly one array, but holds {len(arrays)}: {listed(list(arrays))}.")
    return next(iter(arrays.values()))


def _load_npz(path: Path, target: str | None, features: str | None) -> tuple[Any, Any]:
    names = _read_arrays(path, only=())
    wanted_y = target or "y"
    wanted_x = features or next((name for name in ("X", "x") if name in names), "X")
    absent = [name for name in (wanted_x, wanted_y) if name not in names]
    if absent:
        raise InvalidInput(
            f"{path}: has no array {' and no array '.join(map(repr, absent))}; it holds {listed(list(names))}. "
            "Name the target array, and the features array if it is not X."
        )
    arrays = _read_arrays(path, only=(wanted_x, wanted_y))
    return arrays[wanted_x], arrays[wanted_y]


def _load_npy(path: Path, target: str | None, features: str | None) -> tuple[Any, Any]:
    if target is None:
        raise InvalidInput(f"{path}: an .npy file holds X alone. Give the .npy file of y as the target.")
    if Path(target).suffix.lower() != ".npy":
        raise InvalidInput(f"{path}: the target of an .npy file is another .npy file, got {target!r}.")
    return _read_array(path), _read_array(Path(target))


def _load_frame(path: Path, target: str | None, features: str | None) -> tuple[Any, Any]:
    frame = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    names = [str(c) for c in frame.columns]
    target = target or "y"
    if names.count(target) != 1:
        found = "no column" if target not in names else f"{names.count(target)} columns"
        raise InvalidInput(f"{path}: has {found} {target!r}; the columns are {listed(names)}. Name the target column.")
    if not len(frame):
        raise InvalidInput(f"{path}: has a header but no rows.")
    position = names.index(target)
    return frame.iloc[:, [j for j in range(len(names)) if j != position]], frame.iloc[:, position]


def _read_csv(path: Path) -> Any:
    import pandas as pd

    frame = _reading(path, lambda: pd.read_csv(path))
    first = frame.columns[0] if len(frame.columns) else ""
    if str(first).startswith("Unnamed: 0") and np.array_equal(frame.iloc[:, 0], np.arange(len(frame))):
        frame = frame.iloc[:, 1:]
    return frame


def _read_parquet(path: Path) -> Any:
    import pandas as pd

    try:
        return _reading(path, lambda: pd.read_parquet(path))
    except ImportError:
        raise InvalidInput(
            f"{path}: reading .parquet files needs pyarrow. Install signscope with its extra `data`."
        ) from None


def _read_array(path: Path) -> np.ndarray:
    def read() -> np.ndarray:
        with path.open("rb") as stream:
            array = np.load(stream, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("it holds several arrays; rename it to .npz")
            return array

    return _reading(path, read)


def _read_arrays(path: Path, only: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name; those outside ``only`` are not read and stand empty."""

    def read() -> dict[str, np.ndarray]:
        with path.open("rb") as stream:  # opened here, so that it is closed even if NumPy gives up
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it is a single array; rename it to .npy")
            return {n: file[n] if only is None or n in only else np.empty(0) for n in file.files}

    return _reading(path, read)


def _reading(path: Path, read: Callable[[], Any]) -> Any:
    """Run ``read``; whatever the reader objects to becomes one line that starts with the path."""
    if not path.exists():
        raise InvalidInput(f"{path}: there is no such file.")
    if path.is_dir():
        raise InvalidInput(f"{path}: is a folder, not a file.")
    try:
        if not path.stat().st_size:
            raise InvalidInput(f"{path}: is empty.")
        return read()
    except (ImportError, SignscopeError):
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in reason:
            reason = "not a NumPy file of numbers; Python objects are never unpickled"
        raise InvalidInput(f"{path}: cannot be read ({reason}).") from None
