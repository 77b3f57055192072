"""What determines a run on nodes, and finished runs in one CSV file."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from signscope.comparison.append_table import AppendTable, Rows

Key = tuple[str, ...]
COLUMNS: dict[str, type] = {
    "point": int,
    "moves": int,
    "bytes": float,
    "gradients": int,
    "train_loss": float,
    "test_accuracy": float,
    "status": str,
    "seconds": float,
}


@dataclass(frozen=True)
class NodeJob:
    """What determines a run; equal jobs give equal results.

    Attributes:
        data: Name of the data set.
        model: Network.
        nodes: Number of nodes.
        split: How rows are dealt out.
        alpha: Of the Dirichlet law of the split.
        rows: Rows per node.
        batch_size: Rows per node and gradient.
        method: Key of `CONTENDERS`.
        lr: First learning rate; it falls linearly to 0.
        steps: Moves.
        accumulate: Batches behind one local gradient.
        points: Measurements after the first.
        seed: Of initialisation, split and batches; shared by all methods.
    """

    data: str
    model: str
    nodes: int
    split: str
    alpha: float
    rows: int
    batch_size: int
    method: str
    lr: float
    steps: int
    accumulate: int
    points: int
    seed: int

    @property
    def period(self) -> int:
        """Batches in the rows of a node."""
        return self.rows // self.batch_size

    @property
    def marks(self) -> list[int]:
        """Moves at which is measured, from 0; the last interval may be longer."""
        return [*list(range(0, self.steps, self.interval))[: self.points], self.steps]

    @property
    def interval(self) -> int:
        """Moves between two measurements."""
        return max(1, self.steps // self.points)


class NodeStore:
    """All runs of a file, found by their job; a run that is not whole is computed again.

    Args:
        path: The file, created with the first run; None keeps the runs in memory.

    Raises:
        InvalidInput: The file is something else.
    """

    def __init__(self, path: Path | None) -> None:
        names = [field.name for field in fields(NodeJob)]
        steps, points = names.index("steps"), names.index("points")

        def whole(key: Key, rows: Rows) -> Rows:
            wanted = min(int(key[steps]), int(key[points])) + 1
            return rows[-wanted:] if [r["point"] for r in rows[-wanted:]] == list(range(wanted)) else []

        self._table = AppendTable(path, key=names, values=list(COLUMNS), parse=_parsed, whole=whole)

    def __contains__(self, job: NodeJob) -> bool:
        return _key(job) in self._table

    def rows(self, job: NodeJob) -> Rows:
        """Measurements of a finished run."""
        return self._table[_key(job)]

    def add(self, job: NodeJob, rows: Rows) -> None:
        """Keep a finished run, on disk before this returns."""
        self._table.add(_key(job), rows)


def _key(job: NodeJob) -> Key:
    return tuple(str(value) for value in asdict(job).values())


def _parsed(values: list[str]) -> dict[str, Any]:
    return {name: kind(value) for (name, kind), value in zip(COLUMNS.items(), values, strict=True)}
