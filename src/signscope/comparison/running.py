"""`compare`: predict SGD, signSGD and Adam, run them, and set one against the other."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope._core.status import OPTIMIZERS, PREDICTED
from signscope.comparison.conditions import assess
from signscope.comparison.entries import CurveSet, Entry
from signscope.comparison.judgement import judge
from signscope.comparison.result import Comparison
from signscope.comparison.steps import Plan, run_all
from signscope.problems import LeastSquares, as_problem

WHO = "compare"


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
        optimizers: Names out of sgd, signsgd, adam, signum.
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
    problem = as_problem(WHO, problem)
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
        entries = run_all(problem, names, rates, plan, meter)
    finally:
        meter.close()
    assumptions = assess(problem, entries, batch_size=plan.batch_size, betas=plan.betas)
    return Comparison(
        problem=problem,
        entries=tuple(entries),
        predictions=CurveSet({(e.optimizer, e.rows): e.prediction for e in entries if e.prediction is not None}),
        simulations=CurveSet({(e.optimizer, e.rows): e.simulation for e in entries if e.simulation is not None}),
        verdict=judge(entries, assumptions, horizon=plan.horizon, given=rates),
        assumptions=tuple(assumptions),
        options=_options(names, entries, plan),
    )


def _names(optimizers: Any) -> list[str]:
    names = [optimizers] if isinstance(optimizers, str) else list(optimizers)
    for name in names:
        checks.one_of(WHO, "optimizers", name, PREDICTED)
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
