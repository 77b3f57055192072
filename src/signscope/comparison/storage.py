"""The three files of a comparison."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signscope._core import output
from signscope.comparison.summary import FILES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DPI = 160


def check_output(folder: str | os.PathLike[str], *, force: bool, who: str) -> Path:
    """The folder, after finding out that a comparison may and can be saved there; call it before a long run.

    Raises:
        InvalidInput: A result is already there and ``force`` is off, or the place cannot be written.
    """
    return output.check_output(folder, FILES, force=force, who=who)


def save_results(
    folder: str | os.PathLike[str], *, summary: dict[str, Any], curves: "pd.DataFrame", figure: "Figure", force: bool
) -> Path:
    """Write the three files of a result; they appear together at the end, ``summary.json`` last.

    Raises:
        InvalidInput: See `check_output`.
    """
    with output.staged(folder, FILES, force=force, who="save") as staging:
        figure.savefig(staging / "risk.png", dpi=DPI)
        curves.to_csv(staging / "curves.csv", index=False)
        (staging / "summary.json").write_text(output.as_json(summary) + "\n", encoding="utf-8")
    return Path(folder)
