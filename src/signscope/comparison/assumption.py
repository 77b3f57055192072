"""One condition of the theory, measured on a problem."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Assumption:
    """One condition under which the predictions are accurate.

    Attributes:
        name: A few words.
        value: What was measured; None where it is infinite or undefined.
        ok: Whether the condition holds.
        text: What the number means for the reader.
        threshold: Where the condition ends; None where it is no matter of one number.
        advice: What to do when it does not hold.
    """

    name: str
    value: float | None
    ok: bool
    text: str
    threshold: float | None = None
    advice: str = ""


def as_dicts(assumptions: Sequence[Assumption]) -> list[dict[str, Any]]:
    """Name, value, ok and text, for the JSON of a comparison."""
    return _chosen(assumptions, ("name", "value", "ok", "text"))


def as_records(assumptions: Sequence[Assumption]) -> list[dict[str, Any]]:
    """All there is, for JSON and tables."""
    return _chosen(assumptions, ("name", "value", "threshold", "ok", "text", "advice"))


def _chosen(assumptions: Sequence[Assumption], keys: Sequence[str]) -> list[dict[str, Any]]:
    return [{key: getattr(a, key) for key in keys} for a in assumptions]
