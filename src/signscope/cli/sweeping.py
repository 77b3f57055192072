"""``signscope sweep``: a grid of predictions and simulations into one table."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope.cli import groups as g
from signscope.cli import options as o
from signscope.cli.door import FAILED, say

if TYPE_CHECKING:
    import pandas as pd

_PROBLEM, _RUN, _OUTPUT = "Problem", "Run", "Output"
FILES = ("sweep.csv", "sweep.json")
SHOWN = 40  # rows that are printed
KEYS = ("noise", "dim", "spectrum", "batch_size", "seed", "optimizer", "lr")
RESULTS = ("lr_used", "step_size", "final_predicted", "final_simulated", "final_stderr", "limit", "gap_mean", "status")

Data = Annotated[
    str | None,
    typer.Argument(
        help="A file or a bundled data set in place of Gaussian problems: digits, diabetes, breast_cancer.",
        show_default=False,
    ),
]
Dims = Annotated[
    list[str] | None, typer.Option("--dim", help="Coordinates, such as 100,200,500.", rich_help_panel=_PROBLEM)
]
Spectra = Annotated[
    list[str] | None,
    typer.Option("--spectrum", help="log:LOW,HIGH, power-law:EXPONENT, ...; repeat it.", rich_help_panel=_PROBLEM),
]
Noises = Annotated[
    list[str] | None,
    typer.Option("--noise", help="none, gaussian:STD, cauchy:LOC,SCALE, ...; repeat it.", rich_help_panel=_PROBLEM),
]
Rates = Annotated[
    list[str] | None,
    typer.Option(
        "--lr",
        metavar="[NAME=]VALUES",
        help="Rates such as 0.1,0.3,auto or log:0.01,1,9 (nine of them), of all optimizers or of NAME; repeat it. "
        "auto, the default, is the best rate.",
        rich_help_panel=_RUN,
    ),
]
BatchSizes = Annotated[
    list[str] | None, typer.Option("--batch-size", help="Rows per update, such as 1,8.", rich_help_panel=_RUN)
]
Seeds = Annotated[
    list[str] | None, typer.Option("--seed", help="Of problem and simulation, such as 0,1,2.", rich_help_panel=_RUN)
]
NumRuns = Annotated[
    int, typer.Option("--num-runs", "--runs", help="Runs per simulation; 0 predicts only.", rich_help_panel=_RUN)
]
NumJobs = Annotated[
    int, typer.Option("--n-jobs", help="Processes on this machine; -1: one per core.", rich_help_panel=_RUN)
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Compute on the Dask cluster of this scheduler, tcp://HOST:PORT.", rich_help_panel=_RUN),
]
Out = Annotated[Path, typer.Option(help="Folder of sweep.csv and sweep.json.", rich_help_panel=_OUTPUT)]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what is there instead of continuing.", rich_help_panel=_OUTPUT)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the cells as JSON and nothing else.", rich_help_panel=_OUTPUT)
]
Config = Annotated[
    Path | None,
    typer.Option(help="sweep.json of an earlier sweep, repeated; explicit options win.", rich_help_panel=_OUTPUT),
]


_GRID: g.Group = {
    "data": (Data, None),
    "target": (o.Target, None),
    "scale": (o.Scale, "global"),
    "dim": (Dims, None),
    "spectrum": (Spectra, None),
    "rotated": (o.Rotated, False),
    "noise": (Noises, None),
    "optimizers": (o.Optimizers, "sgd,signsgd,adam"),
    "lr": (Rates, None),
    "batch_size": (BatchSizes, None),
    "seed": (Seeds, None),
    "horizon": (o.Horizon, 20.0),
    "num_runs": (NumRuns, 0),
    "betas": (o.Betas, "0.9,0.999"),
}
_WHO: g.Group = {"n_jobs": (NumJobs, 1), "scheduler": (Scheduler, None)}
_FILES: g.Group = {
    "out": (Out, Path("results/sweep")),
    "force": (Force, False),
    "as_json": (Json, False),
    "config": (Config, None),
    "debug": (o.Debug, False),
}


@g.takes("sweep", _GRID, _WHO, _FILES)
def sweep_grid(ctx: typer.Context) -> None:
    """Predict every combination of rates, noises, dimensions, spectra and batches; simulate each with --num-runs.

    Every cell is a row of sweep.csv, written as soon as it is done. The same command continues a sweep that was
    stopped or killed.
    """
    _run(ctx)


def _run(ctx: typer.Context) -> None:
    from signscope.comparison import run_sweep

    out: Path = ctx.params["out"]
    frame = run_sweep(**resolved(ctx), out=out, force=ctx.params["force"], progress=True)
    _show(frame, as_json=ctx.params["as_json"])
    written = [name for name in FILES if (out / name).exists()]
    say(f"wrote {', '.join([str(out / written[0]), *written[1:]])}")
    _end(frame)


def resolved(ctx: typer.Context) -> dict[str, Any]:
    """Arguments of `run_sweep`: defaults, then those of an earlier sweep.json, then what was typed.

    Raises:
        InvalidInput: A value of the wrong kind, or a data file that is another one than at the earlier sweep.
    """
    from signscope._core.errors import InvalidInput
    from signscope.cli.settings import flag, merged, names, number, pair, text, whole
    from signscope.comparison.sweep_grid import digest_of

    given, saved = merged(ctx, "sweep", beside=("digest",))
    is_same = "digest" in saved and given["data"] == saved["data"]
    if is_same and digest_of(given["data"], given["target"]) != saved["digest"]:
        raise InvalidInput(f"{ctx.params['config']}: the content of {given['data']} has changed since that sweep.")
    kinds: dict[str, Callable[[str, Any], Any]] = {
        **dict.fromkeys(("data", "target", "scale", "scheduler"), text),
        **dict.fromkeys(("dim", "batch_size", "seed"), _counts),
        **dict.fromkeys(("spectrum", "noise"), lambda _, value: _given(value)),
        **dict.fromkeys(("num_runs", "n_jobs"), whole),
        "rotated": flag,
        "optimizers": names,
        "horizon": number,
        "betas": lambda name, value: tuple(pair(name, value)),
    }
    found = {name: kind(name, given[name]) for name, kind in kinds.items()}
    defaults = {"scale": "global", "batch_size": 1, "seed": 0}
    found |= {name: value for name, value in defaults.items() if found[name] is None}
    return {**found, "lr": _lr(_given(given["lr"]), _given(saved.get("lr")), found["optimizers"])}


def _given(value: Any) -> Any:
    """``value``, None for an axis that there is not."""
    return None if value in (None, [], (), [None]) else value


def _counts(name: str, value: Any) -> Any:
    """``["1,2", "3"]`` or ``"1,2"`` as whole numbers; what is none of these as it is, for `run_sweep` to check."""
    values = _given(value)
    texts = [values] if isinstance(values, str) else values
    are_texts = isinstance(texts, list | tuple) and all(isinstance(v, str) for v in texts)
    return whole_numbers(name, list(texts)) if are_texts else values


def _lr(given: Any, saved: Any, optimizers: list[str]) -> Any:
    """Rates: those typed, for the other optimizers those of an earlier sweep, else the best ones."""
    earlier = {name: rates for name, rates in saved.items() if name in optimizers} if isinstance(saved, dict) else {}
    if isinstance(given, list | tuple) and all(isinstance(v, str) for v in given):
        return rate_lists(list(given), optimizers, earlier)
    return earlier if isinstance(given, dict) else given


def whole_numbers(name: str, texts: list[str]) -> list[int]:
    """``["1,2", "3"]`` as [1, 2, 3].

    Raises:
        InvalidInput: Something else than whole numbers.
    """
    from signscope._core.errors import InvalidInput

    try:
        return [int(part) for text in texts for part in text.split(",") if part.strip()]
    except ValueError:
        flag = f"--{name.replace('_', '-')}"
        raise InvalidInput(f"{flag}: needs whole numbers separated by commas, got {','.join(texts)!r}.") from None


def rate_lists(
    texts: list[str] | None, optimizers: list[str], others: Mapping[str, list[Any]] | None = None
) -> dict[str, list[Any]] | None:
    """Rates by optimizer from ``0.1,0.2`` (for all) and ``sgd=0.1,0.2`` (for one, in place of those for all).

    Optimizers that the texts leave open have the rates of ``others``, else the best one.

    Raises:
        InvalidInput: A rate is no number, or an unknown optimizer is named.
    """
    from signscope._core.errors import InvalidInput

    common: list[Any] = []
    own: dict[str, list[Any]] = {}
    for text in texts or []:
        owner, equals, values = text.rpartition("=")
        found = _rates(values)
        if equals and owner.strip() not in optimizers:
            raise InvalidInput(f"--lr: names {owner.strip()!r}, but the optimizers are {', '.join(optimizers)}.")
        (own.setdefault(owner.strip(), []) if equals else common).extend(found)
    rest = others or {}
    return {name: own.get(name) or common or rest.get(name, ["auto"]) for name in optimizers} if texts else None


def _rates(text: str) -> list[Any]:
    from signscope._core.errors import InvalidInput

    try:
        if text.startswith("log:"):
            low, high, count = text.removeprefix("log:").split(",")
            return _spaced(float(low), float(high), int(count))
        found = [part if part == "auto" else float(part) for part in map(str.strip, text.split(",")) if part]
        if not found:
            raise ValueError
        return found
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InvalidInput(f"--lr: needs numbers, auto, or log:LOW,HIGH,COUNT; got {text!r}.") from None


def _spaced(low: float, high: float, count: int) -> list[float]:
    """Equally spaced in the logarithm, to six digits, so that they read well in a table."""
    if not (0 < low < high < math.inf and count >= 2):
        raise ValueError
    return [float(f"{low * (high / low) ** (i / (count - 1)):.6g}") for i in range(count)]


def _show(frame: "pd.DataFrame", *, as_json: bool) -> None:
    if as_json:
        cells = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
        typer.echo(json.dumps({"schema": 1, "command": "sweep", "cells": cells}, indent=2, allow_nan=False))
        return
    from signscope.cli.report import aligned

    values = {name: frame[name].tolist() for name in (*KEYS, *RESULTS)}
    varying = [name for name in KEYS if name == "optimizer" or len(set(values[name])) > 1]
    filled = [name for name in RESULTS if any(value == value for value in values[name])]
    columns = [*varying, *filled]
    rows = [[_cell(row[name]) for name in columns] for row in frame.head(SHOWN).to_dict("records")]
    for line in aligned(columns, rows):
        typer.echo(line)
    if len(frame) > SHOWN:
        typer.echo(f"... {len(frame) - SHOWN} more rows in sweep.csv")
    typer.echo(f"\n{sentence(frame)}")


def sentence(frame: "pd.DataFrame") -> str:
    """How the cells ended, the largest gap, and the lowest risk."""
    counts = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
    text = f"{len(frame)} cells: {counts}"
    gaps = [gap for gap in frame["gap_mean"].tolist() if math.isfinite(gap)]
    if gaps:
        text += f"; mean gaps up to {100 * max(gaps):.2g}%"
    return f"{text}."


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str | int):
        return str(value)
    return "-" if value != value else f"{value:.4g}"


def _end(frame: "pd.DataFrame") -> None:
    """Exit 1 where cells are missing, with what to do."""
    status, total = frame["status"].tolist(), len(frame)
    failed, missing = status.count("failed"), status.count("interrupted")
    if failed:
        first = frame["message"].tolist()[status.index("failed")]
        say(f"signscope sweep: {failed} of {total} cells failed ({first}); the same command tries them again.")
    if missing:
        done = total - missing - failed
        say(f"signscope sweep: stopped; {done} of {total} cells are kept, and the same command continues.")
    if failed or missing:
        raise typer.Exit(FAILED)
