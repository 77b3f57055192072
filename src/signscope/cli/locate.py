"""``signscope where KEY``: file, line, name and test of every equation of a source."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import typer

from signscope._core.equations import PACKAGE, Entry, reference_keys, registry
from signscope._core.errors import InvalidInput
from signscope.cli.door import say

TESTS = PACKAGE.parent.parent / "tests"  # of a source tree; absent from an installed wheel


def run_where(key: str | None, *, as_json: bool = False) -> None:
    """Print the homes of the equations of ``key``.

    Raises:
        InvalidInput: The key is not in the bibliography.
    """
    known = reference_keys()
    if key not in known:
        said = "no key was given" if key is None else f"unknown key {key!r}"
        raise InvalidInput(f"{said}; the keys are {', '.join(known)}.")
    entries = [e for e in registry() if e.key == key]
    rows = [(e, find_test(e)) for e in entries]
    if as_json:
        typer.echo(json.dumps([{**asdict(e), "test": test} for e, test in rows], indent=2, ensure_ascii=False))
        return
    for line in _aligned(rows):
        typer.echo(line)
    if not rows:
        say(f"no equation of {key} has a home in this version.")


def find_test(entry: Entry, tests: Path = TESTS) -> str:
    """The test file of an equation, relative to the source tree; empty where none is found."""
    source = Path(entry.file)
    named = tests / source.parent / f"test_{source.stem}.py"
    candidates = [named, *sorted((tests / source.parent).glob("test_*.py"))]
    owner = re.compile(rf"\b({re.escape(entry.name.split('.')[0])}|{re.escape(source.stem)})\b")
    for path in candidates:
        if path.is_file() and (path == named or owner.search(path.read_text(encoding="utf-8"))):
            return path.relative_to(tests.parent).as_posix()
    return ""


def _aligned(rows: Iterable[tuple[Entry, str]]) -> list[str]:
    cells = [(f"{e.file}:{e.line}", e.name, f'"{e.where}"', test) for e, test in rows]
    widths = [max((len(c[i]) for c in cells), default=0) for i in range(3)]
    return ["  ".join([*(c[i].ljust(widths[i]) for i in range(3)), c[3]]).rstrip() for c in cells]
