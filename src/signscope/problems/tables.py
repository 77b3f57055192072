"""What a caller hands over as data: numeric columns with names, and a target coded as numbers."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from signscope._core.errors import InvalidInput

WHO = "LeastSquares.from_data"
_SHOWN = 6  # names in one message


@dataclass(frozen=True, eq=False)
class Table:
    """A data set whose every entry is a finite number.

    Attributes:
        features: Shape (n, p), any numeric dtype; possibly the caller's own memory, so it is never written to.
        names: Column names, length p; ``x0, x1, ...`` where the caller gave none.
        target: Shape (n,), float64.
        coding: How two classes became -1 and +1; empty for a numeric target.
    """

    features: np.ndarray
    names: tuple[str, ...]
    target: np.ndarray
    coding: str


@dataclass(frozen=True, eq=False)
class Columns:
    """A matrix whose columns have names; NumPy sees the matrix.

    Attributes:
        values: Shape (n, p).
        names: Column names, length p.
    """

    values: np.ndarray
    names: tuple[str, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)


def as_table(X: Any, y: Any) -> Table:
    """Check and convert (X, y); see `LeastSquares.from_data` for what is accepted.

    Raises:
        InvalidInput: Text columns, missing or infinite values, wrong shapes or lengths.
    """
    if is_frame(X):
        features, names, y = _from_frame(X, y)
    elif isinstance(y, str):
        raise InvalidInput(f"{WHO}: `y` = {y!r} names a column, but X is {type(X).__name__}, not a pandas DataFrame.")
    else:
        features = _matrix(X)
        names = X.names if isinstance(X, Columns) else tuple(f"x{j}" for j in range(features.shape[1]))
    target, coding = code_target(y)
    if len(target) != len(features):
        raise InvalidInput(f"{WHO}: X has {len(features)} rows, but `y` has {len(target)} entries.")
    if not features.size:
        raise InvalidInput(f"{WHO}: X is empty, shape {features.shape}.")
    _refuse(features, target, names)
    return Table(features, names, target, coding)


def is_frame(value: Any) -> bool:
    """Whether ``value`` is a pandas DataFrame (pandas is not imported to find out)."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def code_target(y: Any) -> tuple[np.ndarray, str]:
    """``y`` as float64 numbers (NaN where missing), and how two classes were coded.

    Raises:
        InvalidInput: Not one column, one class, more than two classes, or values that are neither.
    """
    if str(getattr(y, "dtype", "")) == "category":
        return _code_column(y)  # also where the categories are numbers
    values = _host(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise InvalidInput(f"{WHO}: `y` must have shape (n,), got {values.shape}.")
    if values.dtype.kind in "iuf":
        return values.astype(np.float64), ""
    if values.dtype.kind == "c":
        raise InvalidInput(f"{WHO}: `y` must hold real numbers, got {values.dtype}.")
    return _code_column(y if hasattr(y, "dtype") and not isinstance(y, np.ndarray | Tensor) else values)


def _code_column(values: Any) -> tuple[np.ndarray, str]:
    import pandas as pd

    column = pd.Series(values).reset_index(drop=True)
    if bool(column.isna().all()):
        return np.full(len(column), np.nan), ""
    if column.dtype == object:
        column = column.convert_dtypes()  # numbers or booleans with None among them
    kind = "categorical" if isinstance(column.dtype, pd.CategoricalDtype) else pd.api.types.infer_dtype(column)
    if kind in ("boolean", "string", "bytes", "categorical"):
        return _two_classes(column)
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), ""
    raise InvalidInput(f"{WHO}: `y` must hold numbers or two classes, but its values are {kind}.")


def _two_classes(column: Any) -> tuple[np.ndarray, str]:
    classes = sorted(column.dropna().unique().tolist(), key=lambda c: (str(type(c)), c))
    shown = ", ".join(repr(c) for c in classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
    if len(classes) != 2:
        number = "a single class" if len(classes) == 1 else f"{len(classes)} classes"
        raise InvalidInput(
            f"{WHO}: `y` has {number} ({shown}), but least squares needs numbers or two classes. "
            "Keep two of them, set one against the rest, or convert text to numbers."
        )
    coded = column.map({classes[0]: -1.0, classes[1]: 1.0}).astype("float64")
    return coded.to_numpy(na_value=np.nan), f"{classes[0]!r} = -1, {classes[1]!r} = +1"


def _from_frame(frame: Any, y: Any) -> tuple[np.ndarray, tuple[str, ...], Any]:
    columns = list(frame.columns)
    if isinstance(y, str) or np.ndim(y) == 0:
        if columns.count(y) != 1:
            found = f"{columns.count(y)} columns are named" if y in columns else "there is no column"
            raise InvalidInput(f"{WHO}: {found} {y!r}; the columns are {listed([str(c) for c in columns])}.")
        position = columns.index(y)
        y = frame.iloc[:, position]
        columns.pop(position)
        kept = [j for j in range(len(columns) + 1) if j != position]
    else:
        kept = list(range(len(columns)))
    features = np.empty((len(frame), len(kept)), order="F")  # filled by column, so that one copy is enough
    text: list[str] = []
    for j, position in enumerate(kept):
        column = frame.iloc[:, position]
        numbers = _numeric_column(column)
        if numbers is None:
            text.append(f"{str(columns[j])!r} (such as {str(column.dropna().iloc[0])!r})")
        else:
            features[:, j] = numbers
    if text:
        raise InvalidInput(
            f"{WHO}: {len(text)} of {len(kept)} feature columns are not numeric: {listed(text)}. "
            "Encode them as numbers or leave them out."
        )
    return features, tuple(str(c) for c in columns), y


def _numeric_column(column: Any) -> np.ndarray | None:
    import pandas as pd

    if column.dtype == object and not any(isinstance(value, str) for value in column):
        column = column.convert_dtypes()
    if pd.api.types.is_complex_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return np.full(len(column), np.nan) if bool(column.isna().all()) else None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _matrix(X: Any) -> np.ndarray:
    values = _host(X)
    if values.ndim == 2 and values.dtype.kind == "O":
        with contextlib.suppress(TypeError, ValueError):  # told below
            values = values.astype(np.float64)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InvalidInput(
            f"{WHO}: X must be a matrix of real numbers with shape (n, d), got {type(X).__name__} of shape "
            f"{values.shape} and dtype {values.dtype}."
        )
    return values


def _host(values: Any) -> np.ndarray:
    """A NumPy view where possible; masked entries become NaN instead of silently counting as data."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return values.numpy() if values.dtype.is_complex or values.dtype.itemsize != 2 else values.float().numpy()
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    try:
        return np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise InvalidInput(f"{WHO}: X and y must be arrays ({error}).") from None


def _refuse(features: np.ndarray, target: np.ndarray, names: Sequence[str]) -> None:
    """Raise if anything is missing or infinite, with the count of every column."""
    checked = (("missing", "NaN or None", np.isnan), ("infinite", "inf", np.isinf))
    for word, example, test in checked:
        in_features = np.zeros(len(names), dtype=int) if features.dtype.kind in "biu" else test(features).sum(axis=0)
        counts = [*zip(names, in_features.tolist(), strict=True), ("y", int(test(target).sum()))]
        total = sum(count for _, count in counts)
        if total:
            found = listed([f"{name!r} {count}" for name, count in counts if count])
            raise InvalidInput(
                f"{WHO}: {counted(total, f'{word} value')} ({example}), by column: {found}. Drop or fill them first."
            )


def counted(number: int, noun: str) -> str:
    """The number and its noun, in the plural where that is right."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many follow."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
