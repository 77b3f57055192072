"""One curve, predicted or simulated, in the form of a comparison: so that it is shown and saved the same way."""

import math
from collections.abc import Mapping
from typing import Any

from signscope.comparison.conditions import assess
from signscope.comparison.entries import CurveSet, Entry
from signscope.comparison.judgement import Verdict
from signscope.comparison.result import Comparison
from signscope.comparison.steps import NO_GAP
from signscope.curves import Curve
from signscope.limits import limit
from signscope.problems import LeastSquares


def half(problem: LeastSquares, curve: Curve, *, options: Mapping[str, Any], at_bound: bool = False) -> Comparison:
    """A comparison that holds ``curve`` alone: what ``signscope predict`` and ``signscope simulate`` save.

    Args:
        problem: The problem.
        curve: A prediction (without runs) or a simulation.
        options: Resolved options of the run; ``batch_size`` and ``betas`` are read.
        at_bound: Whether the search for the rate ended at a bound.
    """
    simulated = curve.num_runs > 0 or curve.provenance.get("method") == "simulation"
    prediction, simulation = (None, curve) if simulated else (curve, None)
    on_data = curve.provenance.get("rows") in ("replace", "once") or curve.provenance.get("method") == "rows"
    common: dict[str, Any] = {"batch_size": options["batch_size"], "betas": tuple(options["betas"])}
    known = curve.lr > 0 and curve.quantity == "excess_risk"
    found = limit(problem, curve.optimizer, lr=curve.lr, **common) if known else None
    entry = Entry(
        optimizer=curve.optimizer,
        rows="data" if on_data else "gaussian",
        lr=curve.lr,
        step_size=curve.step_size,
        at_bound=at_bound,
        prediction=prediction,
        simulation=simulation,
        limit=math.nan if found is None else found.excess_risk,
        rate=math.nan if found is None else found.rate,
        gap=NO_GAP,
        gaussian_gap=NO_GAP,
        status=curve.status,
        message=curve.message,
    )
    named = {(entry.optimizer, entry.rows): curve}
    return Comparison(
        problem=problem,
        entries=(entry,),
        predictions=CurveSet({} if simulated else named),
        simulations=CurveSet(named if simulated else {}),
        verdict=Verdict(None, math.nan, math.nan, math.nan, _sentence(curve, simulated)),
        assumptions=tuple(assess(problem, [entry], **common)),
        options=options,
        command="simulate" if simulated else "predict",
    )


def _sentence(curve: Curve, simulated: bool) -> str:
    if curve.failed:
        return f"{curve.optimizer} is {curve.status}: {curve.message}"
    what = "simulated" if simulated else "predicted"
    error = f" ± {float(curve.stderr[-1]):.2g}" if curve.stderr is not None and len(curve.stderr) else ""
    name = curve.quantity.replace("_", " ")
    end = float(curve.time[-1]) if len(curve.time) else math.nan
    return f"{curve.optimizer} at lr {curve.lr:.4g}: {what} {name} {curve.final:.4g}{error} after {end:g} steps/dim."
