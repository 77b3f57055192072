"""Picture of the page on very large dimensions; called by ``make_pictures.py``."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import signscope as ss
from signscope.limits.quadrature import lanczos_quadrature
from signscope.plots.risk import plot_risk
from signscope.problems import parse_operator

DPI = 130
LADDER = (20_000, 50_000, 100_000, 200_000, 400_000)
RUN_DIM = 20_000


def very_large(path: Path) -> None:
    """Left: processor time of the quadrature against dim. Right: a prediction at dim 20,000 with two real runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _cost(left)
    problem = ss.LeastSquares(parse_operator("low-rank:16", RUN_DIM), noise=0.3)
    options = {"lr": 0.5, "horizon": 1.0, "times": torch.linspace(0, 1, 41, dtype=torch.float64)}
    runs = ss.simulate(problem, "signsgd", num_runs=2, dtype="float32", **options)
    plot_risk([ss.predict(problem, "signsgd", **options), runs], ax=right)
    right.set_title(f"{RUN_DIM:,} coordinates, 16 common factors: curve and two runs", fontsize=11)
    figure.savefig(path, dpi=DPI)


def _cost(ax: Any) -> None:
    _seconds("low-rank:16", 5_000)  # warms up
    names = {"low-rank:16": "diagonal plus rank 16", "toeplitz:0.7": "Toeplitz"}
    for form, label in names.items():
        ax.loglog(LADDER, [_seconds(form, dim) for dim in LADDER], "o-", label=label)
    line = np.array(LADDER) / LADDER[-1]
    ax.loglog(LADDER, 1.5 * line * ax.get_ylim()[1], ":", color="#777777", label="proportional to dim")
    ax.set_xlabel("dim")
    ax.set_xticks(LADDER, [f"{dim:,}" for dim in LADDER], fontsize=9)
    ax.minorticks_off()
    ax.set_ylabel("processor time with two probes (s)")
    ax.set_title("signSGD's curve by Lanczos quadrature", fontsize=11)
    ax.legend(fontsize=9)


def _seconds(form: str, dim: int) -> float:
    problem = ss.LeastSquares(parse_operator(form, dim), noise=0.3)
    started = time.process_time()
    lanczos_quadrature(problem, "signsgd", num_probes=2)
    return time.process_time() - started


PICTURES = {"very-large": very_large}
