"""Results on disk: all files or none, and never over an earlier result unless asked."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signscope._core.errors import InvalidInput
from signscope.comparison.summary import FILES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DPI = 160


def check_output(folder: str | os.PathLike[str], *, force: bool, who: str) -> Path:
    """The folder, after finding out that a result may and can be written there; call it before a long run.

    Raises:
        InvalidInput: A result is already there and ``force`` is off, or the place cannot be written.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{who}: {path} is a file; results need a folder.")
    there = [name for name in FILES if (path / name).exists()]
    if there and not force:
        raise InvalidInput(
            f"{who}: {path} already holds a result ({', '.join(there)}). Use --force (force=True) to replace it."
        )
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, _create(path, who))
        try:
            os.rmdir(tempfile.mkdtemp(prefix=".signscope-", dir=path))
        except OSError as error:
            raise _unwritable(who, path, error) from None
    return path


def save_results(
    folder: str | os.PathLike[str], *, summary: dict[str, Any], curves: "pd.DataFrame", figure: "Figure", force: bool
) -> Path:
    """Write the three files of a result; they appear together at the end, ``summary.json`` last.

    Raises:
        InvalidInput: See `check_output`.
    """
    who = "save"
    path = check_output(folder, force=force, who=who)
    _create(path, who)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".signscope-", dir=path))
    except OSError as error:
        raise _unwritable(who, path, error) from None
    try:
        figure.savefig(staging / "risk.png", dpi=DPI)
        curves.to_csv(staging / "curves.csv", index=False)
        text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
        (staging / "summary.json").write_text(text + "\n", encoding="utf-8")
        for name in FILES:
            os.replace(staging / name, path / name)
    except OSError as error:
        raise _unwritable(who, path, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return path


def _create(path: Path, who: str) -> list[Path]:
    """Make the folder and its parents; those that were made, deepest first."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(who, path, error) from None
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _unwritable(who: str, path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"{who}: cannot write to {path} ({error.strerror or error}).")
