"""A prediction and the simulation of the same setting, and how far they are apart."""

from dataclasses import dataclass
from typing import Any

import torch

from signscope.comparison import gap
from signscope.curves import Curve
from signscope.limits import predict
from signscope.problems import LeastSquares, gaussian_problem
from signscope.reproduce.claims import Claim, at_least, at_most
from signscope.simulation import simulate


@dataclass(frozen=True, eq=False)
class Pair:
    """Prediction and simulation of one setting.

    Attributes:
        label: In legend, claims and numbers.
        prediction: The theory's curve.
        simulation: The algorithm's, with an 80% band over runs.
    """

    label: str
    prediction: Curve
    simulation: Curve

    @property
    def curves(self) -> list[tuple[str, Curve]]:
        """Both with their label."""
        return [(self.label, self.prediction), (self.label, self.simulation)]

    @property
    def mean_gap(self) -> float:
        """Mean of |prediction - simulation| / simulation over the recorded times t > 0."""
        return gap(self.prediction, self.simulation).mean

    @property
    def in_band(self) -> float:
        """Share of the recorded times t > 0 at which the prediction lies in the band of the runs."""
        assert self.simulation.band is not None
        low, high = self.simulation.band
        theory = self.prediction.at(self.simulation.time)
        inside = (theory >= low) & (theory <= high)
        return float(inside[self.simulation.time > 0].double().mean())

    def claims(self, *, at: float, band: float | None = None) -> list[Claim]:
        """The mean gap is at most ``at``; the prediction is in the band for a share ``band`` of the time."""
        found = [at_most(f"{self.label}: mean relative gap of prediction to simulation", self.mean_gap, at)]
        if band is not None:
            found.append(at_least(f"{self.label}: share of time in the 80% band", self.in_band, band))
        return found


def run_pair(
    label: str,
    problem: LeastSquares,
    optimizer: Any,
    *,
    lr: Any,
    horizon: float,
    num_runs: int,
    seed: int,
    method: str = "gaussian",
    rows: Any = "gaussian",
    points: int = 101,
    **options: Any,
) -> Pair:
    """Predict and simulate one setting; ``options`` (batch_size, betas) go to both. Runs are in float32."""
    times = torch.linspace(0, horizon, points, dtype=torch.float64)
    theory = predict(problem, optimizer, lr=lr, horizon=horizon, times=times, method=method, **options)
    runs = simulate(
        problem,
        optimizer,
        lr=lr,
        horizon=horizon,
        times=times,
        num_runs=num_runs,
        seed=seed,
        rows=rows,
        dtype="float32",
        **options,
    )
    return Pair(label, theory, runs)


def far_problem(
    dim: int, *, spectrum: Any, noise: Any, seed: int, rotated: bool = False, distance: float = 5.0
) -> LeastSquares:
    """A synthetic problem that starts at 0, its target drawn from N(0, distance^2 I/d)."""
    near = gaussian_problem(dim, spectrum=spectrum, rotated=rotated, noise=noise, seed=seed)
    return LeastSquares(near.cov, target=distance * near.target, noise=near.noise)
