"""The run that is under way, in a file, so that a killed experiment does not even repeat the begun run."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from signscope.reproduce.job import Job, key_of

INTERVAL = 60.0  # seconds between two savings; shorter runs are never saved


def save(path: Path, job: Job, net: nn.Module, optimizer: torch.optim.Optimizer, rows: list[dict[str, Any]]) -> None:
    """Write network, optimizer and measurements; the file is replaced whole."""
    content = {
        "job": list(key_of(job)),
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rows": rows,
    }
    spare = path.with_suffix(".new")
    torch.save(content, spare)
    os.replace(spare, path)


def restore(
    path: Path | None, job: Job, net: nn.Module, optimizer: torch.optim.Optimizer, *, device: str
) -> list[dict[str, Any]]:
    """Put network and optimizer where ``job`` was left; the measurements so far, none if the file is of another run."""
    if path is None or not path.exists():
        return []
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return []  # a damaged file costs the begun run, nothing else
    if content["job"] != list(key_of(job)):
        return []
    net.load_state_dict(content["net"])
    optimizer.load_state_dict(content["optimizer"])
    return content["rows"]
