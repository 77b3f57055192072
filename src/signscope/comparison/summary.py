"""The two text files of a result: ``summary.json`` and ``curves.csv``."""

import math
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from signscope._version import __version__
from signscope.comparison.conditions import as_dicts
from signscope.comparison.entries import Entry
from signscope.curves import Curve

if TYPE_CHECKING:
    import pandas as pd

    from signscope.comparison.result import Comparison

SCHEMA = 1
FILES = ("risk.png", "curves.csv", "summary.json")
COLUMNS = ("optimizer", "kind", "rows", "time", "value", "stderr", "low", "high")
_LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "pandas")
_NUMBERS = (
    "lr",
    "step_size",
    "final_predicted",
    "final_simulated",
    "final_stderr",
    "limit",
    "rate",
    "gap_mean",
    "gap_worst",
    "gap_max_z",
)


def summary_of(comparison: "Comparison") -> dict[str, Any]:
    """Everything that is known about a result except the curves, ready for JSON; what is not a number is null.

    Each optimizer stands once, with the data's own rows if the problem has any; the Gaussian rows of a data set
    are found in ``curves.csv``, and how well the Gaussian theory does there among the assumptions.
    """
    problem = comparison.problem.describe()
    verdict = comparison.verdict
    return {
        "schema": SCHEMA,
        "signscope": __version__,
        "command": comparison.command,
        "options": {"problem": "python", **comparison.options},
        "seeds": {"problem": comparison.problem.seed, "simulation": comparison.options.get("seed")},
        "versions": versions(),
        "problem": {k: problem[k] for k in ("dim", "num_rows", "dropped_columns", "condition_number", "noise")},
        "optimizers": {e.optimizer: optimizer_summary(e) for e in main_entries(comparison.entries)},
        "verdict": {"winner": verdict.winner, "factor": plain(verdict.factor), "text": verdict.text},
        "assumptions": as_dicts(comparison.assumptions),
        "files": list(FILES),
    }


def main_entries(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per optimizer: on the data's own rows where there are any."""
    chosen: dict[str, Entry] = {}
    for entry in entries:
        if entry.rows == "data" or entry.optimizer not in chosen:
            chosen[entry.optimizer] = entry
    return list(chosen.values())


def optimizer_summary(entry: Entry) -> dict[str, Any]:
    """The numbers of one optimizer, with status, message and method."""
    record = entry.record()
    return {**{k: plain(record[k]) for k in _NUMBERS}, **{k: record[k] for k in ("status", "message", "method")}}


def plain(value: float) -> float | None:
    """``value``, or None where JSON has no word for it."""
    return float(value) if math.isfinite(value) else None


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a vendored library without metadata
            found[name] = "unknown"
    return found


def curves_frame(comparison: "Comparison") -> "pd.DataFrame":
    """All curves, one row per time."""
    import pandas as pd

    parts: list[pd.DataFrame] = []
    for entry in comparison.entries:
        for kind, curve in (("prediction", entry.prediction), ("simulation", entry.simulation)):
            if curve is not None:
                parts.append(_labelled(entry, kind, curve))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))


def _labelled(entry: Entry, kind: str, curve: Curve) -> "pd.DataFrame":
    labels: Mapping[str, str] = {"optimizer": entry.optimizer, "kind": kind, "rows": entry.rows}
    return curve.to_frame().assign(**labels)
