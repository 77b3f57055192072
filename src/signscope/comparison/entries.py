"""One line of a comparison: an optimizer on one kind of rows, predicted and simulated."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signscope._core.errors import InvalidInput
from signscope._core.status import Status
from signscope.comparison.agreement import Gap
from signscope.curves import Curve

if TYPE_CHECKING:
    import pandas as pd

ROWS = ("gaussian", "data")


@dataclass(frozen=True, eq=False)
class Entry:
    """An optimizer on one kind of rows.

    Attributes:
        optimizer: sgd, signsgd, adam or signum.
        rows: ``"gaussian"`` (rows of the problem's covariance) or ``"data"`` (the data set's own rows).
        lr: The theory's rate; NaN where there is none.
        step_size: ``lr / dim``.
        at_bound: Whether the search for the rate ended at a bound.
        prediction: Predicted curve, or None where only a simulation was asked for.
        simulation: Simulated curve, or None where none was run.
        limit: Predicted risk after a long time at this rate; inf or NaN where there is none.
        rate: Asymptotic rate of convergence per steps/dim, for Gaussian rows.
        gap: Prediction against simulation.
        gaussian_gap: The Gaussian theory against the same simulation; equal to ``gap`` on Gaussian rows.
        status: The prediction's status if it failed, else the simulation's if it is not ok, else the prediction's.
        message: Everything there is to say about the status.
    """

    optimizer: str
    rows: str
    lr: float
    step_size: float
    at_bound: bool
    prediction: Curve | None
    simulation: Curve | None
    limit: float
    rate: float
    gap: Gap
    gaussian_gap: Gap
    status: Status
    message: str

    @property
    def method(self) -> str:
        """How the prediction was made: gaussian, rows or exact; ``"none"`` without one."""
        return "none" if self.prediction is None else str(self.prediction.provenance.get("method", "none"))

    @property
    def final_predicted(self) -> float:
        """Predicted risk at the horizon."""
        return math.nan if self.prediction is None else self.prediction.final

    @property
    def final_simulated(self) -> float:
        """Simulated risk at the horizon; NaN where it was not reached."""
        return math.nan if self.simulation is None or self.status == "interrupted" else self.simulation.final

    @property
    def final_stderr(self) -> float:
        """Its standard error."""
        if self.simulation is None or self.simulation.stderr is None or not len(self.simulation.stderr):
            return math.nan
        return float(self.simulation.stderr[-1])

    def record(self) -> dict[str, Any]:
        """The row of the table."""
        return {
            "optimizer": self.optimizer,
            "rows": self.rows,
            "lr": self.lr,
            "step_size": self.step_size,
            "final_predicted": self.final_predicted,
            "final_simulated": self.final_simulated,
            "final_stderr": self.final_stderr,
            "limit": self.limit,
            "rate": self.rate,
            "gap_mean": self.gap.mean,
            "gap_worst": self.gap.worst,
            "gap_max_z": self.gap.max_z,
            "gap_gaussian_theory": self.gaussian_gap.mean,
            "status": self.status,
            "method": self.method,
            "message": self.message,
        }


def join_status(prediction: Curve | None, simulation: Curve | None) -> tuple[Status, str]:
    """Status and message of a prediction with its simulation."""
    said = [c.message for c in (prediction, simulation) if c is not None and c.message]
    message = " ".join(dict.fromkeys(said))
    if prediction is not None and (prediction.failed or simulation is None or simulation.status == "ok"):
        return prediction.status, message
    assert simulation is not None
    return simulation.status, message


def table_of(entries: Sequence[Entry]) -> "pd.DataFrame":
    """The table of a comparison, one row per entry."""
    import pandas as pd

    return pd.DataFrame([entry.record() for entry in entries])


class CurveSet(Sequence[Curve]):
    """Curves in order, also found by name: ``curves[0]``, ``curves["sgd"]``, ``curves["sgd", "gaussian"]``.

    A name alone means the data set's own rows where there are any.
    """

    def __init__(self, named: dict[tuple[str, str], Curve]) -> None:
        self._named = dict(named)

    def __getitem__(self, key: Any) -> Any:
        """The curve (or, for a slice, the list of curves) at a position or under a name."""
        if isinstance(key, int | slice):
            return list(self._named.values())[key]
        wanted = [key] if isinstance(key, tuple) else [(key, "data"), (key, "gaussian")]
        for name in wanted:
            if name in self._named:
                return self._named[name]
        raise InvalidInput(f"CurveSet: there is no curve {key!r}; there are {self.keys()}.")

    def __len__(self) -> int:
        return len(self._named)

    def __iter__(self) -> Iterator[Curve]:
        return iter(self._named.values())

    def keys(self) -> list[tuple[str, str]]:
        """(optimizer, rows) of every curve."""
        return list(self._named)

    def items(self) -> list[tuple[tuple[str, str], Curve]]:
        """((optimizer, rows), curve) of every curve."""
        return list(self._named.items())

    def __repr__(self) -> str:
        return f"CurveSet({', '.join('/'.join(k) for k in self._named)})"
