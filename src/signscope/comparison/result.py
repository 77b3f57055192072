"""`Comparison`: everything a comparison found, and how it is saved."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signscope.comparison.conditions import Assumption
from signscope.comparison.entries import CurveSet, Entry, table_of
from signscope.comparison.judgement import Verdict
from signscope.comparison.storage import save_results
from signscope.comparison.summary import curves_frame, summary_of
from signscope.plots import Panel, plot_panels
from signscope.problems import LeastSquares

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TITLES = {"gaussian": "Gaussian rows", "data": "The data's own rows"}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predictions against simulations of several optimizers on one problem.

    Attributes:
        problem: The problem.
        entries: One per optimizer and kind of rows.
        predictions: The curves, by position or by name: ``predictions["sgd"]`` (the data's own rows if there are
            any), ``predictions["sgd", "gaussian"]``.
        simulations: The same for simulations; those that were not run are missing.
        verdict: Who wins, by what factor, in one sentence.
        assumptions: Conditions that were checked: name, value, ok, text.
        options: Resolved options, ready for JSON; ``"problem"`` is ``"python"`` where it was built in a program.
        command: What made it, for ``summary.json``.
    """

    problem: LeastSquares
    entries: tuple[Entry, ...]
    predictions: CurveSet
    simulations: CurveSet
    verdict: Verdict
    assumptions: tuple[Assumption, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    command: str = "compare"

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row per optimizer and kind of rows; gaps are fractions, lr is the theory's, step_size torch's.

        Columns: optimizer, rows, lr, step_size, final_predicted, final_simulated, final_stderr, limit, rate,
        gap_mean, gap_worst, gap_max_z, gap_gaussian_theory (mean gap of the Gaussian theory to the same
        simulation), status, method, message.
        """
        return table_of(self.entries)

    @property
    def interrupted(self) -> bool:
        """Whether a part was stopped by the keyboard."""
        return any(e.status == "interrupted" for e in self.entries)

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        return summary_of(self)

    def curves(self) -> "pd.DataFrame":
        """The content of ``curves.csv``: optimizer, kind, rows, time, value, stderr, low, high."""
        return curves_frame(self)

    def figure(self) -> "Figure":
        """The picture that is saved as ``risk.png``: one panel per kind of rows."""
        kinds = list(dict.fromkeys(e.rows for e in self.entries))
        return plot_panels([self._panel(rows, alone=len(kinds) == 1) for rows in kinds], title=self.title)

    @property
    def title(self) -> str:
        """What the problem is, in a few words."""
        if self.problem.rows is None:
            return f"{self.problem.dim} coordinates, label noise {self.problem.noise.spec}"
        name = Path(str(self.options.get("data") or "data")).stem
        return f"{name}: {self.problem.rows.num_rows} rows, {self.problem.dim} columns"

    def __repr__(self) -> str:
        """One line: the problem and the verdict."""
        return f"Comparison({self.title}: {self.verdict.text})"

    def save(self, folder: str | os.PathLike[str], force: bool = False) -> Path:
        """Write ``risk.png``, ``curves.csv`` and ``summary.json`` into ``folder``, all or none.

        Args:
            folder: Created with its parents if needed.
            force: Replace the files of an earlier result.

        Returns:
            The folder.

        Raises:
            InvalidInput: The folder holds a result and ``force`` is off, or it cannot be written.
        """
        return save_results(folder, summary=self.summary(), curves=self.curves(), figure=self.figure(), force=force)

    def _panel(self, rows: str, *, alone: bool) -> Panel:
        shown = [e for e in self.entries if e.rows == rows]
        beside = [e for e in shown if rows == "data" and e.method == "rows" and len(self.entries) > len(shown)]
        aside = [c for c in (self.predictions[e.optimizer, "gaussian"] for e in beside) if not c.failed]
        curves = [e.prediction for e in shown if e.prediction is not None and not e.prediction.failed]
        curves += [e.simulation for e in shown if e.simulation is not None]
        notes = [f"{e.optimizer}: {e.status}" for e in shown if e.status not in ("ok", "inaccurate")]
        return Panel(
            title="" if alone and rows == "gaussian" else TITLES[rows], curves=curves, aside=aside, notes=notes
        )
