"""Real data that scikit-learn carries along, so that no download is needed."""

from typing import TYPE_CHECKING, Any

import numpy as np

from signscope._core import checks

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = ("digits", "diabetes", "breast_cancer")


def digits() -> "tuple[pd.DataFrame, np.ndarray]":
    """Handwritten digits, odd against even: 1797 x 64 pixels from 0 to 16; y is +1 for odd, -1 for even."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    return _frame(data), np.where(data.target % 2 == 1, 1.0, -1.0)


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


def bundled(name: str) -> "tuple[pd.DataFrame, np.ndarray]":
    """(X, y) of the data set with this name: digits, diabetes or breast_cancer (also with a hyphen).

    Raises:
        InvalidInput: Another name.
    """
    name = checks.one_of("bundled", "name", name.replace("-", "_"), BUNDLED)
    return {"digits": digits, "diabetes": diabetes, "breast_cancer": breast_cancer}[name]()


def _frame(data: Any) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(data.data, columns=[str(name) for name in data.feature_names])
