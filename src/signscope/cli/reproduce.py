"""``signscope reproduce NAME``: a published figure or table again, with a verdict."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope.cli.door import FAILED, guarded, say

if TYPE_CHECKING:
    from signscope.reproduce import Report

_RUN, _OUTPUT = "Run", "Output"
RUNS = "runs.csv"  # what an experiment of many runs keeps of those that are done

Name = Annotated[str | None, typer.Argument(help="Which one; without a name, the list.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the results (default: results/NAME).", rich_help_panel=_OUTPUT)
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace earlier results instead of continuing.", rich_help_panel=_OUTPUT)
]
Json = Annotated[bool, typer.Option("--json", help="Print report.json and nothing else.", rich_help_panel=_OUTPUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_OUTPUT)]
Size = Annotated[
    str, typer.Option(help="full, small (seconds, to see that it runs) or, of some, published.", rich_help_panel=_RUN)
]
Seed = Annotated[int, typer.Option(help="First seed.", rich_help_panel=_RUN)]
Data = Annotated[
    str | None,
    typer.Option(
        help="digits, shakespeare, cifar10:PATH, fashion_mnist:PATH, imdb:PATH, separated by commas; for a GPT also "
        "words, text:FILE, words:FILE, tokens:FILE.",
        rich_help_panel=_RUN,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Training: cnn, resnet20, resnet18, mlp, characters; a GPT: gpt-tiny, gpt-small, gpt2.",
        rich_help_panel=_RUN,
    ),
]
Augment = Annotated[
    bool, typer.Option("--augment", help="Training: crop and mirror images at random.", rich_help_panel=_RUN)
]
Device = Annotated[str | None, typer.Option(help="Training: cpu, cuda, ...", rich_help_panel=_RUN)]
Epochs = Annotated[float | None, typer.Option(help="Training: budget in passes.", rich_help_panel=_RUN)]
BatchSize = Annotated[int | None, typer.Option(help="Training: rows per mini-batch.", rich_help_panel=_RUN)]
MicroBatch = Annotated[int | None, typer.Option(help="Training: rows evaluated at once.", rich_help_panel=_RUN)]
Precision = Annotated[str | None, typer.Option(help="Training: float32 or bfloat16.", rich_help_panel=_RUN)]
Compile = Annotated[bool, typer.Option("--compile", help="Training: use torch.compile.", rich_help_panel=_RUN)]
Dim = Annotated[int | None, typer.Option(help="Risk curves: number of coordinates.", rich_help_panel=_RUN)]
NumRuns = Annotated[int | None, typer.Option(help="Risk curves: simulated runs.", rich_help_panel=_RUN)]
NumSeeds = Annotated[int | None, typer.Option(help="Training: seeds of every configuration.", rich_help_panel=_RUN)]

NumNodes = Annotated[
    list[int] | None, typer.Option(help="Nodes of the distributed experiment; repeat it.", rich_help_panel=_RUN)
]
Alpha = Annotated[
    float | None, typer.Option(help="Nodes: skew of their labels (Dirichlet; small is skewed).", rich_help_panel=_RUN)
]
Processes = Annotated[
    bool, typer.Option("--processes", help="Nodes: repeat every run on real processes.", rich_help_panel=_RUN)
]


def reproduce_figure(
    name: Name = None,
    size: Size = "full",
    data: Data = None,
    model: Model = None,
    augment: Augment = False,
    device: Device = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    micro_batch: MicroBatch = None,
    precision: Precision = None,
    compiled: Compile = False,
    num_seeds: NumSeeds = None,
    num_nodes: NumNodes = None,
    alpha: Alpha = None,
    processes: Processes = False,
    dim: Dim = None,
    num_runs: NumRuns = None,
    seed: Seed = 0,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a published figure or table again and say whether it matched.

    A training experiment that was stopped continues where it was when called again with the same folder; under
    torchrun its processes share every mini-batch (the tao2026 ones).
    """
    with guarded("reproduce", debug=debug):
        from signscope.reproduce import run_figure

        if name is None:
            _list(as_json=as_json)
            return
        typed = {
            "data": data,
            "model": model,
            "augment": augment or None,
            "device": device,
            "epochs": epochs,
            "batch_size": batch_size,
            "micro_batch": micro_batch,
            "precision": precision,
            "compiled": compiled or None,
            "num_seeds": num_seeds,
            "num_nodes": num_nodes or None,
            "alpha": alpha,
            "processes": processes or None,
            "dim": dim,
            "num_runs": num_runs,
        }
        options: dict[str, Any] = {key: value for key, value in typed.items() if value is not None}
        folder = Path("results") / name if out is None else out
        try:
            report = run_figure(name, out=folder, size=size, seed=seed, force=force, progress=True, **options)
        except KeyboardInterrupt:
            if not (folder / RUNS).exists():
                raise
            say(f"signscope reproduce: stopped; the runs in {folder / RUNS} are kept, and the same command continues.")
            raise typer.Exit(FAILED) from None
        if os.environ.get("RANK", "0") == "0":  # under torchrun the first process speaks
            _show(report, as_json=as_json)


def _list(*, as_json: bool) -> None:
    from signscope.reproduce import FIGURES

    if as_json:
        entries = [{"name": f.name, "paper": f.paper, "title": f.title} for f in FIGURES.values()]
        typer.echo(json.dumps(entries, indent=2))
        return
    for figure in FIGURES.values():
        typer.echo(f"{figure.name}  ({figure.paper}, {figure.duration})  {figure.title}")


def _show(report: "Report", *, as_json: bool) -> None:
    """The claims with their numbers, then the verdict."""
    if as_json:
        typer.echo(json.dumps(report.summary(), indent=2, allow_nan=False, ensure_ascii=False))
        return
    from signscope.cli.report import aligned

    columns = [c for c in report.table.columns if c != "claim"]
    rows = [[str(row["claim"]), *(_cell(row[c]) for c in columns)] for row in report.table.to_dict("records")]
    width = max(len(row[0]) for row in rows)
    for line in aligned(["claim".ljust(width), *columns], [[row[0].ljust(width), *row[1:]] for row in rows]):
        typer.echo(line)
    typer.echo(f"\n{report.name}: {report.verdict}. {report.text[:1].upper()}{report.text[1:]}")
    if report.files:
        say(f"wrote {report.files[0].parent}: {', '.join(path.name for path in report.files)}")
    if sys.stderr.isatty():
        say(f"{report.seconds:.0f} s")


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "-" if value != value else f"{value:.3g}"
