"""The list of what can be reproduced; the code of a figure is imported when it runs."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.reproduce.compagnoni2024 import FIGURES as _COMPAGNONI2024
from signscope.reproduce.distributed import FIGURES as _DISTRIBUTED
from signscope.reproduce.entry import Figure
from signscope.reproduce.report import Report
from signscope.reproduce.tao2026 import FIGURES as _TAO2026
from signscope.reproduce.xiao2024 import FIGURES as _XIAO2024

_JIANG2024 = (
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
FIGURES = {figure.name: figure for figure in (*_XIAO2024, *_JIANG2024, *_DISTRIBUTED, *_COMPAGNONI2024, *_TAO2026)}


def run_figure(name: str, *, out: str | Path | None = None, **options: Any) -> Report:
    """Reproduces one figure.

    Args:
        name: Key of `FIGURES`.
        out: Folder for its files; None writes none.
        **options: Options of that figure, such as ``size``, ``seed``, ``force`` and ``progress``; unknown ones are
            refused.

    Raises:
        InvalidInput: Unknown name, an option the figure does not have, or another process is writing to the folder.
    """
    function = FIGURES[checks.one_of("reproduce", "NAME", name, FIGURES)].load()
    known = [option for option in inspect.signature(function).parameters if option != "out"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise InvalidInput(f"reproduce: {name} has no option `{unknown[0]}`; its options are {', '.join(known)}.")
    with _held(out):
        return function(out, **options)


@contextmanager
def _held(out: str | Path | None) -> Iterator[None]:
    """The folder for this process alone; of processes that compute together, for the one that writes."""
    from signscope.comparison.one_writer import one_writer
    from signscope.reproduce.machine import is_first

    if out is None or not is_first():
        yield
        return
    with one_writer(out, who="reproduce"):
        yield
