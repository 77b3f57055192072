"""Picture of the page on networks; minutes."""

import tempfile
from pathlib import Path

from signscope.reproduce import run_figure

NAME, SMALLER = "compagnoni2024-networks", 2


def networks(path: Path, folder: str | Path | None = None) -> None:
    """The picture of ``signscope reproduce compagnoni2024-networks`` at its default size, at half its resolution.

    Args:
        path: Where to write it.
        folder: Of an earlier run, whose finished runs are used; without it everything is computed, in minutes.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory() as spare:
        report = run_figure(NAME, out=spare if folder is None else folder)
        with Image.open(report.files[0]) as picture:
            size = (picture.width // SMALLER, picture.height // SMALLER)
            small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            small.quantize(128).save(path, optimize=True)
