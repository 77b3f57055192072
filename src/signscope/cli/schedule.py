"""``signscope schedule``: the best learning rate as a function of time, next to the usual shapes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope._core.output import as_json, check_output, staged
from signscope.cli import groups as g
from signscope.cli.door import FAILED, say

if TYPE_CHECKING:
    from signscope.curves import Curve
    from signscope.limits.optimal import Design
    from signscope.problems import LeastSquares

FILES = ("schedules.png", "schedule.csv", "schedule.json")
_POINTS = 201
_RTOL = 1e-5

Shapes = Annotated[
    str,
    typer.Option(
        help="Out of constant, linear, cosine, wsd, greedy, optimal; separated by commas.", rich_help_panel="Run"
    ),
]
Out = Annotated[Path | None, typer.Option(help=f"Folder for {', '.join(FILES)}.", rich_help_panel="Output")]
Json = Annotated[bool, typer.Option("--json", help="Print schedule.json and nothing else.", rich_help_panel="Output")]
Config = Annotated[
    Path | None,
    typer.Option(help="schedule.json of an earlier run, repeated; explicit options win.", rich_help_panel="Output"),
]


SHAPES: g.Group = {"shapes": (Shapes, "constant,linear,cosine,wsd,greedy,optimal")}
OUTPUT: g.Group = {**g.OUTPUT, "out": (Out, None), "as_json": (Json, False), "config": (Config, None)}


@g.takes("schedule", g.OPTIMIZER, g.DATA, g.PROBLEM, g.HORIZON, g.STEP, SHAPES, OUTPUT)
def design_schedules(ctx: typer.Context) -> None:
    """Find the learning-rate schedule with the lowest predicted risk, and compare it with the usual shapes.

    Rows are taken as Gaussian with the problem's covariance, also those of a data set.
    """
    options = _resolved(ctx)
    if ctx.params["out"] is not None:
        check_output(ctx.params["out"], FILES, force=ctx.params["force"], who="--out")
    _run(options, out=ctx.params["out"], force=ctx.params["force"], wants_json=ctx.params["as_json"])


def _run(options: dict[str, Any], *, out: Path | None, force: bool, wants_json: bool) -> None:
    from signscope._core import checks
    from signscope._core.errors import InvalidInput, Unsupported
    from signscope._core.status import PREDICTED
    from signscope.cli.inputs import build_problem
    from signscope.limits import predict
    from signscope.limits.optimal_shapes import compare_schedules

    checks.one_of("schedule", "OPTIMIZER", options["optimizer"], PREDICTED)
    if not options["shapes"]:
        raise InvalidInput("--shapes: needs at least one shape.")
    problem, options = build_problem(options)
    common = {"horizon": options["horizon"], "batch_size": options["batch_size"], "betas": tuple(options["betas"])}
    try:
        designs = compare_schedules(problem, options["optimizer"], shapes=options["shapes"], **common)
    except Unsupported as error:  # asked for an optimizer that has no risk curve here: a run that failed
        say(f"signscope schedule: {error}")
        raise typer.Exit(FAILED) from None
    curves = {
        name: predict(problem, options["optimizer"], lr=found.schedule, method="gaussian", rtol=_RTOL, **common)
        for name, found in designs.items()
    }
    summary = _summary(problem, options, designs, curves)
    try:
        if out is not None:
            with staged(out, FILES, force=force, who="--out") as folder:
                _save(folder, summary, options, designs, curves)
    finally:  # also what could not be saved
        if wants_json:
            typer.echo(as_json(summary))
        else:
            _show(summary)
    if out is not None:
        say(f"wrote {out / FILES[0]}, {', '.join(FILES[1:])}")


def _resolved(ctx: typer.Context) -> dict[str, Any]:
    """Every option, checked for its kind."""
    from signscope.cli.settings import KINDS, merged, names

    typed, _ = merged(ctx, "schedule")
    kinds = {**KINDS, "shapes": names}
    return {name: kind(name, typed[name]) for name, kind in kinds.items() if name in typed}  # in a fixed order


def _summary(
    problem: "LeastSquares", options: dict[str, Any], designs: "Mapping[str, Design]", curves: "Mapping[str, Curve]"
) -> dict[str, Any]:
    """What schedule.json holds; ``schedules.NAME.schedule`` is what ``lr=`` of `predict` and `simulate` takes."""
    from signscope._version import __version__

    constant = curves["constant"].final if "constant" in curves else None
    end = float(options["horizon"])
    return {
        "schema": 1,
        "signscope": __version__,
        "command": "schedule",
        "options": options,
        "problem": problem.describe(),
        "schedules": {
            name: {
                "risk": curves[name].final,
                "against_constant": None if constant is None else curves[name].final / constant,
                "lr_start": found.schedule.initial,
                "lr_end": _rate_at(found, end),
                "step_size_start": found.schedule.initial / problem.dim,
                "iterations": found.iterations,
                "evaluations": found.evaluations,
                "message": found.message,
                "schedule": found.schedule.describe(),
            }
            for name, found in designs.items()
        },
        "files": list(FILES),
    }


def _rate_at(found: "Design", time: float) -> float:
    import torch

    return float(found.schedule(torch.tensor(time, dtype=torch.float64)))


def _show(summary: dict[str, Any]) -> None:
    from signscope.cli.report import aligned

    header = ["optimizer", "lr at start", "at end", "predicted", "of constant"]
    rows: list[list[str]] = []
    for name, row in summary["schedules"].items():
        ratio = row["against_constant"]
        share = "-" if ratio is None else f"{100 * ratio:.0f}%"
        rows.append([name, f"{row['lr_start']:.3g}", f"{row['lr_end']:.3g}", f"{row['risk']:.4g}", share])
    lines = aligned(header, rows)
    for line in [lines[0].replace("optimizer", "schedule ", 1), *lines[1:]]:
        typer.echo(line)
    options = summary["options"]
    typer.echo(f"\n{options['optimizer']} after {options['horizon']:g} steps/dim, batch size {options['batch_size']}.")
    for message in sorted({row["message"] for row in summary["schedules"].values()} - {""}):
        typer.echo(f"{message[:1].upper()}{message[1:]}.")


def _save(
    out: Path,
    summary: dict[str, Any],
    options: dict[str, Any],
    designs: "Mapping[str, Design]",
    curves: "Mapping[str, Curve]",
) -> None:
    import pandas as pd

    from signscope.plots.schedules import plot_schedules

    frames = [
        pd.DataFrame({"schedule": name, "time": c.time, "lr": designs[name].schedule(c.time), "risk": c.value})
        for name, c in curves.items()
    ]
    schedules = {name: found.schedule for name, found in designs.items()}
    title = f"{options['optimizer']}, horizon {options['horizon']:g} steps/dim"
    plot_schedules(schedules, curves, title=title).savefig(out / FILES[0], dpi=160)
    pd.concat(frames).to_csv(out / FILES[1], index=False)
    (out / FILES[2]).write_text(as_json(summary) + "\n", encoding="utf-8")
