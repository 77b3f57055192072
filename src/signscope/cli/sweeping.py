"""``signscope sweep``: a grid of predictions and simulations into one table."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope.cli import options as o
from signscope.cli.door import FAILED, guarded, say

if TYPE_CHECKING:
    import pandas as pd

_PROBLEM, _RUN, _OUTPUT = "Problem", "Run", "Output"
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


def sweep_grid(
    data: Data = None,
    target: o.Target = None,
    scale: o.Scale = "global",
    dim: Dims = None,
    spectrum: Spectra = None,
    rotated: o.Rotated = False,
    noise: Noises = None,
    optimizers: o.Optimizers = "sgd,signsgd,adam",
    lr: Rates = None,
    batch_size: BatchSizes = None,
    seed: Seeds = None,
    horizon: o.Horizon = 20.0,
    num_runs: NumRuns = 0,
    betas: o.Betas = "0.9,0.999",
    n_jobs: NumJobs = 1,
    scheduler: Scheduler = None,
    out: Out = Path("results/sweep"),
    force: Force = False,
    as_json: Json = False,
    debug: o.Debug = False,
) -> None:
    """Predict every combination of rates, noises, dimensions, spectra and batches; simulate each with --num-runs.

    Every cell is a row of sweep.csv, written as soon as it is done. The same command continues a sweep that was
    stopped or killed.
    """
    with guarded("sweep", debug=debug):
        from signscope.cli.settings import names, pair
        from signscope.comparison import run_sweep

        frame = run_sweep(
            data=data,
            target=target,
            scale=scale,
            dim=None if dim is None else whole_numbers("dim", dim),
            batch_size=whole_numbers("batch_size", batch_size or ["1"]),
            seed=whole_numbers("seed", seed or ["0"]),
            spectrum=spectrum or None,
            rotated=rotated,
            noise=noise or None,
            optimizers=names("optimizers", optimizers),
            lr=rate_lists(lr, names("optimizers", optimizers)),
            horizon=horizon,
            num_runs=num_runs,
            betas=_two(pair("betas", betas)),
            n_jobs=n_jobs,
            scheduler=scheduler,
            out=out,
            force=force,
            progress=True,
        )
        _show(frame, as_json=as_json)
        say(f"wrote {out / 'sweep.csv'}, sweep.json")
        _end(frame)


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


def rate_lists(texts: list[str] | None, optimizers: list[str]) -> dict[str, list[Any]] | None:
    """Rates by optimizer from ``0.1,0.2`` (for all) and ``sgd=0.1,0.2`` (for one, in place of those for all).

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
    return {name: own.get(name) or common or ["auto"] for name in optimizers} if texts else None


def _rates(text: str) -> list[Any]:
    from signscope._core.errors import InvalidInput

    try:
        if text.startswith("log:"):
            low, high, count = text.removeprefix("log:").split(",")
            return _spaced(float(low), float(high), int(count))
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [part if part == "auto" else float(part) for part in parts]
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InvalidInput(f"--lr: needs numbers, auto, or log:LOW,HIGH,COUNT; got {text!r}.") from None


def _spaced(low: float, high: float, count: int) -> list[float]:
    """Equally spaced in the logarithm, to six digits, so that they read well in a table."""
    if not (0 < low < high < math.inf and count >= 2):
        raise ValueError
    return [float(f"{low * (high / low) ** (i / (count - 1)):.6g}") for i in range(count)]


def _two(values: list[float]) -> tuple[float, float]:
    first, second = values
    return first, second


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
