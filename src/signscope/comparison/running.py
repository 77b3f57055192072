"""`compare`: predict SGD, signSGD and Adam, run them, and set one against the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope._core.status import OPTIMIZERS
from signscope.comparison.agreement import Gap, gap
from signscope.comparison.conditions import assess
from signscope.comparison.entries import CurveSet, Entry, join_status
from signscope.comparison.judgement import judge
from signscope.comparison.result import Comparison
from signscope.comparison.tuning import BestLr, best_lr
from signscope.curves import Curve
from signscope.limits import limit, predict
from signscope.limits.rows import settle
from signscope.problems import LeastSquares
from signscope.simulation import simulate

WHO = "compare"
_NO_GAP = Gap(math.nan, math.nan, math.nan, math.nan, None)


@dataclass(frozen=True)
class Plan:
    """What is run for every optimizer."""

    horizon: float
    num_runs: int
    seed: int
    batch_size: int
    betas: tuple[float, float]
    dtype: Any
    device: Any


def compare(
    problem: LeastSquares,
    *,
    optimizers: Sequence[str] = OPTIMIZERS,
    lr: Mapping[str, float | None] | None = None,
    horizon: float,
    num_runs: int = 64,
    seed: int = 0,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    dtype: Any = None,
    device: Any = None,
    progress: bool | Meter = False,
) -> Comparison:
    """Predict each optimizer, run it many times, and say who wins and how good the predictions were.

    Args:
        problem: Least-squares problem. One made from data is compared twice: Gaussian theory with Gaussian rows
            of the same covariance, and data-driven flow with the data's own rows, drawn with replacement.
        optimizers: Names out of sgd, signsgd, adam.
        lr: Rates by optimizer; whoever is missing (or None) gets its best constant rate for the horizon, on a
            data set the best for the data's own rows.
        horizon: Length of the runs in steps/dim.
        num_runs: Runs per simulation.
        seed: Seed of all simulations.
        batch_size: Rows per update. Above 1 there is no data-driven flow, and the Gaussian theory stands in.
        betas: Adam's averages.
        dtype: Of the simulations: ``"float64"`` (default) or ``"float32"``.
        device: Of the simulations; the CPU by default.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.

    Returns:
        A `Comparison`. An optimizer that is undefined or unstable on the problem is a row with that status. After
        Ctrl-C during a simulation the rows done so far are kept and the others have status interrupted.

    Raises:
        InvalidInput: An argument is out of range.
    """
    names = _names(optimizers)
    rates = _rates(lr, names)
    plan = Plan(
        checks.positive(WHO, "horizon", horizon, unit="(steps/dim)"),
        checks.integer(WHO, "num_runs", num_runs, minimum=1),
        checks.integer(WHO, "seed", seed, minimum=0),
        checks.integer(WHO, "batch_size", batch_size, minimum=1),
        checks.betas(WHO, betas),
        dtype,
        device,
    )
    meter = as_meter(progress, WHO)
    try:
        entries = _entries(problem, names, rates, plan, meter)
    finally:
        meter.close()
    assumptions = assess(problem, entries, batch_size=plan.batch_size, betas=plan.betas)
    return Comparison(
        problem=problem,
        entries=tuple(entries),
        predictions=CurveSet({(e.optimizer, e.rows): e.prediction for e in entries}),
        simulations=CurveSet({(e.optimizer, e.rows): e.simulation for e in entries if e.simulation is not None}),
        verdict=judge(entries, assumptions, horizon=plan.horizon),
        assumptions=tuple(assumptions),
        options=_options(names, entries, plan),
    )


def _names(optimizers: Any) -> list[str]:
    names = [optimizers] if isinstance(optimizers, str) else list(optimizers)
    for name in names:
        checks.one_of(WHO, "optimizers", name, OPTIMIZERS)
    if not names or len(set(names)) < len(names):
        raise InvalidInput(f"{WHO}: `optimizers` must name each optimizer once, and at least one; got {names}.")
    return names


def _rates(lr: Any, names: Sequence[str]) -> dict[str, float]:
    """The rates that were given, checked."""
    if lr is None:
        return {}
    if not isinstance(lr, Mapping):
        raise InvalidInput(f"{WHO}: `lr` must give rates by optimizer, such as {{'signsgd': 0.5}}; got {lr!r}.")
    unknown = [name for name in lr if name not in names]
    if unknown:
        raise InvalidInput(f"{WHO}: `lr` names {unknown[0]!r}, which is not compared; the optimizers are {names}.")
    return {name: checks.positive(WHO, f"lr[{name!r}]", value) for name, value in lr.items() if value is not None}


def _entries(
    problem: LeastSquares, names: Sequence[str], rates: Mapping[str, float], plan: Plan, meter: Meter
) -> list[Entry]:
    kinds = ["gaussian"] if problem.rows is None else ["gaussian", "data"]
    entries: list[Entry] = []
    total, stopped = len(names) * (1 + len(kinds)), False
    for index, name in enumerate(names):
        done = index * (1 + len(kinds))
        meter.update(done / total, f"{name}: prediction" if name in rates else f"{name}: best rate")
        chosen = _chosen(problem, name, rates, plan)
        theory = _predicted(problem, name, chosen, plan, "gaussian")
        for offset, rows in enumerate(kinds):
            meter.update((done + 1 + offset) / total, f"{name}: simulation on {rows} rows")
            prediction = _main_prediction(problem, name, rows, chosen, theory, plan)
            simulation = None if stopped else _simulated(problem, name, rows, chosen, plan)
            entry = _entry(problem, rows, chosen, prediction, theory, simulation, plan)
            entries.append(_never_run(entry) if stopped else entry)
            stopped = stopped or (simulation is not None and simulation.status == "interrupted")
    return entries


def _chosen(problem: LeastSquares, name: str, rates: Mapping[str, float], plan: Plan) -> BestLr:
    common: dict[str, Any] = {"horizon": plan.horizon, "batch_size": plan.batch_size, "betas": plan.betas}
    if name not in rates:
        return best_lr(problem, name, **common)
    curve = predict(problem, name, lr=rates[name], **common)
    return BestLr(rates[name], rates[name] / problem.dim, curve, False)


def _predicted(problem: LeastSquares, name: str, chosen: BestLr, plan: Plan, method: str) -> Curve:
    if chosen.curve.failed and math.isnan(chosen.lr):
        return chosen.curve
    if chosen.curve.provenance.get("method") == method:
        return chosen.curve
    return predict(
        problem,
        name,
        lr=chosen.lr,
        horizon=plan.horizon,
        batch_size=plan.batch_size,
        betas=plan.betas,
        method=method,
    )


def _main_prediction(
    problem: LeastSquares, name: str, rows: str, chosen: BestLr, theory: Curve, plan: Plan
) -> Curve:
    """The prediction that is judged on these rows."""
    if rows == "gaussian" or plan.batch_size > 1:
        return theory
    return _predicted(problem, name, chosen, plan, "rows")


def _simulated(problem: LeastSquares, name: str, rows: str, chosen: BestLr, plan: Plan) -> Curve | None:
    if math.isnan(chosen.lr):
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
    ours = _NO_GAP if simulation is None else gap(prediction, simulation, dim=problem.dim)
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
    if math.isnan(prediction.lr):
        return math.nan, math.nan
    name = prediction.optimizer
    found = limit(problem, name, lr=prediction.lr, batch_size=plan.batch_size, betas=plan.betas)
    if prediction.provenance.get("method") != "rows" or problem.rows is None:
        return found.excess_risk, found.rate
    return settle(problem.rows, optimizer=name, lr=prediction.lr, betas=plan.betas).excess_risk, found.rate


def _never_run(entry: Entry) -> Entry:
    return replace(entry, simulation=None, status="interrupted", message="Stopped before this simulation began.")


def _options(names: Sequence[str], entries: Sequence[Entry], plan: Plan) -> dict[str, Any]:
    """The resolved options of the run, ready for JSON; rates that were searched for are written out."""
    rates = {e.optimizer: e.lr if math.isfinite(e.lr) else None for e in entries}
    return {
        "optimizers": list(names),
        "lr": {name: rates[name] for name in names},
        "horizon": plan.horizon,
        "num_runs": plan.num_runs,
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "betas": list(plan.betas),
        "dtype": None if plan.dtype is None else str(plan.dtype).removeprefix("torch."),
        "device": None if plan.device is None else str(plan.device),
    }
