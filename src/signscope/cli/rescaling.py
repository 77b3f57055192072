"""``signscope rescale`` and ``signscope translate``: hyperparameters for another batch size, or another optimizer."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from signscope._core.output import as_json
from signscope.cli import groups as g
from signscope.cli import options as o

if TYPE_CHECKING:
    from signscope.comparison.translation import Rescaled, Translation

_NAMES = "sgd, signsgd, signum, rmsprop, rmspropw, adam or adamw."


def _option(*flags: str, text: str, kind: Any = float, panel: str = "Run") -> Any:
    return Annotated[kind | None, typer.Option(*flags, help=text, rich_help_panel=panel, show_default=False)]


_COMMON: g.Group = {
    "lr": (_option("--lr", text="Learning rate, as in torch."), None),
    "weight_decay": (_option("--weight-decay", text="Decoupled decay (default: 0)."), None),
    "betas": (_option("--betas", text="Adam's two averages (default 0.9,0.999), RMSprop: the second.", kind=str), None),
    "momentum": (_option("--momentum", text="Of Signum (default: 0.9)."), None),
    "signal_to_noise": (
        _option("--snr", text="Measured |gradient| over noise std of a typical coordinate of a batch; without it the "
                "regime is assumed."), None,
    ),
    "report": (_option("--report", text="Instead: JSON file of a NoiseReport (`signscope measure`).", kind=str), None),
}  # fmt: skip
_RESCALE: g.Group = {
    "optimizer": (_option("--optimizer", text=_NAMES, kind=str), None),
    **_COMMON,
    "eps": (_option("--eps", text="Of Adam and RMSprop (default: 1e-8)."), None),
    "batch_size": (_option("--batch", text="Samples per step now."), None),
    "to_batch_size": (_option("--to-batch", text="Samples per step wanted."), None),
    "keep_memory": (
        Annotated[
            bool,
            typer.Option("--keep-memory", help="Signum: lr and 1 - momentum linearly.", rich_help_panel="Run"),
        ],
        False,
    ),
}
_TRANSLATE: g.Group = {
    "from_optimizer": (_option("--from", text=_NAMES, kind=str), None),
    "to": (_option("--to", text=_NAMES, kind=str), None),
    **_COMMON,
    "noise": (_option("--noise-std", text="From or to SGD: noise std of a coordinate of a batch gradient."), None),
    "batch_size": (_option("--batch", text="Samples per step, where --report was measured at another size."), None),
    "at": (
        Annotated[
            str, typer.Option("--at", help="loss (equal in the long run) or slope (per step).", rich_help_panel="Run")
        ],
        "loss",
    ),
}
_Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel="Output")
]
_OUTPUT: g.Group = {"as_json": (_Json, False), "debug": (o.Debug, False)}


@g.takes("rescale", _RESCALE, _OUTPUT)
def rescale_batch(ctx: typer.Context) -> None:
    """Hyperparameters that keep the loss as a function of samples seen at another batch size.

    Prints the rule, the regime in which it is valid, whether that was measured, and what goes wrong outside.
    """
    from signscope.comparison.translation import rescale

    options = _given(ctx, "rescale", {"optimizer": "--optimizer", "lr": "--lr", "batch_size": "--batch",
                                      "to_batch_size": "--to-batch"})  # fmt: skip
    report = options.pop("report", None)
    _answer(ctx, "rescale", options, rescale(options.pop("optimizer"), **_measured(options, report)))


@g.takes("translate", _TRANSLATE, _OUTPUT)
def translate_optimizer(ctx: typer.Context) -> None:
    """Learning rate and decay of another optimizer, at equal long-run loss or equal progress per step.

    Prints the rule, the regime in which it is valid, whether that was measured, and what goes wrong outside.
    """
    from signscope._core.errors import InvalidInput
    from signscope.comparison.translation import translate

    options = _given(ctx, "translate", {"from_optimizer": "--from", "to": "--to", "lr": "--lr"})
    path = options.pop("report", None)
    arguments = _measured(options, path)
    if path is not None:
        if "noise" in arguments:
            raise InvalidInput("--report and --noise-std exclude one another; leave one out.")
        arguments["noise"] = arguments["signal_to_noise"]
    _answer(ctx, "translate", options, translate(arguments.pop("from_optimizer"), **arguments))


def _given(ctx: typer.Context, command: str, needed: dict[str, str]) -> dict[str, Any]:
    """What was typed; names of numbers as the functions take them."""
    from signscope._core.errors import InvalidInput
    from signscope.cli.settings import pair

    found = {n: v for n, v in ctx.params.items() if v is not None and n not in ("as_json", "debug")}
    for name, flag in needed.items():
        if name not in found:
            raise InvalidInput(f"{flag} is needed; see `signscope {command} --help`.")
    if "betas" in found:
        found["betas"] = tuple(pair("betas", found["betas"]))
    return found


def _measured(options: dict[str, Any], path: str | None) -> dict[str, Any]:
    """The function's arguments, with the report in the place of its file."""
    from signscope._core.errors import InvalidInput

    if path is None:
        return dict(options)
    if "signal_to_noise" in options:
        raise InvalidInput("--snr and --report exclude one another; leave one out.")
    from signscope.measure.noise_report import NoiseReport

    return {**options, "signal_to_noise": NoiseReport.load(path)}


def _answer(ctx: typer.Context, command: str, options: dict[str, Any], result: "Rescaled | Translation") -> None:
    from signscope._version import __version__

    if ctx.params["as_json"]:
        kept = {name: list(v) if isinstance(v, tuple) else v for name, v in options.items()}
        content = {"schema": 1, "signscope": __version__, "command": command, "options": kept}
        typer.echo(as_json({**content, **result.summary()}))
    else:
        typer.echo(str(result))
