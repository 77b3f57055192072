"""Real data that scikit-learn carries along, so that no download is needed."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signscope._core import checks
from signscope.problems.tables import Columns

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = ("digits", "diabetes", "breast_cancer")


def digits() -> "tuple[pd.DataFrame, np.ndarray]":
    """Handwritten digits, odd against even: 1797 x 64 pixels from 0 to 16; y is +1 for odd, -1 for even."""
    import pandas as pd

    columns, y = digits_columns()
    return pd.DataFrame(columns.values, columns=list(columns.names)), y


def digits_columns() -> tuple[Columns, np.ndarray]:
    """The same as `digits` without pandas."""
    table = _digits_table()
    names = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    return Columns(table[:, :-1], names), np.where(table[:, -1] % 2 == 1, 1.0, -1.0)


def _digits_table() -> np.ndarray:
    """Pixels and the digit itself, shape (1797, 65), float64.

    Read from scikit-learn's file: importing scikit-learn takes as long as everything else before the first number.
    """
    home = find_spec("sklearn")
    for folder in (home and home.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # where its files lie elsewhere

    data: Any = load_digits()
    return np.column_stack([data.data, data.target])


def breast_cancer() -> "tuple[pd.DataFrame, np.ndarray]":
    """Measurements of cell nuclei: 569 x 30; y is +1 for benign, -1 for malignant."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer()
    return _frame(data), np.where(data.target == 1, 1.0, -1.0)


def diabetes() -> "tuple[pd.DataFrame, np.ndarray]":
    """Diabetes patients: 442 x 10; y measures the progression of the disease after one year, 25 to 346."""
    from sklearn.datasets import load_diabetes

    data: Any = load_diabetes()
    return _frame(data), np.asarray(data.target, dtype=np.float64)


def bundled(name: str) -> "tuple[pd.DataFrame | Columns, np.ndarray]":
    """(X, y), as `LeastSquares.from_data` takes them, of digits, diabetes or breast_cancer (also with a hyphen).

    Raises:
        InvalidInput: Another name.
    """
    name = checks.one_of("bundled", "name", name.replace("-", "_"), BUNDLED)
    return {"digits": digits_columns, "diabetes": diabetes, "breast_cancer": breast_cancer}[name]()


def _frame(data: Any) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(data.data, columns=[str(name) for name in data.feature_names])
