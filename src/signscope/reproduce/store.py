"""Finished training runs in one CSV file, so that a killed experiment continues where it was."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from signscope.comparison.append_table import AppendTable, Rows
from signscope.reproduce.job import Job, Key, key_of

JOB = [field.name for field in fields(Job)]
SPENT: dict[str, type] = {"point": int, "calls": int, "passes": float}
ENDED: dict[str, type] = {"steps": int, "status": str, "seconds": float}
MEASURED = ("train_loss", "grad_l1", "test_accuracy")
_POINTS = JOB.index("points")


class Store:
    """All runs of a file, found by what determines them; see `AppendTable`.

    A run whose measurements are not all there is computed again.

    Args:
        path: The file, created with the first run; None keeps the runs in memory.
        measured: Columns of the measurements with their types.

    Raises:
        InvalidInput: The file is something else.
    """

    def __init__(self, path: Path | None, measured: Mapping[str, type] | None = None) -> None:
        self.path = path
        own: Mapping[str, type] = dict.fromkeys(MEASURED, float) if measured is None else measured
        kinds = {**SPENT, **own, **ENDED}

        def parsed(values: list[str]) -> dict[str, Any]:
            return {name: kind(value) for (name, kind), value in zip(kinds.items(), values, strict=True)}

        self._table = AppendTable(path, key=JOB, values=list(kinds), parse=parsed, whole=_whole)

    def __contains__(self, job: Job) -> bool:
        return key_of(job) in self._table

    def rows(self, job: Job) -> Rows:
        """Measurements of a finished run."""
        return self._table[key_of(job)]

    def add(self, job: Job, rows: Rows) -> None:
        """Keep a finished run, on disk before this returns."""
        self._table.add(key_of(job), rows)


def _whole(key: Key, rows: Rows) -> Rows:
    """The measurements 0 to ``points`` of the run, [] if one is missing."""
    wanted = int(key[_POINTS]) + 1
    return rows[-wanted:] if [row["point"] for row in rows[-wanted:]] == list(range(wanted)) else []
