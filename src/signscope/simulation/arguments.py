"""Arguments of `simulate` that need more than a range check."""

from typing import Any

import numpy as np
import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.problems import LeastSquares

WHO = "simulate"
NUM_TIMES = 201
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def recorded_times(times: Any, horizon: Any) -> np.ndarray:
    """Recorded times in steps/dim, float64: the given ones, or 201 equally spaced ones up to ``horizon``."""
    end = checks.positive(WHO, "horizon", horizon, unit="steps/dim")
    if times is None:
        return np.linspace(0, end, NUM_TIMES)
    try:
        values = torch.as_tensor(times, dtype=torch.float64).detach().cpu().numpy().copy()
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInput(f"{WHO}: `times` must be numbers, got {times!r}.") from None
    if values.ndim != 1 or not len(values) or not bool((np.diff(values) > 0).all()):
        raise InvalidInput(f"{WHO}: `times` must be a vector of increasing numbers, got shape {values.shape}.")
    if not (values[0] >= 0 and values[-1] <= end * (1 + 1e-9)):
        raise InvalidInput(
            f"{WHO}: `times` must lie between 0 and the horizon {end:g} steps/dim, but they go from "
            f"{values[0]:g} to {values[-1]:g}."
        )
    return values


def whole_steps(times: np.ndarray, dim: int) -> tuple[int, ...]:
    """Steps nearest to ``times`` (steps/dim): floor(t dim + 0.5)."""
    return tuple(int(step) for step in np.floor(times * dim + 0.5))


def as_dtype(value: Any) -> torch.dtype:
    """torch.float64 for None; torch.float32 or torch.float64 by name, as torch dtype or as NumPy dtype."""
    name = "float64" if value is None else str(value).removeprefix("torch.")
    if isinstance(value, type | np.dtype):  # np.float32, np.dtype("float32"), float
        name = np.dtype(value).name
    return _DTYPES[checks.one_of(WHO, "dtype", name, _DTYPES)]


def as_device(value: Any) -> torch.device:
    """The CPU for None; any device torch can put numbers on."""
    try:
        device = torch.device("cpu" if value is None else value)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"{WHO}: `device` {value!r} cannot be used: {reason}") from None
    return device


def check_rows(problem: LeastSquares, rows: str, *, num_steps: int, batch_size: int) -> None:
    """Raise `InvalidInput` if the problem cannot supply the rows that are asked for."""
    if rows == "gaussian":
        return
    if problem.rows is None:
        raise InvalidInput(
            f"{WHO}: `rows` is {rows!r}, but the problem has no data. Build it with LeastSquares.from_data, or "
            "use rows='gaussian'."
        )
    needed, there = num_steps * batch_size, problem.rows.num_rows
    if rows == "once" and needed > there:
        raise InvalidInput(
            f"{WHO}: one pass to this horizon needs {needed} rows ({num_steps} steps of {batch_size}), but the "
            f"data have {there}. Use a horizon of at most {there // batch_size / problem.dim:.6g} steps/dim, or "
            "rows='replace'."
        )
