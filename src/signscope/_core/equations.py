"""The registry of published equations: one home per equation, found without importing anything heavy."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Entry:
    """Where one equation lives."""

    key: str
    where: str
    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f'{self.file}:{self.line}  {self.name}  {self.key} "{self.where}"'


def equation(key: str, where: str) -> Callable[[T], T]:
    """Mark a function or class as the home of an equation.

    Args:
        key: Entry of ``references.bib``.
        where: Number or name of the equation in that source.

    Returns:
        A decorator that records the mark in ``__equations__`` and changes nothing else.
    """

    def mark(target: T) -> T:
        marks = (*getattr(target, "__equations__", ()), (key, where))
        target.__equations__ = marks  # pyright: ignore[reportAttributeAccessIssue]
        return target

    return mark


def registry(root: Path = PACKAGE) -> list[Entry]:
    """Every marked equation, read from the source text so that no room is imported."""
    entries: list[Entry] = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "@equation(" in text:
            entries += _entries(ast.parse(text), path.relative_to(root).as_posix(), prefix="")
    return entries


def reference_keys(bib: Path = PACKAGE / "references.bib") -> list[str]:
    """Keys of the bibliography, in its order."""
    lines = bib.read_text(encoding="utf-8").splitlines()
    return [line.split("{", 1)[1].rstrip(", ") for line in lines if line.startswith("@")]


def _entries(node: ast.AST, file: str, prefix: str) -> Iterator[Entry]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef):
            continue
        name = f"{prefix}{child.name}"
        for call in child.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "equation":
                key, where = (ast.literal_eval(arg) for arg in call.args)
                yield Entry(key, where, file, child.lineno, name)
        yield from _entries(child, file, f"{name}.")
