"""Finished work in one CSV file: appended as it ends, so that a killed run continues where it was."""

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from signscope._core.errors import InvalidInput

Key = tuple[str, ...]
Rows = list[dict[str, Any]]


class AppendTable:
    """Rows of a CSV file, one or several under each key; the columns of the key come first.

    What belongs to a key is written in one go and is on disk before `add` returns. Lines that were cut off (the
    process was killed while writing) are dropped when the file is opened, with all rows of their key. One process
    writes at a time.

    Args:
        path: The file, created with the first rows; None keeps the rows in memory.
        key: Names of the columns that make the key, as text.
        values: Names of the other columns.
        parse: From the text of the value columns to a row.
        whole: The rows of a key that count, [] if they are incomplete; all of them by default.

    Raises:
        InvalidInput: The file is something else, or cannot be read.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        key: Sequence[str],
        values: Sequence[str],
        parse: Callable[[list[str]], dict[str, Any]],
        whole: Callable[[Key, Rows], Rows] = lambda key, rows: rows,
    ) -> None:
        self.path, self.key, self.values = path, list(key), list(values)
        self.groups: dict[Key, Rows] = {}
        if path is not None and path.exists():
            self._open(path, parse, whole)

    def __contains__(self, key: Key) -> bool:
        return key in self.groups

    def __getitem__(self, key: Key) -> Rows:
        return self.groups[key]

    def add(self, key: Key, rows: Rows) -> None:
        """Keep what belongs to ``key``, on disk before this returns.

        Raises:
            InvalidInput: The file cannot be written.
        """
        self.groups[key] = rows
        if self.path is None:
            return
        try:
            is_new = not self.path.exists()
            with self.path.open("ab") as file:
                file.write(self._text([key], header=is_new).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InvalidInput(f"cannot write to {self.path} ({error.strerror or error}).") from None

    def _open(self, path: Path, parse: Callable[[list[str]], dict[str, Any]], whole: Callable[..., Rows]) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}).") from None
        text = content[: content.rfind(b"\n") + 1].decode(errors="replace")
        header = [*self.key, *self.values]
        lines = list(csv.reader(io.StringIO(text)))
        begun = self._text([], header=True).encode().startswith(content)  # killed while the header was written
        if lines[:1] != [header] and not begun:
            raise InvalidInput(f"{path}: is not a results file of this version. Choose another folder, or use --force.")
        found: dict[Key, Rows] = {}
        for line in lines[1:]:
            if len(line) == len(header):
                found.setdefault(tuple(line[: len(self.key)]), []).append(parse(line[len(self.key) :]))
        self.groups = {key: kept for key, rows in found.items() if (kept := whole(key, rows))}
        written = self._text(self.groups, header=True)
        if content != written.encode():
            spare = path.with_suffix(".tmp")
            spare.write_bytes(written.encode())
            os.replace(spare, path)

    def _text(self, keys: Iterable[Key], *, header: bool) -> str:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if header:
            writer.writerow([*self.key, *self.values])
        for key in keys:
            writer.writerows([*key, *(row[name] for name in self.values)] for row in self.groups[key])
        return buffer.getvalue()
