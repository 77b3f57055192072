"""Results on disk: all files or none, and never over an earlier result unless asked."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from signscope._core.errors import InvalidInput


def check_output(folder: str | os.PathLike[str], names: Sequence[str], *, force: bool, who: str) -> Path:
    """The folder, after finding out that ``names`` may and can be written there; call it before a long run.

    Raises:
        InvalidInput: One of them is already there and ``force`` is off, or the place cannot be written.
    """
    path = Path(folder)
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not nearest.is_dir():
        raise InvalidInput(f"{who}: {nearest} is a file; results need a folder.")
    there = [name for name in names if (path / name).exists()]
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


@contextlib.contextmanager
def staged(folder: str | os.PathLike[str], names: Sequence[str], *, force: bool, who: str) -> Iterator[Path]:
    """A folder to write ``names`` into; on leaving they move to ``folder`` together, in this order.

    Raises:
        InvalidInput: See `check_output`, or the disk refuses.
    """
    path = check_output(folder, names, force=force, who=who)
    _create(path, who)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".signscope-", dir=path))
    except OSError as error:
        raise _unwritable(who, path, error) from None
    try:
        yield staging
        for name in names:
            os.replace(staging / name, path / name)
    except OSError as error:
        raise _unwritable(who, path, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def as_json(content: Any) -> str:
    """JSON as it is printed and written: two spaces, no NaN, letters as they are."""
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)


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
