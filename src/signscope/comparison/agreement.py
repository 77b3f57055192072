"""`gap`: how far a prediction is from a simulation, relative and in standard errors."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.curves import Curve

NORMAL_LIMIT = 4.5  # standard errors: reached by chance once in 150,000 normal draws
ALLOWANCE = 2.0  # times 1/dim, relative: what a limit of high dimension may be off at finite dim


@dataclass(frozen=True)
class Gap:
    """Distance of a prediction from a simulation over the recorded times t > 0.

    Attributes:
        mean: Mean of |prediction - simulation| / simulation.
        worst: Largest of these.
        signed: Mean of (prediction - simulation) / simulation: above 0 where the prediction is too high.
        max_z: Largest |prediction - simulation| in standard errors of the simulated mean; NaN without them.
        first_disagreement: First time, in the unit of the simulation, at which the two differ by more than 4.5
            standard errors plus 2/dim of the simulated value; None if there is none.

    A gap of curves without common finite values is NaN throughout.
    """

    mean: float
    worst: float
    signed: float
    max_z: float
    first_disagreement: float | None


def gap(prediction: Curve, simulation: Curve, *, dim: float | None = None) -> Gap:
    r"""Distance of ``prediction`` from ``simulation``, over the simulation's recorded times t > 0.

    $$ \text{mean} = \operatorname{avg}_t \frac{|p(t) - s(t)|}{s(t)}, \qquad
       \text{max\_z} = \max_t \frac{|p(t) - s(t)|}{\text{stderr}(t)} $$

    Args:
        prediction: The curve under test, interpolated linearly between its times.
        simulation: The mean over runs, with its standard error.
        dim: Number of coordinates; taken from the simulation's lr / step_size by default.

    Returns:
        A `Gap`, all relative numbers as fractions (0.01 is one per cent).

    Raises:
        InvalidInput: The curves have other units, show other quantities, or are swapped.

    Notes:
        Recorded times are equally spaced unless the caller chose others, so that the mean is an average over
        time. Where simulated times pass the end of the prediction by less than one step (a horizon that is not
        a whole number of steps) the end is used; beyond that they are left out.
    """
    for name in ("time_unit", "quantity"):
        ours, theirs = getattr(prediction, name), getattr(simulation, name)
        if ours != theirs:
            raise InvalidInput(f"gap: `prediction` has {name} {ours!r}, but `simulation` has {theirs!r}.")
    if prediction.num_runs > 0 and simulation.num_runs == 0 and simulation.stderr is None:
        raise InvalidInput(
            f"gap: `prediction` is a mean over {prediction.num_runs} runs and `simulation` has none; swap them: "
            "gap(prediction, simulation)."
        )
    dim = _dimension(simulation) if dim is None else checks.positive("gap", "dim", dim)
    time, expected, seen, stderr = _common(prediction, simulation, dim)
    if not len(time):
        return Gap(math.nan, math.nan, math.nan, math.nan, None)
    difference = expected - seen
    relative = difference / seen
    off = difference.abs() > NORMAL_LIMIT * stderr + ALLOWANCE / dim * seen
    first = float(time[off.int().argmax()]) if bool(off.any()) else None
    size = relative.abs()
    return Gap(float(size.mean()), float(size.max()), float(relative.mean()), _worst_z(difference, stderr), first)


def _dimension(simulation: Curve) -> float:
    ratio = simulation.lr / simulation.step_size if simulation.step_size else math.nan
    return ratio if math.isfinite(ratio) and ratio > 0 else math.inf


def _common(prediction: Curve, simulation: Curve, dim: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Times, prediction, simulation and standard error where both curves have a finite positive value."""
    time, seen = simulation.time, simulation.value
    begin, end = float(prediction.time[0]), float(prediction.time[-1])
    step = {"steps/dim": 1 / dim, "steps": 1.0}.get(simulation.time_unit, 0.0)
    keep = (time > 0) & (time >= begin) & (time <= end + step) & torch.isfinite(seen) & (seen > 0)
    time, seen = time[keep], seen[keep]
    expected = prediction.at(time.clamp(max=end)).detach()
    stderr = torch.full_like(seen, torch.nan) if simulation.stderr is None else simulation.stderr[keep]
    both = torch.isfinite(expected)
    return time[both], expected[both], seen[both], stderr[both]


def _worst_z(difference: Tensor, stderr: Tensor) -> float:
    usable = stderr > 0
    return float((difference[usable].abs() / stderr[usable]).max()) if bool(usable.any()) else math.nan
