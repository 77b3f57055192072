"""What a reproduction answers: a verdict with its numbers, and the files it wrote."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import signscope
from signscope._core import output

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
    with contextlib.suppress(OSError):  # the check says why; it leaves a folder that is there
        Path(folder).mkdir(parents=True, exist_ok=True)
    return output.check_output(folder, names, force=force, who=who)


def write(folder: Path | None, content: "dict[str, pd.DataFrame | Figure | dict[str, Any]]") -> tuple[Path, ...]:
    """Write tables as CSV, figures as PNG and dictionaries as JSON, all or none; the paths, in order.

    Raises:
        InvalidInput: The disk refuses.
    """
    if folder is None:
        return ()
    with output.staged(folder, list(content), force=True, who="reproduce") as staging:
        for name, value in content.items():
            path = staging / name
            if isinstance(value, dict):
                path.write_text(output.as_json(value) + "\n", encoding="utf-8")
            elif name.endswith(".csv"):
                value.to_csv(path, index=False)  # pyright: ignore[reportAttributeAccessIssue]
            else:
                value.savefig(path, dpi=DPI)  # pyright: ignore[reportAttributeAccessIssue]
    return tuple(folder / name for name in content)


def _plain(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records", double_precision=10) or "[]")
