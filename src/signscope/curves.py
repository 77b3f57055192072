"""`Curve`: a quantity against time, with its uncertainty, its status and where it came from."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core.damage import DAMAGED
from signscope._core.errors import InvalidInput
from signscope._core.status import FAILED, Status

if TYPE_CHECKING:
    import pandas as pd

TimeUnit = Literal["steps/dim", "steps", "lr*steps"]
_TENSORS = ("time", "value", "stderr", "runs")


@dataclass(frozen=True, eq=False)
class Curve:
    """A predicted or simulated quantity against time.

    Attributes:
        time: Times, shape (num_times,), in ``time_unit``.
        value: The quantity at these times, shape (num_times,); for a simulation the mean over runs.
        quantity: What is measured; ``"excess_risk"`` is R = 1/2 v'Kv with v = theta - target.
        time_unit: ``"steps/dim"`` (one unit is dim updates), ``"steps"`` or ``"lr*steps"``.
        stderr: Standard error of ``value``, or None for a deterministic prediction.
        band: Pair (low, high) holding the central ``band_level`` of the runs, or None.
        band_level: Share of runs inside ``band``.
        runs: Every run, shape (num_runs, num_times), or None.
        num_runs: Number of runs behind ``value``; 0 for a prediction.
        status: ok, unstable, diverged, undefined, interrupted or inaccurate.
        message: Why the status is not ok, and what to do; empty when it is.
        optimizer: ``"sgd"``, ``"signsgd"``, ``"adam"`` or ``"signum"``.
        lr: The theory's rate (its value at time 0 when a schedule is used).
        step_size: ``lr / dim``: what one update multiplies, and what torch.optim calls lr.
        provenance: method, equation, options, seed, version.
    """

    time: Tensor
    value: Tensor
    quantity: str = "excess_risk"
    time_unit: TimeUnit = "steps/dim"
    stderr: Tensor | None = None
    band: tuple[Tensor, Tensor] | None = None
    band_level: float = 0.8
    runs: Tensor | None = None
    num_runs: int = 0
    status: Status = "ok"
    message: str = ""
    optimizer: str = ""
    lr: float = float("nan")
    step_size: float = float("nan")
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.time.ndim != 1 or self.time.shape != self.value.shape:
            raise InvalidInput(
                f"Curve: `time` and `value` must be vectors of equal length, got shapes "
                f"{tuple(self.time.shape)} and {tuple(self.value.shape)}."
            )

    @property
    def final(self) -> float:
        """The value at the last time; NaN where the curve is empty."""
        return float(self.value[-1].detach()) if len(self.value) else float("nan")

    @property
    def failed(self) -> bool:
        """Whether the status leaves no usable curve."""
        return self.status in FAILED

    def __repr__(self) -> str:
        """One line: what it is, where it ends, how it went."""
        kind = self.provenance.get("method", "curve")
        runs = f", {self.num_runs} runs" if self.num_runs else ""
        span = f", {len(self.time)} times to {float(self.time[-1]):g} {self.time_unit}" if len(self.time) else ""
        return (
            f"Curve({self.optimizer or '?'} {kind}, lr {self.lr:.4g}{runs}{span}: {self.quantity} ends at "
            f"{self.final:.4g}, {self.status})"
        )

    def at(self, times: "Tensor | float | list[float]") -> Tensor:
        """Values at ``times`` by linear interpolation between recorded times.

        Raises:
            InvalidInput: A time lies outside the recorded range, or nothing was recorded.
        """
        if not len(self.time):
            raise InvalidInput(f"Curve.at: the curve holds no times ({self.status}).")
        wanted = torch.as_tensor(times, dtype=torch.float64).detach()
        low, high = float(self.time[0]), float(self.time[-1])
        slack = 1e-9 * max(abs(high), 1.0)
        if not bool(((wanted >= low - slack) & (wanted <= high + slack)).all()):  # NaN fails too
            raise InvalidInput(f"Curve.at: times must lie in [{low:g}, {high:g}] {self.time_unit}, got {times}.")
        found = np.interp(wanted.numpy(), self.time.numpy(), self.value.detach().numpy())
        return torch.as_tensor(found, dtype=torch.float64)

    def to_frame(self) -> "pd.DataFrame":
        """A table with one row per recorded time: time, value, stderr, low, high."""
        import pandas as pd

        nothing = np.full(len(self.time), np.nan)
        low, high = (nothing, nothing) if self.band is None else (b.numpy() for b in self.band)
        return pd.DataFrame(
            {
                "time": self.time.numpy(),
                "value": self.value.detach().numpy(),
                "stderr": nothing if self.stderr is None else self.stderr.numpy(),
                "low": low,
                "high": high,
            }
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one ``.npz`` file (no pickle).

        `Curve.load` gives the numbers back bit for bit, and ``provenance`` as JSON has it (tuples become lists).
        """
        arrays = {n: getattr(self, n).detach().numpy() for n in _TENSORS if getattr(self, n) is not None}
        if self.band is not None:
            arrays["low"], arrays["high"] = (b.numpy() for b in self.band)
        scalars = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in (*_TENSORS, "band")}
        text = json.dumps({**scalars, "provenance": dict(self.provenance)}, default=str)
        with Path(path).open("wb") as file:  # an open file, so that numpy does not add a suffix of its own
            np.savez(file, meta=np.array(text), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Curve":
        """Read a curve written by `save`.

        Raises:
            InvalidInput: The file is missing or is not a saved curve.
        """
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {n: torch.as_tensor(file[n]) for n in file.files if n != "meta"}
                meta = json.loads(str(file["meta"]))
            band = (arrays.pop("low"), arrays.pop("high")) if "low" in arrays else None
            return cls(**arrays, band=band, **meta)
        except (*DAMAGED, TypeError, AttributeError) as error:
            raise InvalidInput(f"Curve.load: {path} is not a saved curve ({error}).") from None

    def with_status(self, status: Status, message: str) -> "Curve":
        """A copy with another status and message."""
        return replace(self, status=status, message=message)
