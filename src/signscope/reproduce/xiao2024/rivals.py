"""SGD and signSGD on one problem, each at its best constant rate: predicted, simulated, drawn."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signscope.comparison import best_lr
from signscope.problems import LeastSquares
from signscope.reproduce.drawing import draw_pair, finish_curves
from signscope.reproduce.xiao2024.pairs import Pair, run_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"sgd": "SGD", "signsgd": "signSGD"}


def best_pairs(problem: LeastSquares, label: str, *, horizon: float, num_runs: int, seed: int) -> dict[str, Pair]:
    """Both at the rates that are best for the horizon; labels read "SGD, LABEL lr 0.5"."""
    pairs: dict[str, Pair] = {}
    for optimizer, name in NAMES.items():
        lr = best_lr(problem, optimizer, horizon=horizon).lr
        setting = {"lr": lr, "horizon": horizon, "num_runs": num_runs, "seed": seed}
        pairs[optimizer] = run_pair(f"{name}, {label} lr {lr:.3g}", problem, optimizer, **setting)
    return pairs


def draw_rivals(ax: "Axes", pairs: Mapping[str, Pair], *, title: str) -> None:
    """Both with their rates in the legend."""
    for index, (optimizer, pair) in enumerate(pairs.items()):
        label = f"{NAMES[optimizer]}, lr {pair.prediction.lr:.3g}"
        draw_pair(ax, pair.prediction, pair.simulation, label=label, index=index)
    finish_curves(ax, pairs["sgd"].prediction, title=title)


def preconditioned_eigvals(problem: LeastSquares) -> Tensor:
    """Eigenvalues of Kbar = D^-1 K, ascending, shape (d,): what signSGD sees of K."""
    root = problem.cov.diagonal().sqrt()
    if problem.cov.is_diagonal:
        return root.sort().values
    half = root.rsqrt()
    return torch.linalg.eigvalsh(problem.cov.dense() * torch.outer(half, half))


def preconditioned_condition(problem: LeastSquares) -> float:
    """Largest over smallest eigenvalue of Kbar."""
    eigvals = preconditioned_eigvals(problem)
    return float(eigvals[-1] / eigvals[0])
