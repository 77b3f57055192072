"""Options that go together, each with its default, and commands that take groups of them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from signscope.cli import options as o
from signscope.cli.door import guarded

Group = dict[str, tuple[Any, Any]]
"""Name of the parameter -> (annotation with its help, default)."""

DATA: Group = {"data": (o.Data, None)}
OPTIMIZER: Group = {"optimizer": (o.Optimizer, None)}
PROBLEM: Group = {
    "target": (o.Target, None),
    "features": (o.Features, None),
    "random_features": (o.RandomFeatures, None),
    "center": (o.Center, True),
    "scale": (o.Scale, "global"),
    "ridge": (o.Ridge, 1e-6),
    "problem": (o.Problem, None),
    "dim": (o.Dim, None),
    "spectrum": (o.Spectrum, None),
    "rotated": (o.Rotated, False),
    "cov": (o.Cov, None),
    "noise": (o.Noise, None),
    "start": (o.Start, "zeros"),
}
RATES: Group = {"optimizers": (o.Optimizers, "sgd,signsgd,adam"), "lr": (o.Rates, None)}
RATE: Group = {"lr": (o.Rate, None)}
HORIZON: Group = {"horizon": (o.Horizon, 20.0)}
RUNS: Group = {"num_runs": (o.NumRuns, 64)}
STEP: Group = {"seed": (o.Seed, 0), "batch_size": (o.BatchSize, 1), "betas": (o.Betas, "0.9,0.999")}
ROWS: Group = {"rows": (o.RowSource, None)}
MACHINE: Group = {"dtype": (o.Dtype, None), "device": (o.Device, None)}
SOLVER: Group = {
    "method": (o.Method, "auto"),
    "quantity": (o.Quantity, "excess_risk"),
    "rtol": (o.Rtol, 1e-6),
    "finite_dim": (o.FiniteDim, False),
}
OUTPUT: Group = {
    "out": (o.Out, None),
    "force": (o.Force, False),
    "as_json": (o.Json, False),
    "config": (o.Config, None),
    "debug": (o.Debug, False),
}


def takes(command: str, *groups: Group) -> Callable[[Callable[[typer.Context], None]], Callable[..., None]]:
    """Make ``body(ctx)`` a typer function with the options of ``groups``, read from ``ctx.params``.

    What the body raises becomes one line and an exit code, see `guarded`.
    """
    merged = {name: entry for group in groups for name, entry in group.items()}

    def decorate(body: Callable[[typer.Context], None]) -> Callable[..., None]:
        @functools.wraps(body)
        def run(ctx: typer.Context, **params: Any) -> None:
            with guarded(command, debug=params["debug"]):
                body(ctx)

        keyword = inspect.Parameter.KEYWORD_ONLY
        first = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        rest = [inspect.Parameter(n, keyword, default=d, annotation=a) for n, (a, d) in merged.items()]
        vars(run)["__signature__"] = inspect.Signature([first, *rest])
        run.__annotations__ = {"ctx": typer.Context, **{n: a for n, (a, _) in merged.items()}}
        return run

    return decorate
