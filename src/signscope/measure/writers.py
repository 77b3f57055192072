"""Where the samples of a run go: a CSV file, a JSON file, TensorBoard."""

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope.measure.storage import plain

CSV, JSON, EVENTS = "probe.csv", "probe.json", "tensorboard"
Existing = Literal["refuse", "append", "replace"]
Record = Mapping[str, Any]


class Files:
    """``probe.csv`` and ``probe.json`` of a folder, complete after every sample.

    Args:
        folder: The folder; made when missing.
        existing: What to do with earlier files: "refuse", "append" (go on after them) or "replace".
    """

    def __init__(self, folder: str | os.PathLike[str], *, existing: Existing) -> None:
        checks.one_of("Probe", "existing", existing, ("refuse", "append", "replace"))
        self.folder = Path(folder)
        there = (self.folder / JSON).exists() or (self.folder / CSV).exists()
        if there and existing == "refuse":
            raise InvalidInput(
                f"Probe: {self.folder} already holds samples. Use existing='append' to go on, or existing='replace'."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.earlier = self._read() if there and existing == "append" else []

    def write(self, records: Sequence[Record]) -> None:
        """All samples so far, each file in one piece."""
        columns = list(dict.fromkeys(name for record in records for name in record if name != "layers"))
        beside = self.folder / f".{CSV}.part"
        with beside.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
            table.writeheader()
            table.writerows(records)
        os.replace(beside, self.folder / CSV)
        beside = self.folder / f".{JSON}.part"
        beside.write_text(json.dumps(plain(list(records)), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(beside, self.folder / JSON)

    def _read(self) -> list[dict[str, Any]]:
        try:
            content = json.loads((self.folder / JSON).read_text(encoding="utf-8"))
            return [{name: _number(value) for name, value in record.items()} for record in content]
        except (OSError, ValueError, AttributeError) as error:
            raise InvalidInput(f"Probe: {self.folder / JSON} cannot be continued ({error}).") from None


class Events:
    """Scalars for TensorBoard, under ``signscope/``.

    Args:
        folder: Of the event files.

    Raises:
        Unsupported: The package tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise Unsupported(
                "Probe: TensorBoard needs the package tensorboard; install signscope[tensorboard] or leave it out."
            ) from None
        self.writer = SummaryWriter(str(folder))

    def write(self, record: Record) -> None:
        """One sample: totals, and the density of every layer."""
        for name, value in record.items():
            if name not in ("step", "layers") and isinstance(value, int | float) and math.isfinite(value):
                self.writer.add_scalar(f"signscope/{name}", value, record["step"])
        for layer, value in record.get("layers", {}).items():
            if math.isfinite(value):
                self.writer.add_scalar(f"signscope/density/{layer}", value, record["step"])
        self.writer.flush()

    def close(self) -> None:
        """End the event file."""
        self.writer.close()


def _number(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _number(inside) for name, inside in value.items()}
    return float(value) if value in ("nan", "inf", "-inf") else value
