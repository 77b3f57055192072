"""`simulate_effect`: the algorithms between SGD and signSGD, run many times."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from signscope import rules
from signscope._core import checks
from signscope._core.errors import Unsupported
from signscope._core.progress import Meter
from signscope.curves import Curve
from signscope.noise import tabulate
from signscope.problems import LeastSquares, as_problem
from signscope.rules.effects import EFFECTS, PRECONDITIONED, effect_direction, effective_scale
from signscope.schedules import Schedule
from signscope.simulation.feed import Block
from signscope.simulation.run import checked, finished_curve, simulate
from signscope.simulation.settings import Settings
from signscope.simulation.stepping import GradientStepper

WHO = "simulate_effect"


def simulate_effect(
    problem: LeastSquares,
    effect: str,
    *,
    lr: float | Schedule | Callable[[Tensor], Tensor],
    horizon: float,
    batch_size: int = 1,
    num_runs: int = 64,
    seed: int = 0,
    times: Sequence[float] | Tensor | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    progress: bool | Meter = False,
) -> Curve:
    """Excess risk of one algorithm between SGD and signSGD, run many times on fresh Gaussian rows.

    A gradient is split into its mean Kv, which the simulator knows, and its fluctuation; the effect scales one or the
    other (see `signscope.rules.effects.effect_direction`), with the present population risk in the effective rate.

    Args:
        problem: Covariance, start, target and noise.
        effect: ``"frozen_rate"``, ``"effective_rate"``, ``"compression"``, ``"preconditioner"``, ``"reshaping"``
            (signSGD), or ``"preconditioned_sgd"``.
        lr: SignSGD's rate, the same for all of them.
        horizon: Length of a run in units of dim steps.
        batch_size: Rows per step, B.
        num_runs: Independent runs.
        seed: As in `simulate`; the rows are the same for every effect and optimizer.
        times: Times to record at (steps/dim); 201 by default.
        dtype: ``torch.float64`` (default) or ``torch.float32``.
        device: Where to run; the CPU by default.
        progress: As in `simulate`.

    Returns:
        A `Curve` as from `simulate`, with the effect's name as ``optimizer``.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: Noise of infinite variance (except for ``"reshaping"``): the effective rate is then 0.

    Notes:
        Costs one product Kv per run and step more than SGD.
    """
    checks.one_of(WHO, "effect", effect, (*EFFECTS, PRECONDITIONED))
    options: dict[str, Any] = {
        "lr": lr,
        "horizon": horizon,
        "batch_size": batch_size,
        "num_runs": num_runs,
        "seed": seed,
        "times": times,
        "dtype": dtype,
        "device": device,
    }
    if effect == "reshaping":
        return replace(simulate(problem, "signsgd", progress=progress, **options), optimizer=effect)
    problem = as_problem(WHO, problem)
    if math.isinf(problem.noise.second_moment):
        raise Unsupported(
            f"{WHO}: {effect} under {problem.noise.spec} noise: the population risk is infinite and the effective rate "
            "0. Only 'reshaping' (signSGD) can be run."
        )
    if effect == "frozen_rate" and not _population_risk(problem) > 0:
        raise Unsupported(f"{WHO}: {effect} divides by the first population risk, which is 0.")
    settings, recorded = checked(problem, effect, **options)
    make = partial(EffectStepper, problem=problem, settings=settings)
    return finished_curve(problem, settings, recorded, progress=progress, make=make)


def _population_risk(problem: LeastSquares) -> float:
    """P at the start."""
    return float(problem.excess_risk(problem.start)) + 0.5 * problem.noise.second_moment


class EffectStepper(GradientStepper):
    """SGD whose mean gradient and fluctuation are scaled apart by the effect named in the settings."""

    def __init__(self, displacement: Tensor, problem: LeastSquares, settings: Settings) -> None:
        super().__init__(displacement, rules.sgd)
        self._effect, self._batch_size = settings.optimizer, settings.batch_size
        self._cov, self._half = problem.cov, 0.5 * problem.noise.second_moment
        self._std = problem.cov.diagonal().sqrt().to(displacement)
        first = _population_risk(problem)
        self._frozen = effective_scale(torch.tensor(first, dtype=torch.float64), batch_size=self._batch_size)
        scale = max(first, 1e-12)
        self._smallest = 1e-30 * scale
        self._slope = tabulate(problem.noise, self._batch_size, risk_low=1e-8 * scale, risk_high=1e3 * scale)

    def advance(self, block: Block, first: int, step_sizes: Sequence[float]) -> None:
        """Gradient, mean gradient, risk and its functions, update: once per step."""
        v = self.displacement
        for step, size in enumerate(step_sizes, start=first):
            grad = self._gradient(block.rows[:, step], block.noise[:, step])
            mean = self._cov.matvec(v)
            risk = 0.5 * (v * mean).sum(1, keepdim=True).to(device="cpu", dtype=torch.float64).clamp(min=self._smallest)
            scale = effective_scale(risk + self._half, batch_size=self._batch_size)
            direction = effect_direction(
                self._effect,
                grad,
                mean,
                scale=(self._frozen if self._effect == "frozen_rate" else scale).to(v),
                compression=(self._slope(risk) / scale).to(v),  # psi = phi / s
                std=self._std,
            )
            v.sub_(direction, alpha=size)
