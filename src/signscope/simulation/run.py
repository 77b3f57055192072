"""`simulate`: arguments in, `Curve` out."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.progress import Meter, as_meter
from signscope._core.status import PREDICTED, Predicted, Status
from signscope._version import __version__
from signscope.curves import Curve
from signscope.problems import LeastSquares, as_problem
from signscope.schedules import BatchPlan, Schedule, as_schedule
from signscope.simulation.arguments import WHO, as_device, as_dtype, check_rows, recorded_times, whole_steps
from signscope.simulation.engine import Engine, Outcome
from signscope.simulation.recording import BLOW_UP, summarise
from signscope.simulation.settings import Settings
from signscope.simulation.stepping import Stepper

_BAND = 0.8


def simulate(
    problem: LeastSquares,
    optimizer: Predicted,
    *,
    lr: float | Schedule | Callable[[Tensor], Tensor],
    horizon: float,
    batch_size: int | BatchPlan = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    num_runs: int = 64,
    seed: int = 0,
    rows: Literal["gaussian", "replace", "once"] = "gaussian",
    times: Sequence[float] | Tensor | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    progress: bool | Meter = False,
    eps: float = 1e-8,
) -> Curve:
    r"""Excess risk of the algorithm itself, run many times on fresh rows.

    With v = theta - target, rows x_b and label noise e_b, step k makes

    $$ g = \tfrac1B \sum_b (\langle x_b, v \rangle - e_b)\, x_b, \qquad
       v \leftarrow v - \tfrac{\mathrm{lr}(k/d)}{d}\, u(g) $$

    with u(g) = g (``"sgd"``), sign(g) (``"signsgd"``), Adam's bias-corrected m / (sqrt(s) + eps) (``"adam"``), or the
    sign of a running average of g (``"signum"``).

    Args:
        problem: Covariance, start, target and noise; the rows as well, for ``rows`` other than ``"gaussian"``.
        optimizer: Its name.
        lr: The theory's rate: a number, `Schedule` or function of time (steps/dim); one update moves by lr / dim.
        horizon: Length of a run in units of dim steps.
        batch_size: Rows per step, B; or a `BatchPlan`, whose batch sizes change with time (its rates are
            ``plan.lr``, the ``lr`` to go with them).
        betas: Adam's two decay rates; the first is Signum's momentum.
        num_runs: Independent runs.
        seed: Run i has its own streams of it, the same for any ``num_runs``, others for each dtype and device.
        rows: ``"gaussian"`` draws x ~ N(0, K) and noise from the problem's law; ``"replace"`` draws rows of the
            data set with their own labels, with replacement; ``"once"`` takes each row at most once, in a random
            order per run.
        times: Increasing times (steps/dim) to record at, by default 201 equally spaced ones up to ``horizon``; the
            risk is that at step floor(t dim + 0.5), and runs end with the last one.
        dtype: ``torch.float64`` (default) or ``torch.float32``. Risks are evaluated in float64.
        device: Where to run; the CPU by default.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.
        eps: Adam's eps, in the unit of the gradient.

    Returns:
        The mean over runs with ``stderr``, ``band`` (central 80%) and ``runs`` (num_runs, num_times). A run whose
        risk is not finite, or above 1e12 times its start, at a recorded time has diverged: it is frozen, recorded
        as inf from then on and counted in ``message``; the status is ``"diverged"``. The statistics at each time
        are those of the runs still finite there, and inf once there is none. After Ctrl-C the status is
        ``"interrupted"`` and the curve holds what was done.

    Raises:
        InvalidInput: An argument is out of range, there are no rows, or too few for ``"once"``.

    Notes:
        Buffers stay below 256 MB for any ``num_runs`` and ``horizon`` (runs that do not fit follow in groups) if
        one step of one run fits, ``batch_size * dim`` up to about 1 million; problem, data and result come on top.
        How the work is cut changes results by rounding alone. On a CPU, torch.get_num_threads() threads draw the
        next rows during the steps.
    """
    name = checks.one_of(WHO, "optimizer", optimizer, PREDICTED)
    settings, recorded = checked(
        problem,
        name,
        lr=lr,
        horizon=horizon,
        batch_size=batch_size,
        betas=betas,
        num_runs=num_runs,
        seed=seed,
        rows=rows,
        times=times,
        dtype=dtype,
        device=device,
        eps=eps,
    )
    return finished_curve(problem, settings, recorded, progress=progress)


def checked(
    problem: LeastSquares,
    name: str,
    *,
    lr: float | Schedule | Callable[[Tensor], Tensor],
    horizon: float,
    batch_size: int | BatchPlan,
    num_runs: int,
    seed: int,
    times: Sequence[float] | Tensor | None,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    betas: tuple[float, float] = (0.9, 0.999),
    rows: str = "gaussian",
    eps: float = 1e-8,
) -> tuple[Settings, np.ndarray]:
    """Checked settings of a simulation and its recorded times in steps/dim; see `simulate` for the arguments."""
    recorded = recorded_times(times, horizon)
    plan = batch_size if isinstance(batch_size, BatchPlan) else None
    largest = batch_size if plan is None else max(plan.batch_sizes)
    settings = Settings(
        optimizer=name,
        schedule=as_schedule(lr, who=WHO, horizon=float(recorded[-1])),
        horizon=float(horizon),
        record_steps=whole_steps(recorded, as_problem(WHO, problem).dim),
        batch_size=checks.integer(WHO, "batch_size", largest, minimum=1),
        betas=checks.betas(WHO, betas),
        eps=checks.non_negative(WHO, "eps", eps),
        num_runs=checks.integer(WHO, "num_runs", num_runs, minimum=1),
        seed=checks.integer(WHO, "seed", seed, minimum=0),
        rows=checks.one_of(WHO, "rows", rows, ("gaussian", "replace", "once")),
        dtype=as_dtype(dtype),
        device=as_device(device),
        plan=plan,
    )
    check_rows(problem, settings.rows, num_steps=settings.num_steps, batch_size=settings.batch_size)
    return settings, recorded


def finished_curve(
    problem: LeastSquares,
    settings: Settings,
    recorded: np.ndarray,
    *,
    progress: bool | Meter,
    make: Callable[[Tensor], Stepper] | None = None,
) -> Curve:
    """Run the engine; ``make`` gives the stepper of displacements, that of ``settings.optimizer`` by default."""
    meter = as_meter(progress, f"simulate {settings.optimizer}")
    try:
        outcome = Engine(problem, settings, meter, make=make).run()
    finally:
        meter.close()
    return _curve(problem, settings, outcome, recorded)


def _curve(problem: LeastSquares, settings: Settings, outcome: Outcome, recorded: np.ndarray) -> Curve:
    """The result with its statistics and what is to be said about it."""
    runs = outcome.runs
    summary = summarise(runs, level=_BAND)
    status, message = _verdict(problem, settings, outcome)
    lr = settings.schedule.initial
    return Curve(
        time=torch.from_numpy(recorded[: runs.shape[1]].copy()),
        value=summary.mean,
        stderr=summary.stderr,
        band=summary.band,
        band_level=_BAND,
        runs=runs,
        num_runs=len(runs),
        status=status,
        message=message,
        optimizer=settings.optimizer,
        lr=lr,
        step_size=lr / problem.dim,
        provenance={
            "method": "simulation",
            "rows": settings.rows,
            "options": _options(settings),
            "seed": settings.seed,
            "version": __version__,
        },
    )


def _verdict(problem: LeastSquares, settings: Settings, outcome: Outcome) -> tuple[Status, str]:
    """Status, and one sentence for everything a reader has to know."""
    status: Status = "ok"
    said: list[str] = []
    num_runs = len(outcome.runs)
    lost = int(outcome.runs.isinf().any(1).sum())
    if lost:
        status = "diverged"
        left = "the statistics are over the others" if lost < num_runs else "none is left"
        said.append(
            f"{lost} of {num_runs} runs diverged (not finite, or risk above {BLOW_UP:g} times its start); {left}. "
            "Lower `lr`."
        )
    if outcome.interrupted:
        status = "interrupted"
        said.append(
            f"Stopped by the keyboard: {num_runs} of {settings.num_runs} runs, {outcome.runs.shape[1]} of "
            f"{len(settings.record_steps)} recorded times are kept."
        )
    if settings.optimizer == "sgd" and settings.rows == "gaussian" and not problem.noise.has_moment(2):
        said.append(
            "The label noise has infinite variance, so the mean risk of SGD does not exist: read the band, "
            "not the mean and its standard error."
        )
    return status, " ".join(said)


def _options(settings: Settings) -> dict[str, Any]:
    """The resolved options, ready for JSON."""
    return {
        "lr": settings.schedule.describe(),
        "horizon": settings.horizon,
        "batch_size": settings.batch_size if settings.plan is None else settings.plan.describe(),
        "betas": list(settings.betas),
        "eps": settings.eps,
        "num_runs": settings.num_runs,
        "dtype": str(settings.dtype).removeprefix("torch."),
        "device": str(settings.device),
    }
