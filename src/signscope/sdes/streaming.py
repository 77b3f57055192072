"""`streaming_paths`: signSGD on streaming least squares as an SDE with the exact moments of its signs.

The link to the limit of high dimension: same problem, same units, dimension kept.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput, Unsupported
from signscope._core.progress import Meter, as_meter
from signscope._version import __version__
from signscope.curves import Curve
from signscope.integrate.brownian import Normals
from signscope.integrate.ensemble import Recording, gather
from signscope.integrate.equation import Spread
from signscope.integrate.weak_second_order import trapezoid_step
from signscope.noise import Gaussian, NoiseLaw, NoNoise, tabulate
from signscope.problems import LeastSquares, as_problem
from signscope.problems.arrays import as_float64
from signscope.schedules import Schedule, as_schedule

WHO = "streaming_paths"
Moments = Literal["exact", "gaussian"]
_LARGEST = 4000
_POINTS = 101
_NODES = np.polynomial.legendre.leggauss(8)


@equation("signscope", "mean of the signs of a least-squares gradient at any dimension and label noise")
def row_sign_means(projected: Tensor, risk: Tensor, slope: Callable[[Tensor], Tensor], noise: NoiseLaw) -> Tensor:
    r"""E sign(g_j) for g = (<x, v> - eps) x, x ~ N(0, K), without a limit.

    $$ b_j = w_j \int_0^1 \varphi\bigl(R(1 - \rho_j^2u^2)\bigr)\,du, \qquad
       w = D^{-1}Kv, \quad \rho_j = w_j/\sqrt{2R} $$

    for every law of eps; $\tfrac2\pi\arcsin(w_j/\sqrt{2R + s^2})$ for a centred Gaussian one. The limit is
    $\rho \to 0$: $b = \varphi(R)\,w$.

    Args:
        projected: w, (n, d).
        risk: R of every path, (n,).
        slope: phi as a function of the risk.
        noise: Law of eps.

    Returns:
        b, (n, d), in [-1, 1].

    Notes:
        8 Gauss-Legendre nodes in arcsin(rho u): absolute error below 2e-8 for rho up to 0.9. At rho = 1, where one
        coordinate is the whole problem, 1e-6 for smooth laws and 2e-3 for laws of atoms.
    """
    if isinstance(noise, NoNoise) or (isinstance(noise, Gaussian) and noise.centre == 0):
        size = (2 * risk + noise.second_moment).clamp(min=1e-300).sqrt()[:, None]
        return torch.asin((projected / size).clamp(-1, 1)) * (2 / math.pi)
    x, w = (torch.from_numpy(a).to(projected) for a in _NODES)
    size = (2 * risk).clamp(min=1e-300).sqrt()[:, None]
    angle = torch.asin((projected / size).clamp(-1, 1))
    cosine = torch.cos(angle[..., None] * (0.5 * (x + 1)))  # u = sin(.) / rho: smooth up to rho = 1
    inside = risk[:, None, None] * cosine.square()
    return size * angle * (slope(inside.clamp(min=1e-300)) * cosine * (0.5 * w)).sum(-1)


@equation("compagnoni2024", "SDE of signSGD with the moments of a least-squares gradient")
class StreamingSigns:
    r"""$dV = -\eta\,b(V)\,dt + \eta\sqrt{(\tfrac2\pi K_\sigma - bb')/d}\;dW$, t in steps/dim, V = theta - target.

    b is `row_sign_means`; $\tfrac2\pi K_\sigma$ with $K_\sigma = \arcsin(D^{-1}KD^{-1})$ is the second moment of the
    signs of a row, and of the gradient too, because a residual's sign squared is 1. The homogenized SDE of the limit is
    this without $bb'$ and with b linear in V.

    ``moments="gaussian"`` takes the gradient for a Gaussian vector with its own covariance, as the SDE for any loss
    does: $b_j = \mathrm{erf}(z_j/\sqrt2)$. Its slope is $\sqrt{\pi/2}$ too steep, because a product of two Gaussians
    is more peaked at 0 than a Gaussian.
    """

    def __init__(self, problem: LeastSquares, schedule: Schedule, *, moments: Moments = "exact") -> None:
        self.problem, self.schedule, self.moments = problem, schedule, moments
        self.num_noises, self.dim = problem.dim, problem.dim
        self._cov = problem.cov.dense()
        self._std = self._cov.diagonal().sqrt()
        corr = (self._cov / torch.outer(self._std, self._std)).clamp(-1, 1)
        signs = torch.asin(corr).mul_(2 / math.pi)
        signs.fill_diagonal_(1.0)  # arcsin has infinite slope at 1
        values, vectors = torch.linalg.eigh(signs)
        kept = values > 1e-12 * values[-1]
        self._root = vectors * values.clamp(min=0).sqrt()
        self._inverse = vectors * torch.where(kept, values.clamp(min=1e-300).rsqrt(), torch.zeros_like(values))
        self._slope = _slope(problem)

    def risk(self, displacement: Tensor) -> Tensor:
        """R of every path, (n,), for displacements (n, d)."""
        return 0.5 * ((displacement @ self._cov) * displacement).sum(1)

    def means(self, displacement: Tensor) -> Tensor:
        """Mean signs at displacements (n, d)."""
        pull = displacement @ self._cov
        risk = 0.5 * (pull * displacement).sum(1).clamp(min=0)
        if self.moments == "exact":
            return row_sign_means(pull / self._std, risk, self._slope, self.problem.noise)
        size = 2 * risk[:, None] + self.problem.noise.second_moment
        return torch.erf(pull / (2 * (self._std.square() * size + pull.square())).clamp(min=1e-300).sqrt())

    def coefficients(self, time: float, state: Tensor) -> tuple[Tensor, Spread]:
        """Drift and diffusion of the displacements (n, d)."""
        lr = float(self.schedule(torch.tensor(time, dtype=torch.float64)))
        mean = self.means(state)
        lost = mean @ self._inverse  # |lost|^2 = b'N^-1 b: what the square of the mean takes of the noise
        size = lost.square().sum(1, keepdim=True).clamp(min=1e-300)
        shrink = (1 - (1 - size.clamp(max=1)).sqrt()) / size

        def spread(normals: Tensor) -> Tensor:
            less = normals - lost * (shrink * (normals * lost).sum(1, keepdim=True))
            return (less @ self._root.T).mul_(lr / math.sqrt(self.dim))

        return -lr * mean, spread


def _slope(problem: LeastSquares) -> Callable[[Tensor], Tensor]:
    law = problem.noise
    if not law.is_costly:
        return law.phi
    scale = max(float(problem.excess_risk(problem.start)), 1e-12)
    return tabulate(law, risk_low=1e-12 * scale, risk_high=1e4 * scale)


def streaming_paths(
    problem: LeastSquares,
    *,
    lr: float | Schedule | Callable[[Tensor], Tensor],
    horizon: float,
    num_paths: int = 64,
    seed: int = 0,
    times: Any = None,
    moments: Moments = "exact",
    dt: float | None = None,
    progress: bool | Meter = False,
) -> Curve:
    """Excess risk of many paths of the SDE of signSGD on ``problem``, batch size 1, at its own dimension.

    Args:
        problem: Least-squares problem; rows are taken as Gaussian.
        lr: The theory's rate: a number, `Schedule`, or function of time (steps/dim). One update moves by lr / dim.
        horizon: End of the paths, in steps/dim.
        num_paths: Independent paths.
        seed: Path i has its own part of it.
        times: Times to report, in steps/dim, increasing; 101 equally spaced ones by default. Read at the nearest step
            of the integrator.
        moments: ``"exact"``, or ``"gaussian"`` for the SDE that takes the gradient for Gaussian; see
            `StreamingSigns`.
        dt: Step of the integrator (the trapezoid of weak order 2), in steps/dim; one update, 1 / dim, by default. More
            is quicker in high dimension, where the paths change little in one update.
        progress: True draws a meter on a terminal; a `Meter` object is told the fraction done.

    Returns:
        The mean over paths with ``stderr``, ``band`` (central 80%) and ``runs``, comparable with `signscope.predict`
        and `signscope.simulate`.

    Raises:
        InvalidInput: An argument is out of range; ``"gaussian"`` under noise without a second moment.
        Unsupported: More than 4,000 coordinates.

    Notes:
        One eigendecomposition, then O(d^2) per path and step.
    """
    problem = as_problem(WHO, problem)
    checks.one_of(WHO, "moments", moments, ("exact", "gaussian"))
    dim = problem.dim
    step = 1 / dim if dt is None else checks.positive(WHO, "dt", dt, unit="(steps/dim)")
    if dim > _LARGEST:
        raise Unsupported(f"{WHO}: needs dense matrices, and dim = {dim} is beyond {_LARGEST}. Use predict.")
    if moments == "gaussian" and not math.isfinite(problem.noise.second_moment):
        raise InvalidInput(
            f"{WHO}: a Gaussian gradient needs label noise with a second moment, which {problem.noise.spec} does not "
            "have. Use moments='exact'."
        )
    end = checks.positive(WHO, "horizon", horizon, unit="(steps/dim)")
    schedule = as_schedule(lr, who=WHO, horizon=end)
    steps = _steps(times, end, step)
    equation = StreamingSigns(problem, schedule, moments=moments)
    about = {
        "optimizer": "signsgd", "lr": schedule.initial, "step_size": schedule.initial / dim,
        "provenance": {
            "method": "sde", "equation": f"{moments} moments", "seed": seed, "version": __version__,
            "options": {"dt": step, "num_paths": num_paths, **schedule.describe()},
        },
    }  # fmt: skip
    recording = Recording(steps=steps, lr=step, observables={"loss": equation.risk}, about=about)
    meter = as_meter(progress, WHO)
    try:
        found = _gathered(equation, recording, num_paths=num_paths, seed=seed, meter=meter)
    finally:
        meter.close()
    return replace(found, quantity="excess_risk", time_unit="steps/dim")


def _steps(times: Any, end: float, dt: float) -> tuple[int, ...]:
    """Steps of the integrator nearest to the times asked for."""
    grid = torch.linspace(0, end, _POINTS, dtype=torch.float64) if times is None else as_float64(WHO, "times", times)
    if grid.ndim != 1 or not len(grid) or not bool((grid >= 0).all()) or float(grid.max()) > end * (1 + 1e-12):
        raise InvalidInput(f"{WHO}: `times` must lie between 0 and horizon = {end:g} (steps/dim).")
    steps = torch.floor(grid / dt + 0.5).long()
    if times is None:
        steps = torch.unique(steps)
    elif not bool((steps[1:] > steps[:-1]).all()):
        raise InvalidInput(f"{WHO}: `times` must increase by at least one step of the integrator, {dt:g} steps/dim.")
    return tuple(steps.tolist())


def _gathered(equation: StreamingSigns, recording: Recording, *, num_paths: int, seed: int, meter: Meter) -> Curve:
    dim, start = equation.dim, equation.problem.displacement

    def paths(members: range) -> Iterator[Tensor]:
        normals = Normals(seed, "streaming", members, width=dim, dtype=torch.float64, device=torch.device("cpu"))
        state, done = start.repeat(len(members), 1), 0
        while True:
            yield state
            state = trapezoid_step(equation, done * recording.lr, state, recording.lr, normals.next())
            done += 1

    count = checks.integer(WHO, "num_paths", num_paths, minimum=1)
    checks.integer(WHO, "seed", seed, minimum=0)
    return gather(paths, recording, num_paths=count, dim=dim, width=dim, numbers_per_path=20 * dim, meter=meter).loss
