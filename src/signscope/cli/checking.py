"""``signscope check``: does the theory apply to my problem?"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope._core.output import as_json, check_output, staged
from signscope.cli import groups as g
from signscope.cli import options as o
from signscope.cli.door import say
from signscope.cli.groups import Group

if TYPE_CHECKING:
    from signscope.comparison import Assumption, Examination

FILE = "check.json"
Out = Annotated[Path | None, typer.Option(help=f"Folder for {FILE}.", rich_help_panel="Output")]
Json = Annotated[bool, typer.Option("--json", help=f"Print {FILE} and nothing else.", rich_help_panel="Output")]
Config = Annotated[
    Path | None,
    typer.Option(help=f"{FILE} of an earlier run, repeated; explicit options win.", rich_help_panel="Output"),
]
Rates = Annotated[
    list[str] | None,
    typer.Option(
        "--lr",
        metavar="NAME=VALUE",
        help="Rate of one optimizer; sgd=VALUE is set against its stability limit. May be repeated.",
        rich_help_panel="Run",
    ),
]


_RATES: Group = {"optimizers": (o.Optimizers, "sgd,signsgd,adam"), "lr": (Rates, None)}
_OUTPUT: Group = {**g.OUTPUT, "out": (Out, None), "as_json": (Json, False), "config": (Config, None)}


@g.takes("check", g.DATA, g.PROBLEM, _RATES, g.STEP, _OUTPUT)
def check_problem(ctx: typer.Context) -> None:
    """Measure what the predictions assume of a problem, without running anything.

    Checks that do not hold are a result: the exit code is 0. Without any argument: scikit-learn's handwritten digits.
    """
    _run(ctx)


def _run(ctx: typer.Context) -> None:
    from dataclasses import replace

    from signscope.cli.inputs import build_problem
    from signscope.cli.settings import rates, resolve
    from signscope.comparison import check

    options = resolve(ctx, "check")
    options["lr"] = rates("lr", options["lr"])
    out: Path | None = ctx.params["out"]
    if out is not None:
        check_output(out, [FILE], force=ctx.params["force"], who="--out")
    found, options = build_problem(options)
    result = check(
        found,
        optimizers=options["optimizers"],
        lr=options["lr"],
        batch_size=options["batch_size"],
        betas=tuple(options["betas"]),
    )
    result = replace(result, options={**options, "lr": result.options["lr"]})
    text = as_json(result.summary())
    try:
        if out is not None:
            with staged(out, [FILE], force=ctx.params["force"], who="--out") as folder:
                (folder / FILE).write_text(text + "\n", encoding="utf-8")
    finally:  # also what could not be saved
        if ctx.params["as_json"]:
            typer.echo(text)
        else:
            show(result)
    if out is not None:
        say(f"wrote {out / FILE}")


def show(result: "Examination") -> None:
    """The table of numbers, then what they mean and what to do where a check fails, then the verdict."""
    from signscope.cli.report import aligned

    rows = [[a.name, _number(a.value), _number(a.threshold), "ok" if a.ok else "FAILS"] for a in result.assumptions]
    width = max(len("check"), *(len(row[0]) for row in rows))
    header = ["check".ljust(width), "value", "limit", "status"]
    for line in aligned(header, [[row[0].ljust(width), *row[1:]] for row in rows]):
        typer.echo(line)
    typer.echo("")
    for assumption in result.assumptions:
        typer.echo(_sentence(assumption))
    typer.echo(f"\n{result.text}")


def _sentence(assumption: "Assumption") -> str:
    mark = "+" if assumption.ok else "-"
    advice = "" if assumption.ok or not assumption.advice else f" -> {assumption.advice}"
    return f"{mark} {assumption.name}: {assumption.text}.{advice}"


def _number(value: Any) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3g}"
