"""Pictures of the pages on the four effects and on homogenized SDEs; called by ``make_pictures.py``."""

from pathlib import Path

import numpy as np
import torch

import signscope as ss
from signscope.comparison.four_effects import five_effects
from signscope.limits.homogenized import homogenized_paths
from signscope.plots.effects import plot_effects
from signscope.plots.panels import Panel, plot_panels
from signscope.problems import gaussian_problem
from signscope.rules.effects import EFFECTS
from signscope.simulation.effects import simulate_effect

DPI = 130
NOISE = "mixture:0.9,0,0.1;0.1,0,2"  # mostly small residuals, one label in ten far off


def effects_problem(dim: int = 300) -> ss.LeastSquares:
    """A rotated covariance whose coordinates differ in scale by a factor of 4, with tr K = d."""
    plain = gaussian_problem(dim, spectrum="log:0.02,1", rotated=True)
    scales = np.logspace(-0.3, 0.3, dim)
    cov = plain.cov.dense().numpy() * np.outer(scales, scales)
    return ss.LeastSquares(cov * dim / np.trace(cov), noise=NOISE)


def effects(path: Path) -> None:
    """Five curves with real runs of the five algorithms, and the noise compression."""
    problem, options = effects_problem(), {"lr": 0.2, "horizon": 15}
    found = five_effects(problem, **options)
    runs = [simulate_effect(problem, name, num_runs=32, seed=1, dtype="float32", **options) for name in EFFECTS]
    title = "300 coordinates, nine labels in ten with noise 0.1, one in ten with noise 2"
    plot_effects(found.curves, found.psi, simulations=runs, title=title).savefig(path, dpi=DPI)


def homogenized(path: Path) -> None:
    """Spread of the risk: paths of the SDE against runs of signSGD, in 50 and 400 dimensions."""
    panels = []
    for dim in (50, 400):
        problem = effects_problem(dim)
        options = {"lr": 0.4, "horizon": 10, "times": torch.linspace(0, 10, 51, dtype=torch.float64)}
        paths = homogenized_paths(problem, "signsgd", num_paths=200, **options)
        runs = ss.simulate(problem, "signsgd", num_runs=200, dtype="float32", **options)
        panels.append(Panel(f"{dim} coordinates", [ss.predict(problem, "signsgd", **options), runs, _named(paths)]))
    figure = plot_panels(panels, title="central 80% of 200 runs of signSGD, and of 200 paths of its homogenized SDE")
    figure.savefig(path, dpi=DPI)


def _named(paths: ss.Curve) -> ss.Curve:
    from dataclasses import replace

    return replace(paths, optimizer="homogenized SDE")


PICTURES = {"effects": effects, "homogenized": homogenized}
