"""What a large matrix costs, said before it is paid: refused where memory is short, a warning where it takes long."""

import os
import threading
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from signscope._core.errors import SignscopeWarning, Unsupported

LONG = 60.0  # seconds from which on a computation is announced
_SLOWEST = 1e9  # operations per second of any machine
_TRIAL = 512  # a product of two matrices of this size tells the machine's speed
_FIRST_LOOK = 0.5  # seconds of a loop after which its whole length is judged
_LOOK = 0.2  # seconds between two looks at the keyboard
_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container


class LongComputation(SignscopeWarning):
    """What was asked for takes minutes or longer on this machine."""


def fits(who: str, numbers: float, advice: str) -> None:
    """Refuse what needs ``numbers`` float64 numbers at a time, where this machine cannot hold them.

    Raises:
        Unsupported: It cannot.
    """
    memory = memory_bytes()
    if memory is not None and 8 * numbers > memory:
        raise Unsupported(
            f"{who} needs about {8e-9 * numbers:.3g} GB of memory, and this machine has {1e-9 * memory:.3g} GB. "
            f"{advice}"
        )


def announce(who: str, seconds: float, advice: str) -> bool:
    """Warn of a computation that takes ``seconds``, if that is long; whether it is."""
    if not seconds > LONG:
        return False
    text = f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.0f} hours"
    warnings.warn(f"{who} will take about {text} on this machine. {advice}", LongComputation, stacklevel=3)
    return True


def computed(call: Callable[[], Any], *, who: str, operations: float, numbers: float, advice: str) -> Any:
    """The value of ``call``, one long matrix computation: refused or announced first, and open to Ctrl-C.

    Args:
        call: The computation, without arguments.
        who: What it is, for the message.
        operations: Its floating-point operations, at the pace of a matrix product.
        numbers: float64 numbers that it holds at a time, those of its inputs included.
        advice: What to do instead.
    """
    if operations < LONG * _SLOWEST:
        return call()
    fits(who, numbers, advice)
    return interruptible(call) if announce(who, operations / speed(), advice) else call()


def interruptible(call: Callable[[], Any]) -> Any:
    """The value of ``call``, waited for in a way that Ctrl-C ends: inside a matrix routine it would not be heard."""
    found: list[Any] = []

    def work() -> None:
        try:
            found.append((call(), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK)
    value, error = found[0]
    if error is not None:
        raise error
    return value


class Pace:
    """Tells, soon after the start of a loop of many equal steps, that it will take long.

    Args:
        who: What the loop is, for the message.
        steps: How many there are.
        advice: What to do instead.
    """

    def __init__(self, who: str, steps: int, advice: str) -> None:
        self.who, self.steps, self.advice = who, steps, advice
        self._look, self._start = 1, time.perf_counter()

    def after(self, done: int) -> None:
        """Called after every step: looks at the clock until half a second has passed, and says what is to come."""
        if done < self._look:
            return
        spent = time.perf_counter() - self._start
        self._look = 2 * done
        if spent > _FIRST_LOOK:
            self._look = self.steps + 1
            announce(f"{self.who} ({self.steps:,} steps)", spent * self.steps / done, self.advice)


def paced(call: Callable[[Any], Any], *, who: str, count: int, advice: str) -> Callable[[Any], Any]:
    """``call`` itself, whose first use is timed: ``count`` such uses that take long are announced."""
    untimed = True

    def timed(argument: Any) -> Any:
        nonlocal untimed
        if not untimed:
            return call(argument)
        untimed, start = False, time.perf_counter()
        found = call(argument)
        announce(who, count * (time.perf_counter() - start), advice)
        return found

    return timed


@cache
def speed() -> float:
    """Floating-point operations per second of a matrix product here."""
    left = torch.ones(_TRIAL, _TRIAL, dtype=torch.float64)
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(left, left)
        times.append(time.perf_counter() - start)
    return 2 * _TRIAL**3 / max(min(times), 1e-9)


def memory_bytes() -> float | None:
    """Memory of this machine, or of the container around this process; None where it cannot be told."""
    try:
        whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None
    try:
        return min(whole, float(_GROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or "max"
        return whole if whole > 0 else None
