"""The ways a run can end, in one list that results, tables and tests share."""

from typing import Literal, get_args

Status = Literal["ok", "unstable", "diverged", "undefined", "interrupted", "inaccurate"]
STATUSES: tuple[str, ...] = get_args(Status)
"""ok: trust the numbers. unstable: the rate is beyond the stability limit. diverged: numbers left the finite
range. undefined: the quantity does not exist for this noise. interrupted: stopped early, what is done is kept.
inaccurate: computed, but outside the conditions under which the error is known to be small."""

FAILED: frozenset[str] = frozenset({"unstable", "diverged", "undefined"})
"""Statuses of a run that has no usable curve."""

Optimizer = Literal["sgd", "signsgd", "adam"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
"""Covered by every theory here, and compared when nothing else is asked for."""

Predicted = Literal["sgd", "signsgd", "adam", "signum"]
PREDICTED: tuple[str, ...] = get_args(Predicted)
"""Those with a risk equation in the limit of high dimension."""
