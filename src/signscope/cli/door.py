"""From exceptions to one line on stderr with an exit code: 1 the run failed, 2 wrong usage or bad input."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from signscope._core.errors import InvalidInput, SignscopeError, SignscopeWarning, Unsupported

FAILED, WRONG = 1, 2
STOPPED = 130  # typer's code for Ctrl-C where no command has begun


def say(text: str) -> None:
    """A note on stderr."""
    typer.echo(text, err=True)


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def guarded(command: str, *, debug: bool) -> Iterator[None]:
    """Turn what a command raises or warns of into one line, and an exit code; ``debug`` lets tracebacks through."""
    try:
        with _notes(command):
            yield
    except (InvalidInput, Unsupported) as error:
        if debug:
            raise
        say(f"signscope {command}: error: {one_line(error)}")
        raise typer.Exit(WRONG) from None
    except KeyboardInterrupt:
        say(f"signscope {command}: stopped by the keyboard before there was a result.")
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        raise
    except (SignscopeError, Exception) as error:
        if debug or isinstance(error, typer.Exit):
            raise
        if _was_stopped(error):
            say(f"signscope {command}: stopped by the keyboard before there was a result.")
        else:
            say(f"signscope {command}: failed: {_told(error)} (--debug shows the traceback)")
        raise typer.Exit(FAILED) from None


@contextmanager
def _notes(command: str) -> Iterator[None]:
    """Warnings of our own in one line, without the place in the code; others as they are."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, SignscopeWarning):
                say(f"signscope {command}: note: {one_line(Warning(message))}")
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        warnings.simplefilter("default", SignscopeWarning)
        yield


def _was_stopped(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: packages that are stopped while they are imported raise another one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _told(error: Exception) -> str:
    """What failed; for the limits of the machine, what to do."""
    text = one_line(error)
    if isinstance(error, SignscopeError):
        return text
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return "not enough memory; use a smaller problem, smaller batches or fewer runs"
    if isinstance(error, OverflowError):
        return f"a number is out of range ({text}); use options and data nearer to 1"
    return f"{type(error).__name__}: {text}"


class Door(TyperGroup):
    """The command group, with usage errors in one line like all others."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run; errors of usage (unknown option, value of the wrong kind) exit with code 2."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except Exception as error:
            wanted = getattr(error, "format_message", None)  # click's own errors, whichever click it is
            if wanted is None:
                raise
            path = getattr(getattr(error, "ctx", None), "command_path", "signscope")
            text = " ".join(str(wanted()).split())
            if text:
                say(f"{path}: error: {text}{'' if text.endswith(('.', '?')) else '.'} See {path} --help.")
            sys.exit(WRONG)
        if code == STOPPED:
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
