"""``signscope measure``: noise and smoothness of a PyTorch model, and whether a sign method would help."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope.cli import options as o
from signscope.cli.door import guarded, say

if TYPE_CHECKING:
    from signscope.comparison.advice import Advice
    from signscope.measure import NoiseReport, SmoothnessReport

_INPUT, _RUN, _OUTPUT = "Model", "Run", "Output"
SUMMARY, NOISE, SMOOTHNESS, PICTURE = "summary.json", "noise.json", "smoothness.json", "noise.png"
FILES = (SUMMARY, NOISE, SMOOTHNESS, PICTURE)

Model = Annotated[
    str | None,
    typer.Option(help="MODULE:FUNCTION that returns the model (with its weights).", rich_help_panel=_INPUT),
]
Data = Annotated[
    str | None, typer.Option(help="MODULE:FUNCTION that returns a loader of batches.", rich_help_panel=_INPUT)
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="MODULE:FUNCTION of model and batch, the mean loss (default: by the batch: cross-entropy for integer "
        "targets, squared error for numbers, the model's own loss for dictionaries).",
        rich_help_panel=_INPUT,
    ),
]
NumBatches = Annotated[int, typer.Option(help="Batches for the noise.", rich_help_panel=_RUN)]
Samples = Annotated[str, typer.Option(help="batches, or each: per-sample gradients.", rich_help_panel=_RUN)]
Mode = Annotated[str, typer.Option(help="eval: data noise alone; train: dropout included.", rich_help_panel=_RUN)]
Smoothness = Annotated[
    bool, typer.Option("--smoothness/--no-smoothness", help="Second derivatives too.", rich_help_panel=_RUN)
]
NewBatch = Annotated[
    float | None, typer.Option(help="Batch size to move to (default: four times).", rich_help_panel=_RUN)
]
Out = Annotated[Path | None, typer.Option(help=f"Folder for {', '.join(FILES)}.", rich_help_panel=_OUTPUT)]


def measure_model(
    ctx: typer.Context,
    model: Model = None,
    data: Data = None,
    loss: Loss = None,
    num_batches: NumBatches = 64,
    samples: Samples = "batches",
    mode: Mode = "eval",
    smoothness: Smoothness = True,
    new_batch_size: NewBatch = None,
    seed: o.Seed = 0,
    device: o.Device = None,
    out: Out = None,
    force: o.Force = False,
    as_json: o.Json = False,
    config: o.Config = None,
    debug: o.Debug = False,
) -> None:
    """Measure the gradient noise and the smoothness of a model: would a sign method help on it?

    MODULE is imported from the working folder or the Python path.
    """
    with guarded("measure", debug=debug):
        _run(ctx)


def _run(ctx: typer.Context) -> None:
    from signscope.cli.measured_model import load
    from signscope.comparison.advice import advise
    from signscope.measure import gradient_noise, smoothness

    options, folder = _options(ctx), _folder(ctx)
    model, loader, loss_fn = load(options)
    common: dict[str, Any] = {"mode": options["mode"], "seed": options["seed"], "progress": True}
    report = gradient_noise(
        model, loss_fn, loader, num_batches=options["num_batches"], samples=options["samples"], **common
    )
    curved = smoothness(model, loss_fn, loader, **common) if options["smoothness"] else None
    advice = advise(report, curved, new_batch_size=options["new_batch_size"])
    summary = _summary(options, report, curved, advice)
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False)
    written: list[str] = []
    try:
        if folder is not None:
            written = _write(folder, report, curved, text, force=ctx.params["force"])
    finally:  # also what could not be saved
        if ctx.params["as_json"]:
            typer.echo(text)
        else:
            typer.echo("\n\n".join(str(part) for part in (report, curved, advice) if part is not None))
    if folder is not None:
        say(f"wrote {folder}: {', '.join(written)}")


def _options(ctx: typer.Context) -> dict[str, Any]:
    """Typed options over those of a config file, checked for kind."""
    from signscope._core import checks
    from signscope._core.errors import InvalidInput
    from signscope.cli.settings import CONTROL, flag, number, read_config, text, whole

    def optional(name: str, value: Any) -> float | None:
        return None if value is None else number(name, value)

    typed = {name: value for name, value in ctx.params.items() if name not in CONTROL}
    config: Path | None = ctx.params["config"]
    for name, value in ({} if config is None else read_config(config, "measure")).items():
        if name not in typed:
            raise InvalidInput(f"{config}: unknown option {name!r}; `measure` knows {', '.join(typed)}.")
        source = ctx.get_parameter_source(name)
        if source is None or source.name in ("DEFAULT", "DEFAULT_MAP"):
            typed[name] = value
    kinds: dict[str, Callable[[str, Any], Any]] = {
        **dict.fromkeys(("model", "data", "loss", "samples", "mode", "device"), text),
        **dict.fromkeys(("num_batches", "seed"), whole),
        "smoothness": flag,
        "new_batch_size": optional,
    }
    checked = {name: kind(name, typed[name]) for name, kind in kinds.items()}
    if checked["new_batch_size"] is not None:  # before the work
        checks.positive("measure", "new_batch_size", checked["new_batch_size"])
    return checked


def _folder(ctx: typer.Context) -> Path | None:
    """Where files go, found out before the work."""
    from signscope._core.output import check_output

    folder: Path | None = ctx.params["out"]
    return None if folder is None else check_output(folder, FILES, force=ctx.params["force"], who="--out")


def _write(
    folder: Path, report: "NoiseReport", curved: "SmoothnessReport | None", text: str, *, force: bool
) -> list[str]:
    """All files or none; their names."""
    from signscope._core.output import staged

    names = [name for name in FILES if curved is not None or name != SMOOTHNESS]
    with staged(folder, names, force=force, who="--out") as staging:
        report.save(staging / NOISE)
        report.plot().savefig(staging / PICTURE, dpi=160)
        if curved is not None:
            curved.save(staging / SMOOTHNESS)
        (staging / SUMMARY).write_text(text + "\n", encoding="utf-8")
    if curved is None:
        (folder / SMOOTHNESS).unlink(missing_ok=True)  # of an earlier run, replaced as a whole
    return names


def _summary(
    options: dict[str, Any], report: "NoiseReport", curved: "SmoothnessReport | None", advice: "Advice"
) -> dict[str, Any]:
    from signscope._version import __version__
    from signscope.measure.noise_report import flat
    from signscope.measure.storage import plain

    constants = None
    if curved is not None:
        names = ("maximum", "crossfit", "largest_eigenvalue", "trace", "diagonal_l1", "density")
        constants = {name: getattr(curved, name) for name in names}
        constants["along_step"] = curved.direction.lipschitz_product
    return {
        "schema": 1,
        "signscope": __version__,
        "command": "measure",
        "options": options,
        "noise": plain({row.name: flat(row) for row in report.all_rows()}),
        "batches": {"used": report.num_batches, "refused": report.num_refused, "size": report.batch_size},
        "smoothness": plain(constants),
        "verdict": {"text": advice.verdict, "reasons": list(advice.reasons)},
        "advice": advice.summary(),
    }
