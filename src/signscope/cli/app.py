"""The commands and their options; what they do is imported when they run."""

from typing import Annotated

import typer

from signscope._version import __version__
from signscope.cli import groups as g
from signscope.cli import options as o
from signscope.cli.bounding import bound_methods
from signscope.cli.checking import check_problem
from signscope.cli.door import Door, guarded
from signscope.cli.effects import effects_of_signs
from signscope.cli.measuring import measure_model
from signscope.cli.reproduce import reproduce_figure
from signscope.cli.rescaling import rescale_batch, translate_optimizer
from signscope.cli.schedule import design_schedules
from signscope.cli.sde import sde_of_optimizer
from signscope.cli.sweeping import sweep_grid

app = typer.Typer(
    cls=Door,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predict, measure and run sign-based optimization: what will SGD, signSGD and Adam do on my problem?",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"signscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
@g.takes("compare", g.DATA, g.PROBLEM, g.RATES, g.HORIZON, g.RUNS, g.STEP, g.MACHINE, g.OUTPUT)
def compare(ctx: typer.Context) -> None:
    """Predict SGD, signSGD and Adam, run them many times, and state the gap and the winner.

    Without any argument: scikit-learn's handwritten digits, odd against even.
    """
    from signscope.cli.commands import run_compare

    run_compare(ctx)


@app.command()
@g.takes("predict", g.OPTIMIZER, g.DATA, g.PROBLEM, g.RATE, g.HORIZON, g.STEP, g.SOLVER, g.OUTPUT)
def predict(ctx: typer.Context) -> None:
    """Predict the risk curve of one optimizer, without running it."""
    from signscope.cli.commands import run_predict

    run_predict(ctx)


@app.command()
@g.takes("simulate", g.OPTIMIZER, g.DATA, g.PROBLEM, g.RATE, g.HORIZON, g.RUNS, g.STEP, g.ROWS, g.MACHINE, g.OUTPUT)
def simulate(ctx: typer.Context) -> None:
    """Run one optimizer many times and show its risk curve with its spread."""
    from signscope.cli.commands import run_simulate

    run_simulate(ctx)


@app.command()
def where(
    key: Annotated[str | None, typer.Argument(help="Key of a paper in references.bib.", show_default=False)] = None,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Show where the equations of a paper live in the code."""
    with guarded("where", debug=debug):
        from signscope.cli.locate import run_where

        run_where(key, as_json=as_json)


app.command("effects")(effects_of_signs)
app.command("schedule")(design_schedules)
app.command("sde")(sde_of_optimizer)
app.command("rescale")(rescale_batch)
app.command("translate")(translate_optimizer)
app.command("check")(check_problem)
app.command("sweep")(sweep_grid)
app.command("measure")(measure_model)
app.command("bounds")(bound_methods)
app.command("reproduce")(reproduce_figure)
