"""`check`: what the theory assumes, measured on one problem before anything is run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.status import OPTIMIZERS, PREDICTED
from signscope._version import __version__
from signscope.comparison.assumption import Assumption, as_records
from signscope.comparison.conditions import examine
from signscope.comparison.threads import fitting_threads
from signscope.problems import LeastSquares, as_problem

if TYPE_CHECKING:
    import pandas as pd

WHO = "check"
SCHEMA = 1
SHOWN = 3  # failed checks named in the sentence


@dataclass(frozen=True, eq=False)
class Examination:
    """What `check` found.

    Attributes:
        problem: The problem.
        assumptions: The conditions in order: name, value, threshold, ok, text, advice.
        options: Resolved options, ready for JSON.
    """

    problem: LeastSquares
    assumptions: tuple[Assumption, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every condition holds."""
        return not self.failed

    @property
    def failed(self) -> tuple[Assumption, ...]:
        """The conditions that do not hold."""
        return tuple(a for a in self.assumptions if not a.ok)

    @property
    def text(self) -> str:
        """The verdict, one sentence."""
        total, failed = len(self.assumptions), self.failed
        if not failed:
            return f"All {total} checks hold: the predictions apply to this problem."
        names = ", ".join(a.name for a in failed[:SHOWN])
        names += f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        verb = "does" if len(failed) == 1 else "do"
        return (
            f"{len(failed)} of {total} checks {verb} not hold ({names}): compare the predictions with a simulation "
            "before relying on them."
        )

    @property
    def table(self) -> "pd.DataFrame":
        """One row per condition: name, value, threshold, ok, text, advice."""
        import pandas as pd

        return pd.DataFrame(as_records(self.assumptions))

    def summary(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        problem = self.problem
        return {
            "schema": SCHEMA,
            "signscope": __version__,
            "command": WHO,
            "options": {"problem": "python", **self.options},
            "problem": {
                "dim": problem.dim,
                "num_rows": None if problem.rows is None else problem.rows.num_rows,
                "dropped_columns": list(problem.dropped_columns),
                "noise": problem.noise.describe(),
            },
            "verdict": {"ok": self.ok, "text": self.text},
            "assumptions": as_records(self.assumptions),
        }


def check(
    problem: LeastSquares,
    *,
    optimizers: str | Sequence[str] = OPTIMIZERS,
    lr: Mapping[str, float | None] | None = None,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Examination:
    """Measure what the predictions assume of ``problem``, without running anything.

    Args:
        problem: Least-squares problem.
        optimizers: Names out of sgd, signsgd, adam, signum; each has conditions of its own.
        lr: Rates by optimizer. With a rate for SGD it is set against the stability limit, on data that of the rows;
            without one the limit is reported.
        batch_size: Rows per update.
        betas: Adam's averages; the first is Signum's momentum.

    Returns:
        An `Examination`: ``.text`` is the verdict, ``.table`` the conditions with value, threshold and advice.

    Raises:
        InvalidInput: An argument is out of range.

    Notes:
        Two eigendecompositions, which a prediction needs as well; beyond 1500 dimensions products alone. On data SGD's
        stability limit takes most of the time, 10-40 products of n d^2 operations.
    """
    problem = as_problem(WHO, problem)
    names = [optimizers] if isinstance(optimizers, str) else list(optimizers)
    for name in names:
        checks.one_of(WHO, "optimizers", name, PREDICTED)
    if not names or len(set(names)) < len(names):
        raise InvalidInput(f"{WHO}: `optimizers` must name each optimizer once, and at least one; got {names}.")
    rates = _rates(lr, names)
    size = checks.integer(WHO, "batch_size", batch_size, minimum=1)
    averages = checks.betas(WHO, betas)
    with fitting_threads(problem):
        found = examine(problem, rates, batch_size=size, betas=averages)
    options = {"optimizers": names, "lr": rates, "batch_size": size, "betas": list(averages)}
    return Examination(problem, tuple(found), options)


def _rates(lr: Any, names: Sequence[str]) -> dict[str, float | None]:
    """A rate or None for every optimizer."""
    given = {} if lr is None else lr
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{WHO}: `lr` must give rates by optimizer, such as {{'sgd': 0.5}}; got {lr!r}.")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidInput(f"{WHO}: `lr` names {unknown[0]!r}, which is not checked; the optimizers are {list(names)}.")
    return {n: None if given.get(n) is None else checks.positive(WHO, f"lr[{n!r}]", given[n]) for n in names}
