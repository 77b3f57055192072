"""``signscope bounds``: which guarantee holds for these constants, with which step and batch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope.cli import groups as g
from signscope.cli import options as o
from signscope.cli.door import say

if TYPE_CHECKING:
    from signscope.bounds import Constants, Overview, Row

DEFAULT_CALLS = 1_000_000
_LISTS = ("smoothness", "noise")
_WHOLE = ("dim", "num_components", "num_calls")


def _option(*flags: str, text: str, panel: str = "Problem", kind: Any = float) -> Any:
    return Annotated[kind | None, typer.Option(*flags, help=text, rich_help_panel=panel, show_default=False)]


_ONE_OR_LIST = "one number, or one per coordinate separated by commas"
CONSTANTS: g.Group = {
    "smoothness": (
        _option("--L-inf", text=f"|grad f(x) - grad f(y)|_1 <= L |x - y|_inf: {_ONE_OR_LIST} (separable f).", kind=str),
        None,
    ),
    "initial_gap": (_option("--delta", text="f(x_0) - inf f."), None),
    "noise": (
        _option("--sigma", text=f"Sum of the standard deviations of one sample's gradient: {_ONE_OR_LIST}.", kind=str),
        None,
    ),
    "dim": (_option("--dim", text="Coordinates; needed for SGD.", kind=int), None),
    "noise_l2": (_option("--sigma-l2", text="Root of the summed variances (default: safe from --sigma)."), None),
    "smoothness_l2": (_option("--L-2", text="Lipschitz constant of the gradient in l2 (default: --L-inf)."), None),
    "bregman": (_option("--L-bregman", text="Constant of the descent inequality (default: --L-inf)."), None),
    "sample_smoothness": (_option("--M", text="Mean-squared smoothness of samples (default: --L-inf)."), None),
    "num_components": (
        _option("--components", text="Components of a finite sum, for SSVR-FS and others.", kind=int),
        None,
    ),
}
QUESTION: g.Group = {
    "num_calls": (
        _option("--calls", text=f"Per-sample gradients to spend (default: {DEFAULT_CALLS:,}).", panel="Run", kind=int),
        None,
    ),
    "target": (
        _option("--epsilon", text="Instead: the accuracy to reach; calls are found.", panel="Run"),
        None,
    ),
}
Out = Annotated[Path | None, typer.Option(help="CSV file, one line per bound.", rich_help_panel="Output")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel="Output")]
Config = Annotated[
    Path | None,
    typer.Option(help="What --json printed earlier, repeated; explicit options win.", rich_help_panel="Output"),
]
OUTPUT: g.Group = {
    "out": (Out, None),
    "force": (o.Force, False),
    "as_json": (Json, False),
    "config": (Config, None),
    "debug": (o.Debug, False),
}


@g.takes("bounds", CONSTANTS, QUESTION, OUTPUT)
def bound_methods(ctx: typer.Context) -> None:
    """Bounds of every method with their constants: value, best step and batch, conditions, formula.

    Worst cases over all problems with the given constants: a guarantee, not a forecast.
    """
    from signscope.bounds import compare_bounds

    options = _resolved(ctx)
    out: Path | None = ctx.params["out"]
    _check_output(out, force=ctx.params["force"])
    question = {name: options[name] for name in ("num_calls", "target", "num_components")}
    overview = compare_bounds(_constants(options), **question)
    if out is not None:
        _save(out, overview)
    if ctx.params["as_json"]:
        typer.echo(json.dumps(_summary(options, overview), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        _show(overview)
    if out is not None:
        say(f"wrote {out}")


def _resolved(ctx: typer.Context) -> dict[str, Any]:
    """Config file, then what was typed, each value checked for its kind."""
    from signscope._core.errors import InvalidInput
    from signscope.cli.settings import number, read_config, text, whole

    names = [*CONSTANTS, *QUESTION]  # in a fixed order
    path = ctx.params["config"]
    saved = {} if path is None else read_config(Path(path), "bounds")
    unknown = [name for name in saved if name not in names]
    if unknown:
        raise InvalidInput(f"{path}: unknown option {unknown[0]!r}; `bounds` knows {', '.join(names)}.")
    typed = {name: ctx.params[name] for name in names if ctx.params[name] is not None}
    if typed.keys() & {"num_calls", "target"}:  # one question replaces the other
        saved = {name: value for name, value in saved.items() if name not in ("num_calls", "target")}
    found: dict[str, Any] = {}
    for name in names:
        value = typed.get(name, saved.get(name))
        kind = text if name in _LISTS else whole if name in _WHOLE else number
        found[name] = None if value is None else kind(name, value)
    if found["num_calls"] is not None and found["target"] is not None:
        raise InvalidInput("--calls and --epsilon exclude one another; leave one out.")
    if found["target"] is None and found["num_calls"] is None:
        found["num_calls"] = DEFAULT_CALLS
    return found


def _constants(options: dict[str, Any]) -> "Constants":
    """The constants of the problem; lists make it separable, or say how the noise is spread."""
    from signscope._core.errors import InvalidInput
    from signscope.bounds import Constants

    for name, flag in (("smoothness", "--L-inf"), ("initial_gap", "--delta"), ("noise", "--sigma")):
        if options[name] is None:
            raise InvalidInput(f"{flag} is needed; see `signscope bounds --help`.")
    curves, noises = (_numbers(flag, options[name]) for name, flag in (("smoothness", "--L-inf"), ("noise", "--sigma")))
    rest = {name: options[name] for name in ("bregman", "dim", "noise_l2", "smoothness_l2", "sample_smoothness")}
    spread = Constants.separable(1.0, noises, noise=noises) if len(noises) > 1 and sum(noises) > 0 else None
    if spread is not None:
        rest = {**rest, "dim": _same("--dim", "dim", options, spread.dim)}
        rest["noise_l2"] = _same("--sigma-l2", "noise_l2", options, spread.noise_l2)
    if len(curves) == 1:
        return Constants(options["initial_gap"], curves[0], sum(noises), **rest)
    if len(noises) == 1 and noises[0] > 0:
        raise InvalidInput("--sigma needs one number per coordinate when --L-inf has them, or 0.")
    clash = [name for name in ("bregman", "smoothness_l2") if options[name] is not None]
    if clash:
        raise InvalidInput(f"a list in --L-inf fixes {clash[0]}; leave the option out.")
    _same("--dim", "dim", options, len(curves))
    noise = noises if len(noises) > 1 else 0.0
    return Constants.separable(
        options["initial_gap"], curves, noise=noise, sample_smoothness=options["sample_smoothness"]
    )


def _same(flag: str, name: str, options: dict[str, Any], known: Any) -> Any:
    """What a list says, unless an option says otherwise."""
    from signscope._core.errors import InvalidInput

    if options[name] is not None and abs(options[name] - known) > 1e-6 * known:
        raise InvalidInput(f"{flag}: the lists make it {known:g}, not {options[name]:g}; leave the option out.")
    return known


def _numbers(flag: str, text: str) -> list[float]:
    from signscope._core import checks

    return [checks.non_negative("bounds", flag, part) for part in text.split(",")]


def _check_output(out: Path | None, *, force: bool) -> None:
    from signscope._core.errors import InvalidInput

    if out is None:
        return
    if out.is_dir() or not out.parent.is_dir():
        raise InvalidInput(f"--out: {out} must be a file in a folder that exists.")
    if out.exists() and not force:
        raise InvalidInput(f"--out: {out} exists. Use --force to replace it.")


def _save(out: Path, overview: "Overview") -> None:
    """The table as CSV, whole or not at all; into what is no file (a pipe) directly."""
    from signscope._core.errors import InvalidInput
    from signscope._core.output import staged

    text, place = overview.to_frame().to_csv(index=False), out.resolve()
    if not place.exists() or place.is_file():
        with staged(place.parent, [place.name], force=True, who="--out") as folder:
            (folder / place.name).write_text(text, encoding="utf-8")
        return
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out: cannot write to {out} ({error.strerror or error}).") from None


def _summary(options: dict[str, Any], overview: "Overview") -> dict[str, Any]:
    from signscope._version import __version__

    return {"schema": 1, "signscope": __version__, "command": "bounds", "options": options, **overview.summary()}


def _show(overview: "Overview") -> None:
    """The table of upper bounds, that of lower bounds, formulas with conditions, and how to read them."""
    from signscope.cli.report import aligned

    for kind, title in (
        ("upper", "Upper bounds: mean norm of the gradient along the run, on every problem with these constants"),
        ("lower", "Lower bounds: smallest norm of the gradient along the run, on some problem with these constants"),
    ):
        rows = [row for row in overview.rows if row.kind == kind]
        table = [_cells(row) for row in rows if row.bound is not None]
        header = ["method", "bound", "calls", "lr", "steps", "batch", "B_0", "beta", "I"]
        if kind == "lower":
            header, table = header[:3], [cells[:3] for cells in table]
        typer.echo(title)
        if table:
            width = max(len(cells[0]) for cells in table)
            for line in aligned(
                [header[0].ljust(width), *header[1:]], [[cells[0].ljust(width), *cells[1:]] for cells in table]
            ):
                typer.echo(f"  {line}")
        for row in rows:
            if row.bound is None:
                typer.echo(f"  {row.name}: {row.reason.partition(': ')[2] or row.reason}")
        typer.echo("")
    typer.echo("Formulas and conditions")
    for row in overview.rows:
        if row.bound is not None:
            typer.echo(f"  {row.name} ({row.kind}): {row.bound.equation}")
            for condition in row.bound.conditions:
                typer.echo(f"    {condition}")
    typer.echo("")
    for line in _notes(overview):
        typer.echo(line)


def _cells(row: "Row") -> list[str]:
    found = row.record()
    star = "" if found["status"] == "ok" else " *"
    beta = "-" if found["beta"] in (None, 1.0) else f"{found['beta']:.3g}"
    return [
        f"{row.name}{star}",
        f"{found['value']:.4g}",
        _count(found["calls"]),
        "-" if found["lr"] is None else f"{found['lr']:.3g}",
        _count(found["num_steps"]),
        _count(found["batch_size"]),
        "-" if found["init_batch"] in (None, 1) else _count(found["init_batch"]),
        beta,
        _count(found["period"] or None),
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}" if value < 10**12 else f"{float(value):.3g}"


def _notes(overview: "Overview") -> list[str]:
    """What a reader has to know to use the table."""
    from signscope.bounds import speedup_range

    known = overview.constants
    lines = [f"The gradient has norm {known.ceiling:.4g} or less at the start; a larger bound says nothing."]
    if any(row.bound is not None and not row.bound.holds for row in overview.rows):
        lines.append("*: a condition of the closed form is not met; an upper bound's value holds all the same.")
    if known.dim is not None and (known.noise_l1 == 0 or known.noise_density is not None):
        low, high = speedup_range(known)
        most = "" if high == float("inf") else f" and at most {high:.3g} (separable f)"
        density = "" if known.noise_density is None else f" (noise density {known.noise_density:.3g})"
        lines.append(f"SGD's worst case needs at least {low:.3g} times the calls of signSGD's{most}{density}.")
    return [*lines, "Worst cases over a class are guarantees, not forecasts for your model."]
