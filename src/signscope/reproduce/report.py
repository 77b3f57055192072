"""What a reproduction answers: a verdict with its numbers, and the files it wrote."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import signscope
from signscope._core.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Verdict = Literal["matched", "differs", "not attempted"]
DPI = 160


@dataclass(frozen=True)
class Report:
    """One figure or table of a paper, measured.

    Attributes:
        name: Key of the reproduction.
        verdict: "matched": every claim below holds; "differs": one does not; "not attempted".
        text: One sentence that says why.
        table: The numbers behind it, one row per claim, with columns claim, measured, expected, outcome.
        details: The measurements behind the claims, if they are another table.
        files: What was written, in order.
        settings: Sizes and seeds of the run.
        seconds: Time it took (of this call: what a resumed run had already computed does not count).
    """

    name: str
    verdict: Verdict
    text: str
    table: "pd.DataFrame"
    details: "pd.DataFrame | None" = None
    files: tuple[Path, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON; numbers that are not finite become null."""
        return {
            "schema": 1,
            "signscope": signscope.__version__,
            "command": "reproduce",
            "name": self.name,
            "verdict": self.verdict,
            "text": self.text,
            "settings": self.settings,
            "seconds": round(self.seconds, 1),
            "claims": _plain(self.table),
            "details": [] if self.details is None else _plain(self.details),
            "files": [path.name for path in self.files],
        }


def prepare(folder: str | Path | None, *, names: Sequence[str], force: bool, who: str) -> Path | None:
    """The folder for results, made if needed; None where nothing is to be written.

    Raises:
        InvalidInput: One of the files is there already and ``force`` is off, or the place cannot be written.
    """
    if folder is None:
        return None
    path = Path(folder)
    there = [name for name in names if (path / name).exists()]
    if there and not force:
        raise InvalidInput(
            f"{who}: {path} already holds a result ({', '.join(there)}). Use --force (force=True) to replace it."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{who}: cannot write to {path} ({error.strerror or error}).") from None
    return path


def write(folder: Path | None, content: "dict[str, pd.DataFrame | Figure | dict[str, Any]]") -> tuple[Path, ...]:
    """Write tables as CSV, figures as PNG and dictionaries as JSON; the paths, in order."""
    if folder is None:
        return ()
    paths: list[Path] = []
    for name, value in content.items():
        path = folder / name
        if isinstance(value, dict):
            path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
        elif name.endswith(".csv"):
            value.to_csv(path, index=False)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            value.savefig(path, dpi=DPI)  # pyright: ignore[reportAttributeAccessIssue]
        paths.append(path)
    return tuple(paths)


def _plain(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records", double_precision=10) or "[]")
