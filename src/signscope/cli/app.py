"""The commands and their options; what they do is imported when they run."""

from typing import Annotated

import typer

from signscope._version import __version__
from signscope.cli import options as o
from signscope.cli.door import Door, guarded
from signscope.cli.reproduce import reproduce_figure

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
def compare(
    ctx: typer.Context,
    data: o.Data = None,
    target: o.Target = None,
    features: o.Features = None,
    center: o.Center = True,
    scale: o.Scale = "global",
    ridge: o.Ridge = 1e-6,
    problem: o.Problem = None,
    dim: o.Dim = None,
    spectrum: o.Spectrum = None,
    rotated: o.Rotated = False,
    cov: o.Cov = None,
    noise: o.Noise = None,
    start: o.Start = "zeros",
    optimizers: o.Optimizers = "sgd,signsgd,adam",
    lr: o.Rates = None,
    horizon: o.Horizon = 20.0,
    num_runs: o.NumRuns = 64,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 1,
    betas: o.Betas = "0.9,0.999",
    dtype: o.Dtype = None,
    device: o.Device = None,
    out: o.Out = None,
    force: o.Force = False,
    as_json: o.Json = False,
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Predict SGD, signSGD and Adam, run them many times, and state the gap and the winner.

    Without any argument: scikit-learn's handwritten digits, odd against even.
    """
    with guarded("compare", debug=debug):
        from signscope.cli.commands import run_compare

        run_compare(ctx)


@app.command()
def predict(
    ctx: typer.Context,
    optimizer: o.Optimizer = None,
    data: o.Data = None,
    target: o.Target = None,
    features: o.Features = None,
    center: o.Center = True,
    scale: o.Scale = "global",
    ridge: o.Ridge = 1e-6,
    problem: o.Problem = None,
    dim: o.Dim = None,
    spectrum: o.Spectrum = None,
    rotated: o.Rotated = False,
    cov: o.Cov = None,
    noise: o.Noise = None,
    start: o.Start = "zeros",
    lr: o.Rate = None,
    horizon: o.Horizon = 20.0,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 1,
    betas: o.Betas = "0.9,0.999",
    method: o.Method = "auto",
    quantity: o.Quantity = "excess_risk",
    rtol: o.Rtol = 1e-6,
    out: o.Out = None,
    force: o.Force = False,
    as_json: o.Json = False,
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Predict the risk curve of one optimizer, without running it."""
    with guarded("predict", debug=debug):
        from signscope.cli.commands import run_predict

        run_predict(ctx)


@app.command()
def simulate(
    ctx: typer.Context,
    optimizer: o.Optimizer = None,
    data: o.Data = None,
    target: o.Target = None,
    features: o.Features = None,
    center: o.Center = True,
    scale: o.Scale = "global",
    ridge: o.Ridge = 1e-6,
    problem: o.Problem = None,
    dim: o.Dim = None,
    spectrum: o.Spectrum = None,
    rotated: o.Rotated = False,
    cov: o.Cov = None,
    noise: o.Noise = None,
    start: o.Start = "zeros",
    lr: o.Rate = None,
    horizon: o.Horizon = 20.0,
    num_runs: o.NumRuns = 64,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 1,
    betas: o.Betas = "0.9,0.999",
    rows: o.RowSource = None,
    dtype: o.Dtype = None,
    device: o.Device = None,
    out: o.Out = None,
    force: o.Force = False,
    as_json: o.Json = False,
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Run one optimizer many times and show its risk curve with its spread."""
    with guarded("simulate", debug=debug):
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


app.command("reproduce")(reproduce_figure)
