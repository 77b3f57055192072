"""All bounds side by side: at a number of gradient calls, or the calls they need for an accuracy."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope.bounds.constants import Constants, moderate
from signscope.bounds.euclidean import sgd, sgd_separable
from signscope.bounds.finite_sum import signsvrg, spider_sign, ssvr_fs
from signscope.bounds.lower import sgd_lower, signsgd_lower
from signscope.bounds.matrices import muon
from signscope.bounds.momentum import signum
from signscope.bounds.plain import signsgd
from signscope.bounds.plan import LowerBound, Plan
from signscope.bounds.recursive import ssvr
from signscope.bounds.symmetric import signsgd_symmetric

if TYPE_CHECKING:
    import pandas as pd

Bound = Plan | LowerBound
Make = Callable[[int], Bound]
MOST = 10**30
"""Where the search for a number of calls ends."""


@dataclass(frozen=True)
class Row:
    """One line of the overview.

    Attributes:
        name: Method and variant.
        kind: "upper" or "lower".
        bound: The bound; None where it does not apply.
        reason: Why it does not apply.
    """

    name: str
    kind: str
    bound: Bound | None
    reason: str = ""

    @property
    def calls(self) -> int:
        """Per-sample gradients the bound speaks of; 0 without a bound."""
        if self.bound is None:
            return 0
        return self.bound.gradient_calls if isinstance(self.bound, Plan) else self.bound.num_calls

    def record(self) -> dict[str, Any]:
        """The line as plain numbers and texts; None where the method has no such parameter."""
        found = {"name": self.name, "kind": self.kind}
        if self.bound is None:
            return {**found, "status": "not applicable", "reason": self.reason}
        plan = self.bound if isinstance(self.bound, Plan) else None
        return {
            **found,
            "status": "ok" if self.bound.holds else "condition not met",
            "norm": self.bound.norm,
            "value": self.bound.value,
            "calls": self.calls,
            "num_steps": plan and plan.num_steps,
            "lr": plan and plan.lr,
            "batch_size": plan and plan.batch_size,
            "beta": plan and plan.beta,
            "init_batch": plan and plan.init_batch,
            "period": plan and plan.period,
            "leading": plan and plan.leading,
            "conditions": [str(c) for c in self.bound.conditions],
            "equation": self.bound.equation,
        }


@dataclass(frozen=True)
class Overview:
    """Every bound for one problem.

    Attributes:
        constants: Of the problem.
        rows: Upper bounds, then lower bounds.
        num_calls: Gradient calls N asked for, or None.
        target: Accuracy asked for, or None.
    """

    constants: Constants
    rows: tuple[Row, ...]
    num_calls: int | None
    target: float | None

    def summary(self) -> dict[str, Any]:
        """Plain numbers and texts, ready for JSON."""
        derived = {
            "ceiling": self.constants.ceiling,
            "noise_density": self.constants.noise_density,
            "curvature_density": self.constants.curvature_density,
        }
        return {
            "constants": {**asdict(self.constants), **derived},
            "num_calls": self.num_calls,
            "target": self.target,
            "bounds": [row.record() for row in self.rows],
        }

    def to_frame(self) -> "pd.DataFrame":
        """One line per bound."""
        import pandas as pd

        records = [row.record() for row in self.rows]
        return pd.DataFrame([{**r, "conditions": "; ".join(r.get("conditions", []))} for r in records])


def compare_bounds(
    constants: Constants,
    *,
    num_calls: int | None = None,
    target: float | None = None,
    num_components: int | None = None,
) -> Overview:
    r"""Every bound at ``num_calls`` gradient calls, or the calls with which it falls to ``target``.

    Args:
        constants: Of the problem; with ``dim`` for SGD, from `Constants.separable` for its sharper bound.
        num_calls: Gradient calls N; the largest run that fits is planned.
        target: Accuracy epsilon of the mean norm of the gradient. Give one of the two.
        num_components: Components m of a finite sum, for the methods with full gradients.

    Returns:
        The overview. A method that lacks a constant is a row with the reason. For a lower bound, the calls are those
        up to which it stays above ``target``.

    Raises:
        InvalidInput: Not exactly one of ``num_calls`` and ``target``, or a number out of range.
    """
    if (num_calls is None) == (target is None):
        raise InvalidInput("compare_bounds: give either `num_calls` or `target`.")
    if num_calls is not None:
        num_calls = checks.integer("compare_bounds", "num_calls", num_calls, minimum=1)
        if num_calls > MOST:
            raise InvalidInput(f"compare_bounds: `num_calls` must be {MOST:.0e} at most.")
    if target is not None:
        target = moderate("compare_bounds", "target", target)
    if num_components is not None:
        num_components = checks.integer("compare_bounds", "num_components", num_components, minimum=1)
    rows = tuple(
        _row(name, kind, make, num_calls=num_calls, target=target)
        for name, kind, make in _catalogue(constants, num_components)
    )
    return Overview(constants, rows, num_calls, target)


def _catalogue(c: Constants, components: int | None) -> list[tuple[str, str, Make]]:
    """Names, kinds, and bounds as functions of calls (of steps where the name ends in "steps")."""

    def finite(make: Callable[..., Plan]) -> Make:
        def made(steps: int) -> Plan:
            if components is None:
                raise Unsupported("needs the number of components of a finite sum")
            return make(c, num_steps=steps, num_components=components)

        return made

    return [
        ("signsgd", "upper", lambda n: signsgd(c, num_calls=n)),
        ("signsgd, batch 1", "upper", lambda n: signsgd_symmetric(c, num_calls=n)),
        ("signum", "upper", lambda t: signum(c, num_steps=t)),
        ("ssvr", "upper", lambda t: ssvr(c, num_steps=t)),
        ("ssvr_fs", "upper", finite(ssvr_fs)),
        ("spider_sign", "upper", finite(spider_sign)),
        ("signsvrg", "upper", finite(signsvrg)),
        ("sgd", "upper", lambda n: sgd(c, num_calls=n)),
        ("sgd, separable", "upper", lambda n: sgd_separable(c, num_calls=n)),
        ("muon", "upper", lambda n: muon(c, num_calls=n)),
        ("signsgd", "lower", lambda n: signsgd_lower(c, num_calls=n)),
        ("sgd", "lower", lambda n: sgd_lower(c, num_calls=n)),
        ("muon", "lower", lambda n: signsgd_lower(c, num_calls=n, norm="nuclear")),
    ]


def _row(name: str, kind: str, make: Make, *, num_calls: int | None, target: float | None) -> Row:
    try:
        bound = _within(make, num_calls) if num_calls is not None else _reaching(make, kind, target or 0.0)
    except (InvalidInput, Unsupported) as error:
        return Row(name, kind, None, str(error))
    return Row(name, kind, bound)


def _within(make: Make, calls: int) -> Bound:
    """The longest run of at most ``calls`` gradient calls."""
    if not isinstance(make(1), Plan):
        return make(calls)

    def fits(size: int) -> bool:
        return Row("", "", make(size)).calls <= calls

    if fits(calls):
        return make(calls)
    if not fits(1):
        raise Unsupported(f"needs more than {calls} gradient calls for its first step")
    return make(_last(fits, 1, calls))


def _reaching(make: Make, kind: str, target: float) -> Bound:
    """The shortest run whose bound is at most ``target``; for a lower bound the longest that stays above."""
    if not make(1).value > target:
        return make(1)
    high = 2
    while make(high).value > target:
        high *= 2
        if high > MOST:
            raise Unsupported(f"does not reach {target:g} within {MOST:.0e} calls")
    last = _last(lambda size: make(size).value > target, high // 2, high)
    return make(last if kind == "lower" else last + 1)


def _last(true: Callable[[int], bool], low: int, high: int) -> int:
    """A size at which ``true`` holds and at the next does not, between one where it does and one where it does not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if true(middle) else (low, middle)
    return low
