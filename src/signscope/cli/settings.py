"""Resolved options: defaults, then a config file, then what was typed; every value checked for its kind."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from signscope._core.errors import InvalidInput

CONTROL = ("out", "force", "as_json", "config", "debug")  # how to run, not what
AUTO = "auto"


def resolve(ctx: typer.Context, command: str) -> dict[str, Any]:
    """The options of a command, checked for kind and ready for JSON.

    Raises:
        InvalidInput: A config file that cannot be used, an unknown key in it, or a value of the wrong kind.
    """
    typed, saved = merged(ctx, command)
    checked = {name: kind(name, typed[name]) for name, kind in KINDS.items() if name in typed}  # in a fixed order
    if isinstance(checked.get("lr"), dict) and "lr" in saved and _explicit(ctx, "lr"):
        checked["lr"] = {**rates("lr", saved["lr"]), **checked["lr"]}  # one rate typed, the others as saved
    if isinstance(checked.get("lr"), dict) and "lr" in saved and _explicit(ctx, "optimizers"):
        left_out = set(rates("lr", saved["lr"])) - set(checked["optimizers"])
        checked["lr"] = {name: value for name, value in checked["lr"].items() if name not in left_out}
    if "optimizer" in typed:  # one optimizer, one rate
        checked["lr"] = rate("lr", checked["lr"], checked.get("optimizer"))
    return checked


def merged(ctx: typer.Context, command: str, *, beside: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options as given: defaults, then the config file, then what was typed; and the config file's alone.

    ``beside`` names what the file may hold besides options.

    Raises:
        InvalidInput: A config file that cannot be used, or an unknown key in it.
    """
    typed = {name: value for name, value in ctx.params.items() if name not in CONTROL}
    config = ctx.params.get("config")
    saved = {} if config is None else read_config(Path(config), command)
    unknown = [key for key in saved if key not in typed and key not in beside]
    if unknown:
        raise InvalidInput(f"{config}: unknown option {unknown[0]!r}; `{command}` knows {', '.join(typed)}.")
    kept = {name: value for name, value in saved.items() if name in typed and not _explicit(ctx, name)}
    return {**typed, **kept}, saved


def read_config(path: Path, command: str) -> dict[str, Any]:
    """Options of a ``summary.json``, or of a JSON file that holds options alone.

    Raises:
        InvalidInput: The file is missing, is not JSON, belongs to another command, or describes a problem that
            was built in a program.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}).") from None
    except ValueError as error:
        raise InvalidInput(f"{path}: is not a JSON file ({error}).") from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{path}: needs a JSON object with options, got {type(content).__name__}.")
    options = content.get("options", content)
    if not isinstance(options, dict):
        raise InvalidInput(f"{path}: `options` must be a JSON object, got {type(options).__name__}.")
    made_by = content.get("command", command) if "options" in content else command
    if made_by != command:
        raise InvalidInput(f"{path}: was made by `signscope {made_by}`, not by `signscope {command}`.")
    if options.get("problem") == "python":
        raise InvalidInput(f"{path}: the problem was built in a Python program; repeat the run there.")
    return dict(options)


def text(name: str, value: Any) -> str | None:
    """A string or nothing."""
    if value is None or isinstance(value, str):
        return value
    raise InvalidInput(f"`{name}` must be text, got {value!r}.")


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise InvalidInput(f"`{name}` must be true or false, got {value!r}.")


def whole(name: str, value: Any) -> int | None:
    """A whole number or nothing."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InvalidInput(f"`{name}` must be a whole number, got {value!r}.")


def number(name: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise InvalidInput(f"`{name}` must be a finite number, got {value!r}.")


def names(name: str, value: Any) -> list[str]:
    """``"a,b"`` or a list of strings."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return value
    raise InvalidInput(f"`{name}` must be names separated by commas, got {value!r}.")


def pair(name: str, value: Any) -> list[float]:
    """``"0.9,0.999"`` or a list of two numbers."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        first, second = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise InvalidInput(f"`{name}` must be two numbers separated by a comma, got {value!r}.") from None
    return [first, second]


def rate(name: str, value: Any, optimizer: str | None = None) -> float | None:
    """A rate, ``NAME=VALUE`` with the one optimizer there is, or None for the best one."""
    if isinstance(value, str):
        owner, equals, rest = value.rpartition("=")
        if equals and owner.strip() != optimizer:
            raise InvalidInput(f"`{name}` names {owner.strip()!r}, but the optimizer is {optimizer!r}.")
        value = rest.strip()
    if value is None or value == AUTO:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"`{name}` must be a number or {AUTO}, got {value!r}.") from None
    if not (found > 0 and math.isfinite(found)):
        raise InvalidInput(f"`{name}` must be a finite number above 0, got {value}.")
    return found


def rates(name: str, value: Any) -> dict[str, float | None]:
    """``["sgd=0.5", ...]`` or ``{"sgd": 0.5}``; None stands for the best rate."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): rate(f"{name} of {key}", v) for key, v in value.items()}
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise InvalidInput(f"`{name}` must be NAME=VALUE, got {value!r}.")
    found: dict[str, float | None] = {}
    for item in value:
        owner, equals, rest = item.partition("=")
        if not equals or not owner.strip():
            raise InvalidInput(f"`{name}` must be NAME=VALUE, such as signsgd=0.5; got {item!r}.")
        if owner.strip() in found:
            raise InvalidInput(f"`{name}` gives a rate of {owner.strip()} twice; leave one out.")
        found[owner.strip()] = rate(f"{name} of {owner.strip()}", rest)
    return found


KINDS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(
        ("optimizer", "data", "target", "features", "scale", "problem", "spectrum", "cov", "noise", "start"), text
    ),
    **dict.fromkeys(("dtype", "device", "rows", "method", "quantity", "random_features"), text),
    **dict.fromkeys(("center", "rotated", "finite_dim"), flag),
    **dict.fromkeys(("dim", "num_runs", "seed", "batch_size"), whole),
    **dict.fromkeys(("horizon", "ridge", "rtol"), number),
    "optimizers": names,
    "betas": pair,
    "lr": lambda name, value: rates(name, value) if isinstance(value, list | tuple | dict) else value,
}


def _explicit(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")
