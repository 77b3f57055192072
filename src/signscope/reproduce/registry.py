"""The list of what can be reproduced; the code of a figure is imported when it runs."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.reproduce.report import Report


@dataclass(frozen=True)
class Figure:
    """One entry.

    Attributes:
        name: As on the command line.
        paper: Key in ``references.bib``.
        title: What it shows.
        duration: Of the full size, on one core.
        home: ``module:function`` in this room.
    """

    name: str
    paper: str
    title: str
    duration: str
    home: str

    def load(self) -> Callable[..., Report]:
        """The function behind the entry."""
        module, _, function = self.home.partition(":")
        return getattr(import_module(f"signscope.reproduce.{module}"), function)


FIGURES = {
    figure.name: figure
    for figure in (
        Figure(
            "rates-sign-methods",
            "jiang2024",
            "exponents of signSGD, Signum, SSVR, SSVR-FS, SPIDER-sign and SignSVRG with theoretical parameters",
            "1.5 minutes",
            "rates:rates_sign_methods",
        ),
        Figure(
            "jiang2024-training",
            "jiang2024",
            "seven optimizers in real training: rates swept, equal gradient calls; ablation of SSVR; a text task",
            "6 minutes",
            "training:jiang2024_training",
        ),
    )
}


def run_figure(name: str, *, out: str | Path | None = None, **options: Any) -> Report:
    """Reproduces one figure.

    Args:
        name: Key of `FIGURES`.
        out: Folder for its files; None writes none.
        **options: Options of that figure, such as ``size``, ``seed``, ``force`` and ``progress``; unknown ones are
            refused.

    Raises:
        InvalidInput: Unknown name, or an option the figure does not have.
    """
    function = FIGURES[checks.one_of("reproduce", "NAME", name, FIGURES)].load()
    known = [option for option in inspect.signature(function).parameters if option != "out"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise InvalidInput(f"reproduce: {name} has no option `{unknown[0]}`; its options are {', '.join(known)}.")
    return function(out, **options)
