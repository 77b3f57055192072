"""Arguments and options that commands share; each is described once."""

from pathlib import Path
from typing import Annotated

import typer

_PROBLEM, _RUN, _OUTPUT = "Problem", "Run", "Output"

Optimizer = Annotated[str | None, typer.Argument(help="sgd, signsgd, adam or signum.", show_default=False)]
Data = Annotated[
    str | None,
    typer.Argument(
        help="A file (.npz, .npy, .csv, .parquet), a bundled data set (digits, diabetes, breast_cancer), or "
        "cifar10[:PATH], imdb[:PATH], whose files lie at PATH or where SIGNSCOPE_DATA says.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(help="Column or array of y (default: y); for a Gaussian problem a file.", rich_help_panel=_PROBLEM),
]
Features = Annotated[
    str | None, typer.Option(help="Array of X in an .npz file (default: X).", rich_help_panel=_PROBLEM)
]
RandomFeatures = Annotated[
    str | None,
    typer.Option(
        help="ACTIVATION:WIDTH[:NOISE], tanh, relu or cos of random mixtures of the columns, or none; cifar10 and "
        "imdb bring their own.",
        rich_help_panel=_PROBLEM,
    ),
]
Center = Annotated[bool, typer.Option("--center/--no-center", help="Subtract column means.", rich_help_panel=_PROBLEM)]
Scale = Annotated[str, typer.Option(help="global, columns or none.", rich_help_panel=_PROBLEM)]
Ridge = Annotated[float, typer.Option(help="Ridge of the least-squares solution.", rich_help_panel=_PROBLEM)]
Problem = Annotated[
    str | None,
    typer.Option(
        help="data, gaussian or covariance (found out by default), or an operator for very large --dim: low-rank:RANK, "
        "toeplitz:RHO, circulant:LENGTH.",
        rich_help_panel=_PROBLEM,
    ),
]
Dim = Annotated[
    int | None, typer.Option(help="Coordinates of a Gaussian problem (default: 500).", rich_help_panel=_PROBLEM)
]
Spectrum = Annotated[
    str | None,
    typer.Option(
        help="log:LOW,HIGH, power-law:EXPONENT, marchenko-pastur:RATIO, two-level:LOW,HIGH,SHARE, blocks:S1,S2,... "
        "(default: log:0.01,1).",
        rich_help_panel=_PROBLEM,
    ),
]
Rotated = Annotated[bool, typer.Option("--rotated", help="Random orthogonal basis.", rich_help_panel=_PROBLEM)]
Cov = Annotated[str | None, typer.Option(help="File of a covariance (.npy, .npz).", rich_help_panel=_PROBLEM)]
Noise = Annotated[
    str | None,
    typer.Option(
        help="Label noise: none, gaussian:STD, cauchy:LOC,SCALE, student-t:NU,SCALE, laplace:B, rademacher:C, ... "
        "On data: empirical, gaussian or mixture.",
        rich_help_panel=_PROBLEM,
    ),
]
Start = Annotated[str, typer.Option(help="zeros, ones or a file.", rich_help_panel=_PROBLEM)]

Horizon = Annotated[float, typer.Option(help="Length of a run in steps/dim.", rich_help_panel=_RUN)]
Optimizers = Annotated[str, typer.Option(help="Names, separated by commas.", rich_help_panel=_RUN)]
Rates = Annotated[
    list[str] | None,
    typer.Option(
        "--lr",
        metavar="NAME=VALUE",
        help="Rate of one optimizer (NAME=auto: the best one); may be repeated.",
        rich_help_panel=_RUN,
    ),
]
Rate = Annotated[
    str | None, typer.Option("--lr", help="Rate; one update moves by lr/dim (default: the best).", rich_help_panel=_RUN)
]
BatchSize = Annotated[int, typer.Option(help="Rows per update.", rich_help_panel=_RUN)]
Betas = Annotated[str, typer.Option(help="Adam's two averages; the first is Signum's momentum.", rich_help_panel=_RUN)]
NumRuns = Annotated[int, typer.Option("--num-runs", "--runs", help="Runs per simulation.", rich_help_panel=_RUN)]
Seed = Annotated[int, typer.Option(help="Seed of problem and simulation.", rich_help_panel=_RUN)]
Dtype = Annotated[str | None, typer.Option(help="float64 or float32 (simulation).", rich_help_panel=_RUN)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... (simulation).", rich_help_panel=_RUN)]
RowSource = Annotated[
    str | None,
    typer.Option(
        help="gaussian, replace or once (default: replace on data, else gaussian).",
        rich_help_panel=_RUN,
    ),
]
Method = Annotated[str, typer.Option(help="auto, gaussian, dense, quadrature, rows or exact.", rich_help_panel=_RUN)]
Quantity = Annotated[str, typer.Option(help="excess_risk, distance or grad_norm.", rich_help_panel=_RUN)]
Rtol = Annotated[float, typer.Option(help="Relative tolerance.", rich_help_panel=_RUN)]
FiniteDim = Annotated[
    bool, typer.Option("--finite-dim", help="Add what is of order 1/dim (sgd, signsgd).", rich_help_panel=_RUN)
]

Out = Annotated[
    Path | None, typer.Option(help="Folder for risk.png, curves.csv, summary.json.", rich_help_panel=_OUTPUT)
]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier result.", rich_help_panel=_OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else.", rich_help_panel=_OUTPUT)]
Config = Annotated[
    Path | None,
    typer.Option(help="summary.json of an earlier run, repeated; explicit options win.", rich_help_panel=_OUTPUT),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_OUTPUT)]
