"""Reports as JSON and back: frozen dataclasses of numbers, texts and tuples; NaN and infinities as words."""

import dataclasses
import json
import math
import os
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from signscope._core.errors import InvalidInput
from signscope._version import __version__

T = TypeVar("T")
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dictionaries only; no NaN."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inside) for inside in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def save_json(who: str, path: str | os.PathLike[str], content: Any) -> None:
    """Write a report in one piece.

    Raises:
        InvalidInput: The place cannot be written.
    """
    text = json.dumps({"kind": who, "signscope": __version__, "content": plain(content)}, indent=1, allow_nan=False)
    place = Path(path)
    try:
        beside = place.with_name(f".{place.name}.part")
        beside.write_text(text + "\n", encoding="utf-8")
        os.replace(beside, place)
    except OSError as error:
        raise InvalidInput(f"{who}.save: cannot write {place} ({error.strerror or error}).") from None


def load_json(who: str, path: str | os.PathLike[str], kind: type[T]) -> T:
    """Read a report written by `save_json`.

    Raises:
        InvalidInput: The file is missing or is no such report.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["kind"] != who:
            raise ValueError(f"it holds a {content['kind']}")
        return rebuilt(kind, content["content"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{who}.load: {path} is not a saved {who} ({error}).") from None


def rebuilt(kind: Any, value: Any) -> Any:
    """``value`` from JSON as an object of type ``kind``."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, types.UnionType) or origin is typing.Union:
        return None if value is None else rebuilt(next(k for k in inside if k is not type(None)), value)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: rebuilt(hints[name], part) for name, part in value.items()})  # pyright: ignore
    if origin is tuple:
        return tuple(rebuilt(inside[0], part) for part in value)
    if isinstance(kind, type) and issubclass(kind, tuple):  # a named tuple of numbers
        return kind(*(rebuilt(float, part) for part in value))
    if kind is float:
        return _WORDS[value] if isinstance(value, str) else float(value)
    return value
