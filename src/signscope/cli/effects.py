"""``signscope effects``: SGD turned into signSGD one effect at a time."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from signscope._core.output import as_json
from signscope.cli import groups as g
from signscope.cli import options as o
from signscope.cli.door import FAILED, say

if TYPE_CHECKING:
    from signscope.comparison.four_effects import Effects
    from signscope.problems import LeastSquares


_STEP: g.Group = {"seed": (o.Seed, 0), "batch_size": (o.BatchSize, 1), "rtol": (o.Rtol, 1e-6)}


@g.takes("effects", g.DATA, g.PROBLEM, g.RATE, g.HORIZON, _STEP, g.OUTPUT)
def effects_of_signs(ctx: typer.Context) -> None:
    """Turn SGD into signSGD one effect at a time, and say what each is worth.

    --lr is signSGD's rate (by default its best one); rows are taken as Gaussian.
    """
    _run(ctx)


def _run(ctx: typer.Context) -> None:
    from signscope.cli.inputs import build_problem
    from signscope.cli.settings import resolve
    from signscope.comparison import check_output
    from signscope.comparison.four_effects import five_effects

    options = resolve(ctx, "effects")
    out: Path | None = ctx.params["out"]
    if out is not None:
        check_output(out, force=ctx.params["force"], who="--out")
    problem, options = build_problem(options)
    if options["lr"] is None:
        options["lr"] = _best(problem, options)
    kept = {name: options[name] for name in ("lr", "horizon", "batch_size", "rtol")}
    result = five_effects(problem, options=options, **kept)
    try:
        if out is not None:
            result.save(out, force=ctx.params["force"])
    finally:  # also what could not be saved
        if ctx.params["as_json"]:
            typer.echo(as_json(result.summary()))
        else:
            _show(result)
    if out is not None:
        say(f"wrote {out / 'risk.png'}, curves.csv, summary.json")
    elif sys.stderr.isatty():
        say("add --out FOLDER for the picture, the curves and summary.json")
    last = result.curves[-1]
    if last.failed:
        say(f"signscope: signSGD is {last.status}: {last.message}")
        raise typer.Exit(FAILED)


def _best(problem: "LeastSquares", options: dict[str, Any]) -> float:
    """SignSGD's best rate for the horizon."""
    from signscope.comparison import best_lr

    found = best_lr(problem, "signsgd", horizon=options["horizon"], batch_size=options["batch_size"])
    if math.isnan(found.lr):
        say(f"signscope: signsgd is {found.curve.status}: {found.curve.message}")
        raise typer.Exit(FAILED)
    return found.lr


def _show(result: "Effects") -> None:
    """The table, messages and the verdict."""
    from signscope.cli.report import aligned

    end = float(result.curves[-1].time[-1])
    header = ["effect".ljust(28), f"risk at t = {end:g}", "factor", "status"]
    rows = [
        [row["name"].ljust(28), _number(row["final"]), _number(row["factor"]), row["status"]]
        for row in result.table.to_dict("records")
    ]
    for line in aligned(header, rows):
        typer.echo(line)
    typer.echo(f"\nsignSGD's lr {result.curves[-1].lr:.4g}")
    for message in dict.fromkeys(m for m in result.table["message"] if m):
        typer.echo(message)
    typer.echo(f"\n{result.verdict}")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
