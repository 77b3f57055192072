"""``rates-sign-methods``: how fast the mean gradient norm falls with the number of steps and of components."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from signscope import bounds
from signscope._core import checks
from signscope._core.progress import Meter, as_meter
from signscope.bounds import Constants, Plan
from signscope.reproduce.rates_problem import Law, constants
from signscope.reproduce.rates_runs import finite_sum_norm, stochastic_norm
from signscope.reproduce.report import Report, prepare, write

Rows = list[dict[str, Any]]
NAME = "rates-sign-methods"
FILES = ("rates.png", "rates.csv", "report.json")


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        steps: Numbers of updates T of the stochastic methods.
        num_runs: Independent runs of each.
        sum_steps: Numbers of updates of the finite-sum methods.
        sum_runs: Independent runs of each.
        components: Components m of those runs.
        component_counts: Numbers of components of the second sweep.
        component_steps: Updates of the second sweep.
        dim: Coordinates.
    """

    steps: tuple[int, ...]
    num_runs: int
    sum_steps: tuple[int, ...]
    sum_runs: int
    component_counts: tuple[int, ...]
    component_steps: int
    components: int = 64
    dim: int = 64


SIZES = {
    "full": Size(
        steps=tuple(2**k for k in range(9, 17)),
        num_runs=8,
        sum_steps=tuple(2**k for k in range(10, 17)),
        sum_runs=2,
        component_counts=(16, 32, 64, 128, 256, 512, 1024),
        component_steps=30_000,
    ),
    "small": Size(
        steps=(512, 1024, 2048),
        num_runs=4,
        sum_steps=(512, 1024, 2048),
        sum_runs=2,
        component_counts=(16, 64, 256),
        component_steps=1024,
    ),
}


@dataclass(frozen=True)
class Line:
    """One line of the figure and what the theory says of its slope.

    Attributes:
        key: Rule with its noise or option.
        label: As in the legend.
        sweep: "steps" (noise), "sum_steps" or "components" (finite sum).
        theory: Theoretical exponent.
        accepted: Interval the fitted exponent must lie in; None: shown only.
    """

    key: str
    label: str
    sweep: Literal["steps", "sum_steps", "components"]
    theory: float
    accepted: tuple[float, float] | None = None


LINES = (
    Line("signsgd skewed", "signSGD, batch 1, skewed noise", "steps", 0.0, (-0.05, np.inf)),
    Line("signsgd gaussian", "signSGD, batch 1, Gaussian noise", "steps", -1 / 4),
    Line("signum skewed", "Signum, skewed noise", "steps", -1 / 4, (-0.30, -0.22)),
    Line("ssvr skewed", "SSVR, skewed noise", "steps", -1 / 3, (-0.42, -0.29)),
    Line("ssvr gaussian", "SSVR, Gaussian noise", "steps", -1 / 3, (-0.42, -0.29)),
    Line("ssvr_fs", "SSVR-FS", "sum_steps", -1 / 2, (-0.51, -0.48)),
    Line("ssvr_fs reset", "SSVR-FS with reset", "sum_steps", -1 / 2, (-0.51, -0.48)),
    Line("spider_sign", "SPIDER-sign", "sum_steps", -1 / 2),
    Line("signsvrg", "SignSVRG", "sum_steps", -1 / 2),
    Line("ssvr_fs", "SSVR-FS", "components", 1 / 4, (0.22, 0.27)),
    Line("spider_sign", "SPIDER-sign", "components", 1 / 4),
)
PLANS: dict[str, Callable[..., Plan]] = {
    "signsgd": bounds.signsgd_steps,
    "signum": bounds.signum,
    "ssvr": bounds.ssvr,
    "ssvr_fs": bounds.ssvr_fs,
    "spider_sign": bounds.spider_sign,
    "signsvrg": bounds.signsvrg,
}


def rates_sign_methods(
    out: str | Path | None = None,
    *,
    size: str = "full",
    seed: int = 0,
    force: bool = False,
    progress: bool | Meter = False,
) -> Report:
    """Simulates every method with its theoretical parameters and fits the exponents.

    The function is non-convex and separable (`signscope.reproduce.rates_problem`), the constants of the bounds are
    the exact ones of that function, and no parameter is tuned.

    Args:
        out: Folder for rates.png, rates.csv and report.json; None writes nothing.
        size: "full" (about two minutes) or "small" (seconds; its exponents are not asymptotic).
        seed: Of all noise.
        force: Replace earlier files.
        progress: Show a meter.

    Returns:
        The report; "matched" if all fitted exponents lie in their intervals and no bound is exceeded.
    """
    import pandas as pd

    from signscope.reproduce.rates_figure import draw

    started = time.monotonic()
    chosen = SIZES[checks.one_of(NAME, "size", size, SIZES)]
    seed = checks.integer(NAME, "seed", seed, minimum=0)
    folder = prepare(out, names=FILES, force=force, who=NAME)
    data = measure(chosen, seed=seed, meter=as_meter(progress, NAME))
    found = claims(data)
    failed = [row["claim"] for row in found if row["outcome"] == "fails"]
    report = Report(
        NAME,
        "differs" if failed else "matched",
        f"outside its interval: {'; '.join(failed)}."
        if failed
        else "every fitted exponent lies in its interval, and no mean gradient norm exceeds its bound.",
        pd.DataFrame(found),
        files=tuple(folder / name for name in FILES) if folder else (),
        settings={"size": size, "seed": seed, **asdict(chosen), "constants": asdict(constants(chosen.dim))},
        seconds=time.monotonic() - started,
    )
    if folder is not None:
        write(folder, {FILES[0]: draw(data), FILES[1]: pd.DataFrame(data), FILES[2]: report.summary()})
    return report


def measure(size: Size, *, seed: int, meter: Meter) -> Rows:
    """Mean l1 norms of all runs, one row per run, with parameters and bounds."""
    known = constants(size.dim)
    jobs = [(line, plan) for line in LINES for plan in _plans(line, size, known)]
    work = sum(plan.num_steps for _, plan in jobs)
    done, rows = 0, []
    try:
        for line, plan in jobs:
            rows += _run(line, plan, size, seed)
            done += plan.num_steps
            meter.update(done / work, line.label)
    finally:
        meter.close()
    return rows


def claims(data: Rows) -> Rows:
    """Fitted exponent of every line with its standard error over runs, against its interval."""
    rows: Rows = []
    for line in LINES:
        x, norms = points_of(line, data)
        fitted, tail = _exponents(x, norms), _exponents(x[-3:], norms[-3:])
        low, high = line.accepted or (-np.inf, np.inf)
        inside = low <= fitted.mean() <= high
        axis = "m" if line.sweep == "components" else "T"
        rows.append(
            {
                "claim": f"{line.label}: exponent in {axis}",
                "measured": fitted.mean(),
                "stderr": fitted.std(ddof=1) / len(fitted) ** 0.5,
                "tail": tail.mean(),
                "theory": line.theory,
                "low": low,
                "high": high,
                "outcome": "shown" if line.accepted is None else "holds" if inside else "fails",
            }
        )
    worst = max(row["norm"] / row["bound"] for row in data)
    rows.append({"claim": "largest mean norm / bound", "measured": worst, "theory": 1.0, "low": 0.0, "high": 1.0})
    rows[-1]["outcome"] = "holds" if worst <= 1 else "fails"
    return rows


def points_of(line: Line, data: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of steps or components (points,) and norms (points, runs) of one line."""
    axis = "components" if line.sweep == "components" else "num_steps"
    part = [row for row in data if row["key"] == line.key and row["sweep"] == line.sweep]
    x = sorted({row[axis] for row in part})
    return np.array(x, dtype=float), np.array([[row["norm"] for row in part if row[axis] == value] for value in x])


def _plans(line: Line, size: Size, known: Constants) -> Iterator[Plan]:
    make = PLANS[line.key.split()[0]]
    if line.sweep == "steps":
        yield from (make(known, num_steps=steps) for steps in size.steps)
    elif line.sweep == "sum_steps":
        yield from (make(known, num_steps=steps, num_components=size.components) for steps in size.sum_steps)
    else:
        yield from (make(known, num_steps=size.component_steps, num_components=m) for m in size.component_counts)


def _run(line: Line, plan: Plan, size: Size, seed: int) -> Rows:
    option = line.key.split()[1] if " " in line.key else ""
    if line.sweep == "steps":
        law: Law = "skewed" if option == "skewed" else "gaussian"
        norms = stochastic_norm(plan, dim=size.dim, num_runs=size.num_runs, seed=seed, law=law)
    else:
        norms = finite_sum_norm(
            plan, dim=size.dim, num_components=plan.period, num_runs=size.sum_runs, seed=seed, reset=option == "reset"
        )
    fixed = {"sweep": line.sweep, "key": line.key, "num_steps": plan.num_steps, "components": plan.period}
    used = {"lr": plan.lr, "beta": plan.beta, "init_batch": plan.init_batch, "gradient_calls": plan.gradient_calls}
    return [
        {**fixed, "run": run, "norm": norm, "bound": plan.value, **used}
        for run, norm in enumerate(torch.as_tensor(norms).tolist())
    ]


def _exponents(x: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Exponent of every run: slope of log(norm) against log(x)."""
    return np.polyfit(np.log(x), np.log(norms), 1)[0]
