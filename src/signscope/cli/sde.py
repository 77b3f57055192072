"""``signscope sde``: an optimizer next to its SDE on a named loss."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope._core.output import as_json, check_output, staged
from signscope.cli import groups as g
from signscope.cli.door import say

if TYPE_CHECKING:
    from torch import Tensor

    from signscope.curves import Curve
    from signscope.integrate.ensemble import Ensemble
    from signscope.problems.oracle import Loss

FILES = ("sde.png", "sde.csv", "sde.json")
_ROWS = 6
_PIECES = 8
_RUN, _PROBLEM, _OUTPUT = "Run", "Problem", "Output"


def _of(panel: str, help_text: str) -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel)


OPTIONS: g.Group = {
    "loss": (Annotated[str, _of(_PROBLEM, "quadratic, double-well or log-cosh.")], "quadratic"),
    "dim": (Annotated[int, _of(_PROBLEM, "Coordinates.")], 10),
    "spectrum": (
        Annotated[str, _of(_PROBLEM, "Curvatures at the origin, as in `compare` (log:LOW,HIGH ...).")],
        "log:0.1,1",
    ),
    "rotated": (
        Annotated[bool, typer.Option("--rotated", help="Random basis (quadratic).", rich_help_panel=_PROBLEM)],
        False,
    ),
    "noise": (
        Annotated[str, _of(_PROBLEM, "Of the gradient, per coordinate: gaussian:STD, student-t:NU,SCALE, ...")],
        "gaussian:1",
    ),
    "start": (Annotated[float, _of(_PROBLEM, "Every coordinate's first value.")], 1.0),
    "optimizer": (Annotated[str, _of(_RUN, "sgd, signsgd, rmsprop, rmspropw, adam or adamw.")], "signsgd"),
    "lr": (Annotated[float, _of(_RUN, "What one update multiplies (torch's lr).")], 0.01),
    "steps": (Annotated[int, _of(_RUN, "Updates.")], 1000),
    "betas": (Annotated[str, _of(_RUN, "Adam's two averages; RMSprop uses the second.")], "0.9,0.999"),
    "weight_decay": (Annotated[float, _of(_RUN, "Decoupled decay.")], 0.0),
    "form": (Annotated[str, _of(_RUN, "recommended, published, older or augmented.")], "recommended"),
    "scheme": (Annotated[str, _of(_RUN, "euler, heun, trapezoid or platen.")], "trapezoid"),
    "substeps": (Annotated[int, _of(_RUN, "Steps of the scheme per update; 8 for euler.")], 2),
    "paths": (Annotated[int, _of(_RUN, "Runs, and paths of the SDE.")], 256),
    "seed": (Annotated[int, _of(_RUN, "Seed of both.")], 0),
    "dtype": (Annotated[str, _of(_RUN, "float64 or float32.")], "float64"),
    "device": (Annotated[str, _of(_RUN, "cpu, cuda, ...")], "cpu"),
}
_Json = Annotated[bool, typer.Option("--json", help=f"Print {FILES[2]} and nothing else.", rich_help_panel=_OUTPUT)]
_Config = Annotated[Path | None, _of(_OUTPUT, f"{FILES[2]} of an earlier run, repeated; explicit options win.")]
OUTPUT: g.Group = {
    **g.OUTPUT,
    "out": (Annotated[Path | None, _of(_OUTPUT, f"Folder for {', '.join(FILES)}.")], None),
    "as_json": (_Json, False),
    "config": (_Config, None),
}  # fmt: skip


@g.takes("sde", OPTIONS, OUTPUT)
def sde_of_optimizer(ctx: typer.Context) -> None:
    """Run an optimizer and its SDE; show loss, variance and phases, the exact ones where known, and the limits.

    The loss is that of one point; gradients carry independent noise of the given law.
    """
    options = resolved(ctx)
    out: Path | None = ctx.params["out"]
    if out is not None:
        check_output(out, FILES, force=ctx.params["force"], who="--out")
    found = run(options)
    summary = summarised(options, found)
    try:
        if out is not None:
            with staged(out, FILES, force=ctx.params["force"], who="--out") as folder:
                save(folder, summary, found)
    finally:  # also what could not be saved
        if ctx.params["as_json"]:
            typer.echo(as_json(summary))
        else:
            show(summary)
    if out is not None:
        say(f"wrote {out / FILES[0]}, {', '.join(FILES[1:])}")


def resolved(ctx: typer.Context) -> dict[str, Any]:
    """Defaults, then the config file, then what was typed; every value of the kind of its default."""
    from signscope.cli.settings import flag, merged, number, pair, text, whole

    typed, _ = merged(ctx, "sde")
    kinds = {str: text, bool: flag, int: whole, float: number}
    return {  # in a fixed order
        name: pair(name, typed[name]) if name == "betas" else kinds[type(default)](name, typed[name])
        for name, (_, default) in OPTIONS.items()
    }


def run(options: Mapping[str, Any]) -> "dict[str, Ensemble]":
    """The optimizer, its SDE and, where there is one, the recursion without sampling.

    Raises:
        KeyboardInterrupt: One of the two was stopped; half of the comparison is no result.
    """
    from signscope._core.errors import Unsupported
    from signscope.sdes import expected, solve
    from signscope.simulation.descent import descend

    loss, start = problem(options)
    same = {name: options[name] for name in ("optimizer", "noise", "lr", "weight_decay")}
    same |= {"num_steps": options["steps"], "betas": tuple(options["betas"])}
    sampled = {"num_paths": options["paths"], **{n: options[n] for n in ("seed", "dtype", "device")}, "progress": True}
    schemes = {name: options[name] for name in ("form", "scheme", "substeps")}
    model = _whole(solve(loss, start, **same, **sampled, **schemes))  # first: it refuses what it cannot do
    found = {"optimizer": _whole(descend(loss, start, **same, **sampled)), "SDE": model}
    with contextlib.suppress(Unsupported):
        found["without sampling"] = expected(loss, start, **same)
    return found


def _whole(found: "Ensemble") -> "Ensemble":
    if found.loss.status == "interrupted":
        raise KeyboardInterrupt
    return found


def problem(options: Mapping[str, Any]) -> "tuple[Loss, Any]":
    """Loss and start."""
    import torch

    from signscope._core import checks
    from signscope._core.errors import InvalidInput
    from signscope.cli.inputs import PER_COORDINATE
    from signscope.problems.cost import fits
    from signscope.problems.landscapes import Quadratic, landscape
    from signscope.problems.spectra import parse_spectrum, rotated

    dim = checks.integer("--dim", "dim", options["dim"], minimum=1)
    fits(f"--dim {dim}: the smallest run", PER_COORDINATE * dim, "Use a smaller --dim.")
    curvatures = parse_spectrum(options["spectrum"], dim)
    start = torch.full((dim,), checks.finite("--start", "start", options["start"]), dtype=torch.float64)
    if not options["rotated"]:
        return landscape(options["loss"], curvatures), start
    if options["loss"] != "quadratic":
        raise InvalidInput("--rotated goes with a quadratic loss.")
    matrix = torch.as_tensor(rotated(curvatures, options["seed"]).colour(torch.eye(dim, dtype=torch.float64)))
    return Quadratic(matrix.T @ matrix), start


def summarised(options: Mapping[str, Any], found: "Mapping[str, Ensemble]") -> dict[str, Any]:
    """What sde.json holds."""
    from signscope._version import __version__
    from signscope.problems.arrays import json_number

    model, runs = found["SDE"], found["optimizer"]
    picks = sorted({round(i * (len(model.time) - 1) / (_ROWS - 1)) for i in range(_ROWS)})
    rows = [
        {
            "time": float(model.time[k]),
            "steps": round(float(model.time[k]) / options["lr"]),
            **{
                f"{key} {name}": json_number(float(value[k]))
                for name, e in found.items()
                for key, value in (("loss", e.loss.value), ("variance", e.total_variance))
            },
            "stderr optimizer": json_number(float(runs.loss.stderr[k])),  # pyright: ignore[reportOptionalSubscript]
        }
        for k in picks
    ]
    method = found["without sampling"].loss.provenance["method"] if "without sampling" in found else None
    phases = phases_at(options, model.time, runs.mean, picks)
    for row, phase in zip(rows, phases, strict=True):
        row |= {f"phase {number}": phase.count(number) for number in (1, 2, 3)} if phase else {}
    statuses = {name: {"status": e.loss.status, "message": e.loss.message} for name, e in found.items()}
    return {
        "schema": 1,
        "signscope": __version__,
        "command": "sde",
        "options": dict(options),
        "table": rows,
        "stationary_loss": stationary_loss(options),
        "phases": {"first": phases[0], "last": phases[-1]},
        "method": method,
        "status": statuses,
        "floored": model.floored,
        "notes": list(model.notes),
        "files": list(FILES),
    }


def phases_at(options: Mapping[str, Any], times: "Tensor", means: "Tensor", picks: Sequence[int]) -> list[list[int]]:
    """Phase of every coordinate (1, 2 or 3) at the mean of the runs, per time of ``picks``; empty without noise there.

    Other noise than Gaussian counts as the Gaussian with the same slope of the mean sign.
    """
    import torch

    from signscope.problems.oracle_noise import as_gradient_noise
    from signscope.sdes.phases import phases_of

    loss, _ = problem(options)
    noise = as_gradient_noise("sde", options["noise"], loss.dim)
    found: list[list[int]] = []
    for k in picks:
        point = means[k : k + 1]
        std = noise.effective_std(point, float(times[k])).reshape(-1).expand(loss.dim)
        usable = bool((std > 0).all()) and bool(torch.isfinite(point).all())
        found.append(phases_of(loss.grad(point)[0], std).phase.tolist() if usable else [])
    return found


def stationary_loss(options: Mapping[str, Any]) -> float | None:
    """Mean loss in the long run of a quadratic under Gaussian noise; None where it is not known."""
    from signscope._core.errors import InvalidInput
    from signscope.problems.landscapes import Quadratic
    from signscope.problems.oracle_noise import GaussianNoise, as_gradient_noise
    from signscope.sdes.moments import stationary_covariance

    loss, _ = problem(options)
    noise = as_gradient_noise("sde", options["noise"], loss.dim)
    if not isinstance(loss, Quadratic) or not isinstance(noise, GaussianNoise):
        return None
    import torch

    matrix, cov = loss.matrix, torch.diag(noise.unit_covariance())
    rule, (first, second) = options["optimizer"].removesuffix("w"), options["betas"]
    try:
        spread = stationary_covariance(
            rule, matrix, cov, lr=options["lr"], weight_decay=options["weight_decay"], betas=(first, second)
        )
    except InvalidInput:
        return None
    return float(0.5 * (matrix * spread).sum())


def show(summary: Mapping[str, Any]) -> None:
    """The table, the long run, and where the model is not to be trusted."""
    from signscope.cli.report import aligned

    known = summary["method"] is not None
    names = ["optimizer", "SDE", *(["without sampling"] if known else [])]
    has_phases = bool(summary["phases"]["last"])
    header = ["lr*steps", "steps", *(f"loss {_short(n)}" for n in names), "+-", *(f"var {_short(n)}" for n in names)]
    header += ["phases"] if has_phases else []
    rows = [
        [
            f"{row['time']:.4g}", str(row["steps"]), *(_number(row[f"loss {n}"]) for n in names),
            _number(row["stderr optimizer"], 2), *(_number(row[f"variance {n}"]) for n in names),
            *(["/".join(str(row[f"phase {k}"]) for k in (1, 2, 3))] if has_phases else []),
        ]
        for row in summary["table"]
    ]  # fmt: skip
    for line in aligned(header, rows):
        typer.echo(line)
    options = summary["options"]
    typer.echo(
        f"\n{options['optimizer']}, lr {options['lr']:g}, {options['paths']} paths; var: summed over coordinates."
    )
    if has_phases:
        typer.echo("phases: coordinates with certain signs (1) / between (2) / in the noise (3), at the mean position.")
        for when in ("first", "last"):
            typer.echo(f"  {when}: {_listed(summary['phases'][when])}")
    if known:
        typer.echo(f"theory: {summary['method']} of the optimizer, without sampling.")
    if summary["stationary_loss"] is not None:
        typer.echo(f"stationary loss: {summary['stationary_loss']:.4g}")
    for name, entry in summary["status"].items():
        if entry["status"] != "ok":
            typer.echo(f"{name} is {entry['status']}: {entry['message']}")
    typer.echo("\nNot to be trusted:")
    for note in summary["notes"]:
        typer.echo(f"  {note}")


def _listed(phases: Sequence[int]) -> str:
    """Which coordinates (from 0) are in which phase, as ranges; the first few of many."""
    found: dict[int, list[str]] = {1: [], 2: [], 3: []}
    done = 0
    for phase, same in groupby(phases):
        last = done + len(list(same)) - 1
        found[phase].append(f"{done}" if last == done else f"{done}-{last}")
        done = last + 1
    return "; ".join(
        f"phase {phase}: {', '.join(pieces[:_PIECES])}{', ...' if len(pieces) > _PIECES else ''}"
        for phase, pieces in found.items()
        if pieces
    )


def _short(name: str) -> str:
    return {"optimizer": "run", "without sampling": "theory"}.get(name, name)


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def save(out: Path, summary: Mapping[str, Any], found: "Mapping[str, Ensemble]") -> None:
    """Picture, curves and summary."""
    import pandas as pd

    from signscope.plots.sde import plot_sde

    frames = []
    for name, ensemble in found.items():
        frame = ensemble.loss.to_frame().rename(columns={"value": "loss"})
        frame.insert(0, "kind", name)
        frame["total_variance"] = ensemble.total_variance.numpy()
        frames.append(frame)
    options = summary["options"]
    title = (
        f"{options['optimizer']} on {options['loss']}, d = {options['dim']}, lr {options['lr']:g}, {options['noise']}"
    )
    caption = f"Markers: every few recorded times; bands hold the central 80% of {options['paths']} paths."
    losses = {name: e.loss for name, e in found.items()}
    variances = {name: variance_curve(e) for name, e in found.items()}
    plot_sde(losses, variances, title=title, caption=caption).savefig(out / FILES[0], dpi=160)
    pd.concat(frames).to_csv(out / FILES[1], index=False)
    (out / FILES[2]).write_text(as_json(summary) + "\n", encoding="utf-8")


def variance_curve(ensemble: "Ensemble") -> "Curve":
    """Total variance against time."""
    from signscope.curves import Curve

    loss = ensemble.loss
    return Curve(
        time=loss.time, value=ensemble.total_variance, quantity="variance", time_unit=loss.time_unit,
        optimizer=loss.optimizer, lr=loss.lr, step_size=loss.step_size,
    )  # fmt: skip
