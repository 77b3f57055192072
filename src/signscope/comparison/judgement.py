"""The verdict of a comparison: who wins, by what factor, with what uncertainty."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from signscope.comparison.conditions import Assumption
from signscope.comparison.entries import Entry

CLEAR = 2.0  # standard errors between the first and the second
SHOWN = 3  # broken assumptions named in the sentence


@dataclass(frozen=True)
class Verdict:
    """Who wins at the horizon.

    Attributes:
        winner: Optimizer with the lowest simulated risk, or None where the first two are within 2 standard errors
            (or fewer than one optimizer reached the horizon).
        factor: Risk of the runner-up over the lowest risk; NaN without a runner-up.
        factor_stderr: Its standard error.
        z: Difference of the two risks in standard errors.
        text: One sentence.
    """

    winner: str | None
    factor: float
    factor_stderr: float
    z: float
    text: str


def judge(
    entries: Sequence[Entry], assumptions: Sequence[Assumption], *, horizon: float, given: Collection[str] = ()
) -> Verdict:
    """The verdict over ``entries``: on the data set's own rows if there are any.

    ``given`` names the optimizers whose rates were given; those of the others were searched for.
    """
    rows = "data" if any(e.rows == "data" for e in entries) else "gaussian"
    shown = [e for e in entries if e.rows == rows]
    usable = sorted((e for e in shown if _counts(e)), key=lambda e: e.final_simulated)
    where = "the data's own rows" if rows == "data" else "Gaussian rows"
    ending = _left_out(shown, usable) + _assumptions(assumptions)
    if not usable:
        reasons = ", ".join(f"{e.optimizer} {e.status}" for e in shown)
        return Verdict(None, math.nan, math.nan, math.nan, f"No optimizer reached the horizon on {where}: {reasons}.")
    if len(usable) == 1:
        return _alone(usable[0], where, horizon, ending)
    return _race(usable, where, horizon, _unlike(usable, given) + ending)


def _counts(entry: Entry) -> bool:
    final = entry.final_simulated
    return math.isfinite(final) and final > 0 and entry.status in ("ok", "inaccurate")


def _alone(entry: Entry, where: str, horizon: float, ending: str) -> Verdict:
    text = (
        f"{entry.optimizer} is the only one with a result on {where}: excess risk {entry.final_simulated:.3g} after "
        f"{horizon:g} steps/dim{ending}"
    )
    return Verdict(entry.optimizer, math.nan, math.nan, math.nan, text)


def _race(usable: Sequence[Entry], where: str, horizon: float, ending: str) -> Verdict:
    best, second = usable[0], usable[1]
    a, b = best.final_simulated, second.final_simulated
    factor = b / a
    spread = math.hypot(best.final_stderr / a, second.final_stderr / b)
    distance = math.hypot(best.final_stderr, second.final_stderr)
    z = (b - a) / distance if distance > 0 else math.nan
    stated = f"{_factor(factor, factor * spread)} (z = {z:.1f})" if math.isfinite(z) else f"{factor:.3g} (no error bar)"
    if z > CLEAR:
        text = (
            f"{best.optimizer} wins on {where}: after {horizon:g} steps/dim its excess risk {a:.3g} is lower than "
            f"{second.optimizer}'s by a factor of {stated}{ending}"
        )
        return Verdict(best.optimizer, factor, factor * spread, z, text)
    text = (
        f"No clear winner on {where}: after {horizon:g} steps/dim {best.optimizer} ({a:.3g}) and {second.optimizer} "
        f"({b:.3g}) differ by a factor of {stated}, within {CLEAR:g} standard errors{ending}"
    )
    return Verdict(None, factor, factor * spread, z, text)


def _factor(value: float, stderr: float) -> str:
    """``1.34 ± 0.02``: the error to one or two digits, the value to as many decimals."""
    if not (math.isfinite(stderr) and stderr > 0):
        return f"{value:.3g}"
    decimals = max(0, 1 - math.floor(math.log10(stderr))) if stderr < 10 else 0
    decimals = min(decimals, 4)
    return f"{value:.{decimals}f} ± {stderr:.{decimals}f}"


def _unlike(usable: Sequence[Entry], given: Collection[str]) -> str:
    """That a rate that was given is set against the best rate of another optimizer."""
    names = {
        is_given: ", ".join(e.optimizer for e in usable if (e.optimizer in given) == is_given)
        for is_given in (True, False)
    }
    return f"; the rate was given for {names[True]} and tuned for {names[False]}" if all(names.values()) else ""


def _left_out(shown: Sequence[Entry], usable: Sequence[Entry]) -> str:
    """``; sgd is undefined`` for those without a result."""
    return "".join(f"; {e.optimizer} is {e.status}" for e in shown if e not in usable)


def _assumptions(assumptions: Sequence[Assumption]) -> str:
    broken = [a.name for a in assumptions if not a.ok]
    if not broken:
        return "; all assumptions checked hold."
    names = ", ".join(broken[:SHOWN]) + (f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else "")
    verb = "does" if len(broken) == 1 else "do"
    return f"; {len(broken)} of {len(assumptions)} checks {verb} not hold ({names})."
