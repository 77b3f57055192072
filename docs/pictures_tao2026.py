"""Pictures of the page on tao2026: every experiment at its full size; minutes each."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from signscope.reproduce.tao2026 import FIGURES


def experiment(name: str, path: Path) -> None:
    """The picture that ``signscope reproduce NAME`` writes."""
    run = next(figure.load() for figure in FIGURES if figure.name == name)
    with tempfile.TemporaryDirectory() as folder:
        report = run(folder)
        shutil.copyfile(next(file for file in report.files if file.suffix == ".png"), path)


PICTURES: dict[str, Callable[[Path], None]] = {figure.name: partial(experiment, figure.name) for figure in FIGURES}
