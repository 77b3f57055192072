"""Finished runs in one CSV file: appended as they end, so that a killed experiment continues where it was."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from signscope._core.errors import InvalidInput
from signscope.reproduce.job import Job, Key, key_of

JOB = [field.name for field in fields(Job)]
MEASURES = ["point", "calls", "passes", "train_loss", "grad_l1", "test_accuracy", "steps", "status", "seconds"]
HEADER = [*JOB, *MEASURES]
_WHOLE, _TEXT = {"point", "calls", "steps"}, {"status"}
Rows = list[dict[str, Any]]


class Store:
    """All runs of a file, found by what determines them.

    A run is written in one go when it is finished. Lines of a run that was cut off (the process was killed while
    writing) are dropped when the file is opened, and that run is computed again.

    Args:
        path: The file, created with the first run; None keeps the runs in memory.

    Raises:
        InvalidInput: The file is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.runs: dict[Key, Rows] = {}
        if path is not None and path.exists():
            self._open(path)

    def __contains__(self, job: Job) -> bool:
        return key_of(job) in self.runs

    def rows(self, job: Job) -> Rows:
        """Measurements of a finished run."""
        return self.runs[key_of(job)]

    def add(self, job: Job, rows: Rows) -> None:
        """Keep a finished run, on disk before this returns."""
        self.runs[key_of(job)] = rows
        if self.path is None:
            return
        is_new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_text([key_of(job)], self.runs, header=is_new))
            file.flush()
            os.fsync(file.fileno())

    def _open(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        lines = list(csv.reader(io.StringIO(text)))
        if not lines or lines[0] != HEADER:
            raise InvalidInput(f"{path}: is not a results file of this version. Choose another folder, or use --force.")
        whole = lines[1:] if text.endswith("\n") else lines[1:-1]
        found: dict[Key, Rows] = {}
        for line in whole:
            if len(line) == len(HEADER):
                found.setdefault(tuple(line[: len(JOB)]), []).append(_parsed(line[len(JOB) :]))
        points = JOB.index("points")
        for key, rows in found.items():
            wanted = int(key[points]) + 1
            if [row["point"] for row in rows[-wanted:]] == list(range(wanted)):
                self.runs[key] = rows[-wanted:]
        if sum(map(len, self.runs.values())) != len(lines) - 1:
            spare = path.with_suffix(".tmp")
            spare.write_text(_text(self.runs, self.runs, header=True), encoding="utf-8", newline="")
            os.replace(spare, path)


def _text(keys: Iterable[Key], runs: dict[Key, Rows], *, header: bool) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if header:
        writer.writerow(HEADER)
    for key in keys:
        writer.writerows([*key, *(row[name] for name in MEASURES)] for row in runs[key])
    return buffer.getvalue()


def _parsed(values: list[str]) -> dict[str, Any]:
    named = zip(MEASURES, values, strict=True)
    return {n: v if n in _TEXT else int(v) if n in _WHOLE else float(v) for n, v in named}
