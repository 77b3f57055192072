"""The folder of a sweep: what it is, its table, and one writer at a time."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from signscope._core.errors import InvalidInput
from signscope._version import __version__
from signscope.comparison.append_table import AppendTable
from signscope.comparison.one_writer import one_writer
from signscope.comparison.sweep_cell import KEY, TEXTS, VALUES
from signscope.comparison.sweep_grid import WHO, Grid

SCHEMA = 1
TABLE, DESCRIPTION = "sweep.csv", "sweep.json"


@contextlib.contextmanager
def opened(folder: str | os.PathLike[str] | None, grid: Grid, *, force: bool) -> Iterator[AppendTable]:
    """The table of ``grid`` in ``folder``, with the cells done so far; nobody else can write to it meanwhile.

    Args:
        folder: Made if needed; None keeps the table in memory.
        grid: The sweep.
        force: Begin anew, whatever is there.

    Raises:
        InvalidInput: The folder holds another sweep, another process is writing there, or it cannot be written.
    """
    if folder is None:
        yield _table(None)
        return
    with one_writer(folder, who=WHO) as path:
        try:
            _prepare(path, grid, force=force)
        except OSError as error:
            raise InvalidInput(f"{WHO}: cannot write to {path} ({error.strerror or error}).") from None
        yield _table(path / TABLE)


def _prepare(path: Path, grid: Grid, *, force: bool) -> None:
    """Leave in ``path`` the description of ``grid``, and no table but one of it."""
    table, description = path / TABLE, path / DESCRIPTION
    if force:
        table.unlink(missing_ok=True)
        description.unlink(missing_ok=True)
    if description.exists():
        difference = _difference(description, grid)
        if difference:
            raise InvalidInput(
                f"{WHO}: {path} holds another sweep ({difference}). Choose another folder (--out), or replace it with "
                "--force (force=True)."
            )
        return
    if table.exists():
        raise InvalidInput(f"{WHO}: {path} holds a {TABLE} of unknown origin. Choose another folder, or use --force.")
    content = {"schema": SCHEMA, "signscope": __version__, "command": WHO, "options": grid.options()}
    spare = description.with_suffix(".tmp")
    with spare.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(spare, description)


def _difference(description: Path, grid: Grid) -> str:
    """The first option in which the sweep that is there differs; empty if it is the same."""
    try:
        found = json.loads(description.read_text(encoding="utf-8"))["options"]
        keys = dict.fromkeys([*found, *grid.options()])
    except (ValueError, KeyError, TypeError):
        return f"{DESCRIPTION} cannot be read"
    for key in keys:
        there, wanted = found.get(key), grid.options().get(key)
        if there != wanted:
            return f"{key} is {_short(there)} there, {_short(wanted)} here"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _table(path: Path | None) -> AppendTable:
    return AppendTable(path, key=KEY, values=VALUES, parse=_parsed)


def _parsed(values: list[str]) -> dict[str, Any]:
    return {name: v if name in TEXTS else float(v) for name, v in zip(VALUES, values, strict=True)}
