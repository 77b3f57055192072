"""The steps of a comparison, optimizer by optimizer: rate, predictions, simulations, limits."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from signscope._core.errors import Unsupported
from signscope._core.progress import Meter
from signscope.comparison.agreement import Gap, gap
from signscope.comparison.entries import Entry, join_status
from signscope.comparison.threads import fitting_threads
from signscope.comparison.tuning import BestLr, best_lr, undefined
from signscope.curves import Curve
from signscope.limits import limit, predict
from signscope.limits.prediction import row_moments
from signscope.limits.rows import settle
from signscope.problems import LeastSquares
from signscope.simulation import simulate

NO_GAP = Gap(math.nan, math.nan, math.nan, math.nan, None)


@dataclass(frozen=True)
class Plan:
    """What is run for every optimizer; nothing is simulated with 0 runs."""

    horizon: float
    num_runs: int
    seed: int
    batch_size: int
    betas: tuple[float, float]
    dtype: Any
    device: Any


@dataclass(frozen=True)
class Part:
    """A meter for one part of the work: from ``begin``, a share ``size`` of the whole."""

    whole: Meter
    begin: float
    size: float
    label: str

    def update(self, done: float, message: str = "") -> None:
        """Report the fraction ``done`` of this part."""
        self.whole.update(self.begin + self.size * done, message or self.label)

    def close(self) -> None:
        """Leave the display to the whole."""


def run_all(
    problem: LeastSquares,
    names: Sequence[str],
    rates: Mapping[str, float],
    plan: Plan,
    meter: Meter,
    *,
    kinds: Sequence[str] | None = None,
) -> list[Entry]:
    """One entry per optimizer of ``names`` and kind of rows (all kinds there are by default).

    ``rates`` holds the rates that were given.
    """
    if kinds is None:
        kinds = ["gaussian"] if problem.rows is None else ["gaussian", "data"]
    entries: list[Entry] = []
    share = 1 / len(names)
    for index, name in enumerate(names):
        begun = len(entries)
        if any(e.status == "interrupted" for e in entries):
            entries += [_never_run(problem, name, rows, plan) for rows in kinds]
            continue
        try:
            for entry in _entries(problem, name, kinds, rates, plan, Part(meter, index * share, share, name)):
                entries.append(entry)
        except KeyboardInterrupt:  # what is done is kept; the rest says that it never ran
            entries += [_never_run(problem, name, rows, plan) for rows in kinds[len(entries) - begun :]]
    return entries


def _entries(
    problem: LeastSquares, name: str, kinds: Sequence[str], rates: Mapping[str, float], plan: Plan, meter: Part
) -> Iterator[Entry]:
    """The entries of one optimizer, one per kind of rows."""
    share = 1 / (1 + len(kinds))
    meter.update(0.0, f"{name}: prediction" if name in rates else f"{name}: best rate")
    chosen = _chosen(problem, name, rates, plan)
    theory = _predicted(problem, name, chosen, plan, "gaussian")
    for index, rows in enumerate(kinds):
        part = Part(meter, (1 + index) * share, share, f"{name}: simulation on {rows} rows")
        part.update(0.0)
        prediction = _main_prediction(problem, name, rows, chosen, theory, plan)
        simulation = _simulated(problem, name, rows, chosen, plan, part)
        yield _entry(problem, rows, chosen, prediction, theory, simulation, plan)
        if simulation is not None and simulation.status == "interrupted":
            raise KeyboardInterrupt


def _chosen(problem: LeastSquares, name: str, rates: Mapping[str, float], plan: Plan) -> BestLr:
    common: dict[str, Any] = {"horizon": plan.horizon, "batch_size": plan.batch_size, "betas": plan.betas}
    try:
        if name not in rates:
            return best_lr(problem, name, **common)
        with fitting_threads(problem):
            curve = predict(problem, name, lr=rates[name], **common)
    except Unsupported as error:  # one optimizer that the theory does not cover must not end the comparison
        nothing = undefined(name, plan.horizon, str(error))
        lr = rates.get(name, math.nan)
        return replace(nothing, lr=lr, step_size=lr / problem.dim)
    return BestLr(rates[name], rates[name] / problem.dim, curve, False)


def _predicted(problem: LeastSquares, name: str, chosen: BestLr, plan: Plan, method: str) -> Curve:
    made = chosen.curve.provenance.get("method")
    if made is None or made == method:  # None: there is no prediction
        return chosen.curve
    with fitting_threads(problem):
        return predict(
            problem,
            name,
            lr=chosen.lr,
            horizon=plan.horizon,
            batch_size=plan.batch_size,
            betas=plan.betas,
            method=method,
        )


def _main_prediction(problem: LeastSquares, name: str, rows: str, chosen: BestLr, theory: Curve, plan: Plan) -> Curve:
    """The prediction that is judged on these rows."""
    if rows == "gaussian" or plan.batch_size > 1:
        return theory
    return _predicted(problem, name, chosen, plan, "rows")


def _simulated(problem: LeastSquares, name: str, rows: str, chosen: BestLr, plan: Plan, meter: Meter) -> Curve | None:
    if math.isnan(chosen.lr) or plan.num_runs == 0:
        return None
    return simulate(
        problem,
        name,  # pyright: ignore[reportArgumentType]
        lr=chosen.lr,
        horizon=plan.horizon,
        batch_size=plan.batch_size,
        betas=plan.betas,
        num_runs=plan.num_runs,
        seed=plan.seed,
        rows="gaussian" if rows == "gaussian" else "replace",
        dtype=plan.dtype,
        device=plan.device,
        progress=meter,
    )


def _entry(
    problem: LeastSquares,
    rows: str,
    chosen: BestLr,
    prediction: Curve,
    theory: Curve,
    simulation: Curve | None,
    plan: Plan,
) -> Entry:
    status, message = join_status(prediction, simulation)
    if rows == "data" and plan.batch_size > 1:
        message = f"{message} The flow on the data's own rows covers batch size 1; this is the Gaussian theory.".strip()
    if chosen.at_bound and not prediction.failed:
        message = f"{message} The best rate sits at the edge of the range searched.".strip()
    end, rate = _limit(problem, prediction, plan)
    ours = NO_GAP if simulation is None else gap(prediction, simulation, dim=problem.dim)
    theirs = ours if theory is prediction or simulation is None else gap(theory, simulation, dim=problem.dim)
    return Entry(
        optimizer=prediction.optimizer,
        rows=rows,
        lr=chosen.lr,
        step_size=chosen.step_size,
        at_bound=chosen.at_bound,
        prediction=prediction,
        simulation=simulation,
        limit=end,
        rate=rate,
        gap=ours,
        gaussian_gap=theirs,
        status=status,
        message=message,
    )


def _limit(problem: LeastSquares, prediction: Curve, plan: Plan) -> tuple[float, float]:
    """Limit risk and rate; on the data's own rows the flow's limit, and the Gaussian theory's rate."""
    method = prediction.provenance.get("method")
    if method is None:
        return math.nan, math.nan
    name, lr = prediction.optimizer, prediction.lr
    with fitting_threads(problem):
        try:
            found = limit(problem, name, lr=lr, batch_size=plan.batch_size, betas=plan.betas)
        except Unsupported:
            return math.nan, math.nan
        if method != "rows":
            return found.excess_risk, found.rate
        return settle(row_moments(problem), optimizer=name, lr=lr, betas=plan.betas).excess_risk, found.rate


def _never_run(problem: LeastSquares, name: str, rows: str, plan: Plan) -> Entry:
    """The entry of a run that Ctrl-C came before."""
    message = "Stopped before this one was done."
    nothing = undefined(name, plan.horizon, message)
    entry = _entry(problem, rows, nothing, nothing.curve, nothing.curve, None, plan)
    return replace(entry, status="interrupted", message=message)
