"""What compare, predict and simulate do: options to a problem, the public call, results out."""

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from signscope._core import checks
from signscope._core.status import PREDICTED
from signscope.cli.door import FAILED, say
from signscope.cli.inputs import build_problem
from signscope.cli.report import show
from signscope.cli.settings import resolve
from signscope.comparison import Comparison, best_lr, check_output, compare
from signscope.comparison.halves import half
from signscope.comparison.one_writer import one_writer
from signscope.limits import predict
from signscope.problems import LeastSquares
from signscope.simulation import simulate


def run_compare(ctx: typer.Context) -> None:
    """``signscope compare``."""
    known = ("horizon", "num_runs", "seed", "batch_size", "dtype", "device")
    with _prepared(ctx, "compare") as (problem, options):
        result = compare(
            problem,
            optimizers=options["optimizers"],
            lr=options["lr"],
            betas=tuple(options["betas"]),
            progress=True,
            **{name: options[name] for name in known},
        )
        _finish(ctx, replace(result, options={**options, "lr": result.options["lr"]}))
    if result.interrupted:
        say("signscope compare: stopped by the keyboard; what was done so far is kept.")
        raise typer.Exit(FAILED)


def run_predict(ctx: typer.Context) -> None:
    """``signscope predict``."""
    with _prepared(ctx, "predict") as (problem, options):
        common, at_bound = _common(problem, options)
        solver = {name: options[name] for name in ("method", "quantity", "rtol", "finite_dim")}
        _finish_half(ctx, problem, predict(problem, **common, **solver), options, at_bound=at_bound)


def run_simulate(ctx: typer.Context) -> None:
    """``signscope simulate``."""
    with _prepared(ctx, "simulate") as (problem, options):
        options["rows"] = options["rows"] or ("gaussian" if problem.rows is None else "replace")
        common, at_bound = _common(problem, options)
        machine = {name: options[name] for name in ("num_runs", "seed", "rows", "dtype", "device")}
        _finish_half(ctx, problem, simulate(problem, **common, **machine, progress=True), options, at_bound=at_bound)


def _common(problem: LeastSquares, options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Arguments of both halves, the best rate filled in (in ``options`` too), and whether it sits at its bound."""
    common = {name: options[name] for name in ("optimizer", "horizon", "batch_size")}
    common["betas"] = tuple(options["betas"])
    at_bound = False
    if options["lr"] is None:
        options["lr"], at_bound = _best(problem, common)
    return {**common, "lr": options["lr"]}, at_bound


@contextlib.contextmanager
def _prepared(ctx: typer.Context, command: str) -> Iterator[tuple[LeastSquares, dict[str, Any]]]:
    """The problem and the resolved options; whether results can be written is found out before, and stays so."""
    options = resolve(ctx, command)
    if "optimizer" in options:
        checks.one_of(command, "OPTIMIZER", options["optimizer"], PREDICTED)
    out: Path | None = ctx.params["out"]
    with contextlib.ExitStack() as stack:
        if out is not None:
            check_output(out, force=ctx.params["force"], who="--out")
            stack.enter_context(one_writer(out, who="--out"))
        problem, options = build_problem(options)
        if sys.stderr.isatty():
            for line in problem.report.splitlines():
                say(line)
        yield problem, options


def _best(problem: LeastSquares, common: dict[str, Any]) -> tuple[float, bool]:
    """The best rate; a problem without one is a run that failed."""
    found = best_lr(problem, **common)
    if math.isnan(found.lr):
        say(f"signscope: {common['optimizer']} is {found.curve.status}: {found.curve.message}")
        raise typer.Exit(FAILED)
    return found.lr, found.at_bound


def _finish_half(
    ctx: typer.Context, problem: LeastSquares, curve: Any, options: dict[str, Any], *, at_bound: bool
) -> None:
    _finish(ctx, half(problem, curve, options=options, at_bound=at_bound))
    if curve.failed or curve.status == "interrupted":
        say(f"signscope: {curve.optimizer} is {curve.status}: {curve.message}")
        raise typer.Exit(FAILED)


def _finish(ctx: typer.Context, result: Comparison) -> None:
    """Save if asked to, then print; print also what could not be saved."""
    out: Path | None = ctx.params["out"]
    try:
        if out is not None:
            result.save(out, force=ctx.params["force"])
    finally:
        if ctx.params["as_json"]:
            typer.echo(json.dumps(result.summary(), indent=2, allow_nan=False, ensure_ascii=False))
        else:
            show(result)
    if out is not None:
        say(f"wrote {out / 'risk.png'}, curves.csv, summary.json")
    elif sys.stderr.isatty():
        say("add --out FOLDER for the picture, the curves and summary.json")
