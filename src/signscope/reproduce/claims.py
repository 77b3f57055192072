"""Claims of a figure: a measured number, the interval decided beforehand, and what came out."""

import math
from dataclasses import dataclass
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Claim:
    """One statement of a figure, with its number.

    Attributes:
        text: What is claimed.
        measured: What was found.
        expected: The theory's value; NaN where the claim is an interval only.
        low, high: Accepted interval, both ends included.
        is_shown: Whether the number is shown without being judged.
    """

    text: str
    measured: float
    expected: float = math.nan
    low: float = -math.inf
    high: float = math.inf
    is_shown: bool = False

    @property
    def outcome(self) -> str:
        """``shown``, ``holds`` or ``fails``; a number that is NaN fails."""
        if self.is_shown:
            return "shown"
        return "holds" if self.low <= self.measured <= self.high else "fails"

    def row(self) -> dict[str, Any]:
        """The claim as a row of the report's table."""
        numbers = {"measured": self.measured, "expected": self.expected, "low": self.low, "high": self.high}
        return {"claim": self.text, **{key: float(value) for key, value in numbers.items()}, "outcome": self.outcome}


def near(text: str, measured: float, expected: float, *, rtol: float = 0.0, atol: float = 0.0) -> Claim:
    """``measured`` lies within ``rtol * |expected| + atol`` of ``expected``."""
    room = rtol * abs(expected) + atol
    return Claim(text, measured, expected, expected - room, expected + room)


def at_most(text: str, measured: float, high: float) -> Claim:
    """``measured`` is at most ``high``."""
    return Claim(text, measured, high=high)


def at_least(text: str, measured: float, low: float) -> Claim:
    """``measured`` is at least ``low``."""
    return Claim(text, measured, low=low)


def shown(text: str, measured: float, expected: float = math.nan) -> Claim:
    """A number that is reported and not judged."""
    return Claim(text, measured, expected, is_shown=True)
