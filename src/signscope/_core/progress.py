"""A progress meter that refreshes by time, writes to a terminal's stderr and is silent elsewhere."""

import sys
import time
from typing import Protocol, TextIO, runtime_checkable


@runtime_checkable
class Meter(Protocol):
    """What long calls report to; supply your own to draw it elsewhere."""

    def update(self, done: float, message: str = "") -> None:
        """Report that the fraction ``done`` (0 to 1) is finished."""
        ...

    def close(self) -> None:
        """End the display."""
        ...


class SilentMeter:
    """A meter that shows nothing."""

    def update(self, done: float, message: str = "") -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TerminalMeter:
    """One line on stderr with percentage and remaining time, redrawn at most ten times a second."""

    def __init__(self, label: str, *, file: TextIO | None = None, interval: float = 0.1) -> None:
        self.label, self.interval = label, interval
        self.file = sys.stderr if file is None else file
        self.start = self.last = time.monotonic()
        self.drawn = 0

    def update(self, done: float, message: str = "") -> None:
        """Redraw the line if the last drawing is older than the interval."""
        now = time.monotonic()
        if now - self.last < self.interval:
            return
        self.last = now
        left = f", {(now - self.start) * (1 - done) / done:.0f} s left" if done > 0 else ""
        text = f"{self.label} {100 * done:3.0f}%{left} {message}".rstrip()
        self.file.write("\r" + text.ljust(self.drawn))
        self.file.flush()
        self.drawn = len(text)

    def close(self) -> None:
        """Erase the line."""
        if self.drawn:
            self.file.write("\r" + " " * self.drawn + "\r")
            self.file.flush()
            self.drawn = 0


def as_meter(progress: "bool | Meter", label: str) -> Meter:
    """The meter behind a ``progress=`` argument; ``True`` draws only where stderr is a terminal."""
    if isinstance(progress, bool):
        return TerminalMeter(label) if progress and sys.stderr.isatty() else SilentMeter()
    return progress
