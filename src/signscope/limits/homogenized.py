"""`homogenized_paths`: independent paths of an optimizer's homogenized SDE, with their mean and band."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.progress import Meter, as_meter
from signscope._core.status import OPTIMIZERS, Status
from signscope._version import __version__
from signscope.curves import Curve
from signscope.limits.coefficients import Setting
from signscope.limits.gaussian import solve_risk
from signscope.limits.homogenized_driver import Paths, legs_between, run_paths
from signscope.limits.homogenized_step import ModeSde, mode_sde
from signscope.limits.prediction import predict, report_times
from signscope.limits.statistics import Form, as_form
from signscope.problems import LeastSquares, as_problem
from signscope.schedules import Schedule, as_schedule

WHO = "homogenized_paths"
_BAND = 0.8
_RTOL = 1e-4  # of the predicted curve behind status and steps
_LOOKS = 201  # equally spaced places at which that curve is looked at for the steps
FRACTION = 0.25  # of the shortest relaxation time 1 / (eta phi lambda_max): see docs/theory/homogenized.md


def homogenized_paths(
    problem: LeastSquares,
    optimizer: str,
    *,
    lr: float | Schedule | Callable[[Tensor], Tensor],
    horizon: float,
    batch_size: int = 1,
    betas: tuple[float, float] = (0.9, 0.999),
    num_paths: int = 64,
    seed: int = 0,
    times: Tensor | None = None,
    dt: float | None = None,
    diffusion: str = "homogenized",
    quantity: Form = "excess_risk",
    progress: bool | Meter = False,
) -> Curve:
    r"""Independent paths of the homogenized SDE of ``optimizer``: not only the mean of the risk, its spread too.

    $$ d\Theta = -\eta\varphi_B(R)\bar K(\Theta-\theta^*)\,dt + \eta\sqrt{2K_\sigma/(\pi d)}\,dW
       \quad\text{(signSGD)} $$

    and correspondingly for SGD and Adam; R is the path's own risk.

    Args:
        problem: Least-squares problem; rows are taken as Gaussian.
        optimizer: sgd, signsgd or adam.
        lr: The theory's rate: a number, `Schedule`, or function of time (steps/dim).
        horizon: End of the paths, in steps/dim.
        batch_size: Rows per update, B.
        betas: Adam's averages.
        num_paths: Independent paths.
        seed: Path i has its own stream of it, the same for any ``num_paths``.
        times: Times to report, in steps/dim, increasing; 201 equally spaced ones by default.
        dt: Largest step, in steps/dim; by default a quarter of 1 / (eta phi lambda_max) along the predicted curve.
        diffusion: ``"homogenized"`` is that of the limit, right for the mean; ``"update"`` the covariance of one
            update at the path's displacement, right for the spread too (signSGD at batch size 1 alone).
        quantity: ``"excess_risk"``, ``"distance"``, ``"grad_norm"`` (both squared), or a symmetric matrix Q of
            shape (d, d) for v'Qv.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.

    Returns:
        The mean over paths with ``stderr``, ``band`` (central 80%) and ``runs`` (num_paths, num_times). Status and
        message are those of `predict`; after Ctrl-C the status is ``"interrupted"`` and the curve holds what was
        done. Paths that left the finite range read inf and are left out of the statistics.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: More than 4,000 coordinates and a covariance that is not diagonal; ``"update"`` where it is
            not known.

    Notes:
        Cost per step and path O(d) for SGD and for a diagonal covariance, O(d^2) otherwise. Memory: 64 MB, or one
        path's own vectors (12 d numbers) where that is more; the problem and its factors, 2 d^2 numbers, come on
        top. How paths are cut into blocks changes results by rounding alone.
    """
    checks.one_of(WHO, "optimizer", optimizer, OPTIMIZERS)
    problem = as_problem(WHO, problem)
    grid = report_times(WHO, horizon, times)
    size = checks.integer(WHO, "batch_size", batch_size, minimum=1)
    wanted = _Wanted(
        setting=Setting(optimizer, size, checks.betas(WHO, betas)),
        schedule=as_schedule(lr, who=WHO, horizon=float(grid[-1])),
        grid=grid,
        horizon=float(horizon),
        form=as_form(WHO, quantity, problem.dim),
        num_paths=checks.integer(WHO, "num_paths", num_paths, minimum=1),
        seed=checks.integer(WHO, "seed", seed, minimum=0),
        dt=None if dt is None else checks.positive(WHO, "dt", dt, unit="(steps/dim)"),
        diffusion=checks.one_of(WHO, "diffusion", diffusion, ("homogenized", "update")),
    )
    return _answer(problem, wanted, progress)


@dataclass(frozen=True)
class _Wanted:
    """Checked arguments of `homogenized_paths`."""

    setting: Setting
    schedule: Schedule
    grid: Tensor
    horizon: float
    form: Form
    num_paths: int
    seed: int
    dt: float | None
    diffusion: str

    def describe(self, num_steps: int) -> dict[str, Any]:
        """The options, ready for JSON."""
        return {
            "optimizer": self.setting.optimizer,
            "batch_size": self.setting.batch_size,
            "betas": list(self.setting.betas),
            "num_paths": self.num_paths,
            "diffusion": self.diffusion,
            "dt": self.dt,
            "num_steps": num_steps,
            **self.schedule.describe(),
        }


def _answer(problem: LeastSquares, wanted: _Wanted, progress: bool | Meter) -> Curve:
    """The predicted mean, for its status and the steps to take, then the paths."""
    grid, setting = wanted.grid, wanted.setting
    mean = predict(
        problem,
        setting.optimizer,
        lr=wanted.schedule,
        horizon=wanted.horizon,
        times=grid,
        batch_size=setting.batch_size,
        betas=setting.betas,
        method="gaussian",
        rtol=_RTOL,
    )
    if mean.status == "undefined":
        found = Paths(torch.full((0, len(grid)), torch.nan, dtype=torch.float64), 0)
    else:
        sde = mode_sde(problem, setting, wanted.schedule, diffusion=wanted.diffusion)
        steps = [wanted.dt] * len(grid) if wanted.dt else _largest_steps(sde, problem, wanted)
        found = _run(sde, problem, wanted, steps, progress)
    return _curve(problem, wanted, mean, found)


def _run(sde: ModeSde, problem: LeastSquares, wanted: _Wanted, steps: list[float], progress: bool | Meter) -> Paths:
    meter = as_meter(progress, WHO)
    try:
        return run_paths(
            sde,
            legs_between(wanted.grid.tolist(), list(wanted.schedule.breakpoints), steps),
            first_recorded=float(wanted.grid[0]) == 0,
            num_times=len(wanted.grid),
            num_paths=wanted.num_paths,
            seed=wanted.seed,
            read=_reader(sde, problem, wanted.form),
            meter=meter,
        )
    finally:
        meter.close()


def _reader(sde: ModeSde, problem: LeastSquares, form: Form) -> Callable[[Tensor], Tensor]:
    """(p, d) coordinates -> (p,) values of the quantity."""
    if isinstance(form, Tensor):
        return lambda modes: _quadratic(sde.displacement(modes), form)
    if form == "distance":
        return lambda modes: sde.displacement(modes).square().sum(1)
    if form == "grad_norm":
        return lambda modes: problem.cov.matvec(sde.displacement(modes)).square().sum(1)
    return sde.risk


def _quadratic(v: Tensor, form: Tensor) -> Tensor:
    return ((v @ form) * v).sum(1)


def _largest_steps(sde: ModeSde, problem: LeastSquares, wanted: _Wanted) -> list[float]:
    """`FRACTION` of 1 / (a lambda_max) on the way to each recorded time, a read off the predicted curve.

    The curve and the rate are looked at between the recorded times too, and on both sides of every kink.
    """
    end = float(wanted.grid[-1])
    kinks = [t for t in wanted.schedule.breakpoints if 0 < t < end]
    places = torch.cat(
        [torch.linspace(0, end, _LOOKS, dtype=torch.float64), wanted.grid, torch.tensor(kinks, dtype=torch.float64)]
    ).unique()
    setting = wanted.setting
    risk = solve_risk(problem, setting, wanted.schedule, places, rtol=_RTOL).risk[0].detach()
    risk = torch.where(torch.isfinite(risk), risk, torch.full_like(risk, sde.scale))
    risk[0] = torch.maximum(risk[0], 0.01 * risk[-1 if len(risk) == 1 else 1])  # at the optimum a may be infinite
    lane = torch.zeros(1, dtype=torch.long)
    leaving, coming = (  # the rate before a jump belongs to the stretch that ends there
        sde.coefficients(t[None], risk[None].clamp(min=1e-30 * sde.scale), None, lane)[0][0]
        for t in (places, places * (1 - 1e-12))
    )
    fastest = 0.5 * torch.maximum(leaving[:-1], coming[1:]) * float(sde.eigvals.max())
    stretch = torch.searchsorted(wanted.grid, places[1:])  # the recorded time that each stretch leads to
    found = torch.zeros(len(wanted.grid), dtype=torch.float64)
    found.scatter_reduce_(0, stretch, fastest, "amax")
    return (FRACTION / found.clamp(min=1e-290)).tolist()


def _curve(problem: LeastSquares, wanted: _Wanted, mean: Curve, found: Paths) -> Curve:
    """The result with its statistics and what is to be said about it."""
    paths = found.values
    value, stderr, low, high = _statistics(paths)
    status, message = _verdict(mean, found, wanted.num_paths)
    return Curve(
        time=wanted.grid[: paths.shape[1]],
        value=value,
        quantity=wanted.form if isinstance(wanted.form, str) else "quadratic",
        stderr=stderr,
        band=(low, high),
        band_level=_BAND,
        runs=paths,
        num_runs=len(paths),
        status=status,
        message=message,
        optimizer=mean.optimizer,
        lr=mean.lr,
        step_size=mean.lr / problem.dim,
        provenance={
            "kind": "prediction",
            "method": "homogenized",
            "equation": "(3.1)-(3.3)",
            "options": wanted.describe(found.num_steps),
            "seed": wanted.seed,
            "version": __version__,
        },
    )


def _verdict(mean: Curve, found: Paths, num_paths: int) -> tuple[Status, str]:
    said = [mean.message] if mean.message else []
    status = mean.status
    lost = int(found.values.isinf().any(1).sum())
    if lost and not found.interrupted:
        status = status if status == "unstable" else "diverged"
        said.append(f"{lost} of {len(found.values)} paths left the finite range; the statistics are over the others.")
    if found.interrupted:
        status = "interrupted"
        kept = f"{len(found.values)} of {num_paths} paths, {found.values.shape[1]} recorded times"
        said.append(f"Stopped by the keyboard: {kept} are kept.")
    return status, " ".join(said)


def _statistics(paths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, standard error and ends of the central band over the paths that are finite at each time."""
    levels = torch.tensor([(1 - _BAND) / 2, (1 + _BAND) / 2], dtype=torch.float64)
    table = torch.full((4, paths.shape[1]), torch.nan if not len(paths) else torch.inf, dtype=torch.float64)
    for index in range(paths.shape[1]):
        column = paths[:, index]
        column = column[torch.isfinite(column)]
        if len(column):
            error = column.std() / len(column) ** 0.5 if len(column) > 1 else torch.tensor(torch.nan)
            table[:, index] = torch.stack([column.mean(), error, *torch.quantile(column, levels)])
    return table[0], table[1], table[2], table[3]
