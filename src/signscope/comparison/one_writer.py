"""One writer at a time in a folder of results."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from signscope._core.errors import InvalidInput


@contextlib.contextmanager
def one_writer(folder: str | os.PathLike[str], *, who: str) -> Iterator[Path]:
    """The folder, made if needed and held by this process; the system lets go of it when the process ends, however.

    What is made here and stays empty is removed. Where the system has no such locks, the user sees to it.

    Args:
        folder: Held as a whole, for every command alike.
        who: Name of the caller, for messages.

    Raises:
        InvalidInput: Another process holds it, or it cannot be made.
    """
    path = Path(folder)
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{who}: cannot write to {path} ({error.strerror or error}).") from None
    try:
        with _locked(path, who):
            yield path
    finally:
        for each in missing:
            with contextlib.suppress(OSError):  # it holds something
                each.rmdir()


@contextlib.contextmanager
def _locked(folder: Path, who: str) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(
                f"{who}: another process is writing to {folder}; wait for it or choose another folder."
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
