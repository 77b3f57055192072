"""What a schedule does over a run: its rates, the largest of them, and the least of its final stretch."""

import numpy as np
import torch
from torch import Tensor

from signscope._core.errors import Unsupported
from signscope.schedules import Schedule

FINAL = 0.1  # of the run: what happens only before its last tenth says nothing about where it goes
MOST = 20_000  # steps of the solver of equation (4.1)
_LOOKS = 1025
_BEFORE = 1 - 1e-12  # a rate that jumps at a time holds up to just before it


def check_kinks(who: str, schedule: Schedule, end: float, *, most: int = MOST) -> None:
    """Refuse at once a schedule with more kinks than the solver takes steps: it would stop on the way.

    Raises:
        Unsupported: Between time 0 and ``end`` there are more than ``most``.
    """
    count = sum(0 < t < end for t in schedule.breakpoints)
    if count >= most:
        raise Unsupported(
            f"{who}: `lr` has {count + 1:,} pieces up to time {end:g} and the solver takes at most {most:,} steps, one "
            "or more a piece. Give `lr` as a smooth function of time or with fewer pieces; simulate takes any number, "
            "and so does method='exact' of sgd."
        )


def peak_rate(schedule: Schedule, end: float) -> float:
    """Largest rate from time 0 to ``end`` (steps/dim), on a grid and on both sides of every kink."""
    return float(_rates(schedule, 0.0, end).max())


def final_rate(schedule: Schedule, end: float) -> float:
    """Least rate over the last tenth of a run up to ``end``: one that stays beyond a limit there ends beyond it."""
    return float(_rates(schedule, (1 - FINAL) * end, end).min())


def spaced(schedule: Schedule, end: float) -> tuple[np.ndarray, float]:
    """Rates in the middles of equal stretches that fill the run, and the length of a stretch (steps/dim)."""
    length = end / _LOOKS
    middles = length * (torch.arange(_LOOKS, dtype=torch.float64) + 0.5)
    return torch.as_tensor(schedule(middles)).detach().numpy(), length


def _rates(schedule: Schedule, begin: float, end: float) -> Tensor:
    kinks = [t for t in schedule.breakpoints if begin < t < end]
    sides = torch.tensor([side for t in kinks for side in (t * _BEFORE, t)], dtype=torch.float64)
    times = torch.cat([torch.linspace(begin, end * _BEFORE, _LOOKS, dtype=torch.float64), sides])
    return torch.as_tensor(schedule(times)).detach()
