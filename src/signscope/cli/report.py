"""Results for readers: a table on a terminal, aligned text elsewhere, then the verdict and the checks."""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from signscope.comparison import Comparison, Entry

if TYPE_CHECKING:
    from rich.table import Table

Row = list[str]
_NONE = "-"


def show(comparison: Comparison) -> None:
    """Print a comparison, or a single curve in its form, to stdout."""
    header, rows = cells(comparison.entries)
    if on_terminal():
        _print_table(header, rows)
    else:
        for line in aligned(header, rows):
            typer.echo(line)
    for line in notes(comparison):
        typer.echo(line)


def on_terminal() -> bool:
    """Whether stdout is read by a person."""
    return sys.stdout.isatty()


def cells(entries: Sequence[Entry]) -> tuple[Row, list[Row]]:
    """Header and rows of the table, as text; columns that nobody fills are left out."""
    on_data = any(e.rows == "data" for e in entries)
    columns: dict[str, list[str]] = {"optimizer": [e.optimizer for e in entries]}
    if on_data:
        columns["rows"] = [e.rows for e in entries]
    columns |= {
        "lr": [_number(e.lr, 3) for e in entries],
        "step size": [_number(e.step_size, 3) for e in entries],
        "predicted": [_number(e.final_predicted) for e in entries],
        "simulated": [_with_error(e.final_simulated, e.final_stderr) for e in entries],
        "limit": [_number(e.limit, 3) for e in entries],
        "rate": [_number(e.rate, 3) for e in entries],
        "mean gap": [_percent(e.gap.mean) for e in entries],
        "worst": [_percent(e.gap.worst) for e in entries],
        "max z": [_NONE if math.isnan(e.gap.max_z) else f"{e.gap.max_z:.1f}" for e in entries],
    }
    if on_data:
        columns["Gaussian theory gap"] = [_percent(e.gaussian_gap.mean) for e in entries]
    columns["status"] = [e.status for e in entries]
    kept = [name for name, column in columns.items() if any(text != _NONE for text in column)]
    return kept, [[columns[name][i] for name in kept] for i in range(len(entries))]


def notes(comparison: Comparison) -> list[str]:
    """Messages, verdict and failed checks."""
    lines = [f"{_name(e)}: {e.message}" for e in comparison.entries if e.message]
    lines = ["", *lines] if lines else []
    lines += ["", comparison.verdict.text]
    failed = [a for a in comparison.assumptions if not a.ok]
    held = len(comparison.assumptions) - len(failed)
    lines += ["", f"{held} of {len(comparison.assumptions)} checks hold{':' if failed else '.'}"]
    return lines + [f"  not held: {a.name}: {a.text}" for a in failed]


def aligned(header: Row, rows: Sequence[Row]) -> list[str]:
    """Columns of text, numbers to the right."""
    table = [header, *rows]
    widths = [max(len(row[j]) for row in table) for j in range(len(header))]
    left = {j for j, name in enumerate(header) if _is_text(name)}
    lines: list[str] = []
    for row in table:
        fields = [c.ljust(widths[j]) if j in left else c.rjust(widths[j]) for j, c in enumerate(row)]
        lines.append("  ".join(fields).rstrip())
    return lines


def _print_table(header: Row, rows: Sequence[Row]) -> None:
    """One row per optimizer where that fits; else optimizers side by side, one block per kind of rows."""
    from rich.console import Console

    console = Console()
    needed = sum(max(len(row[j]) for row in (header, *rows)) + 2 for j in range(len(header)))
    if needed <= console.width:
        console.print(_drawn(header, rows))
        return
    kinds = [row[1] if header[1] == "rows" else "" for row in rows]
    for kind in dict.fromkeys(kinds):
        block = [row for row, k in zip(rows, kinds, strict=True) if k == kind]
        turned = [[name, *(row[j] for row in block)] for j, name in enumerate(header)]
        console.print(_drawn(turned[0], turned[1:]))


def _drawn(header: Row, rows: Sequence[Row]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in header:
        table.add_column(name, justify="left" if _is_text(name) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _is_text(name: str) -> bool:
    return name in ("optimizer", "rows", "status")


def _name(entry: Entry) -> str:
    return f"{entry.optimizer} ({entry.rows} rows)"


def _number(value: float, digits: int = 4) -> str:
    return _NONE if math.isnan(value) else f"{value:.{digits}g}"


def _percent(value: float) -> str:
    return _NONE if math.isnan(value) else f"{100 * value:.2g}%" if value < 10 else f"{value:.3g}x"


def _with_error(value: float, stderr: float) -> str:
    if math.isnan(value):
        return _NONE
    if not (math.isfinite(stderr) and stderr > 0):
        return f"{value:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:.{decimals}f} ± {stderr:.{decimals}f}" if decimals < 8 else f"{value:.4g} ± {stderr:.1e}"
