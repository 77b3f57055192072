"""The few modes that a risk equation needs: Gauss quadrature of its spectral measures.

Given the rate, R depends on the modes through two functions of the decay sigma alone, the Laplace transforms
sum_j r_j(0) exp(-lambda_j sigma) and sum_j g_sj exp(-lambda_j sigma). Gauss rules with 12 nodes per decade of the
spectrum reproduce both for any dimension, so that a search over schedules costs the same at d = 500 and at d = 10^6.
"""

import math
from dataclasses import dataclass

import numpy as np

from signscope._core.equations import equation
from signscope.limits.coefficients import Setting
from signscope.limits.modes import Modes as AllModes
from signscope.limits.modes import modes_of
from signscope.problems import LeastSquares

_NODES = 12  # per decade of eigenvalues and measure; the risk is then right to 1e-6


@dataclass(frozen=True)
class Modes:
    """A compressed mode form.

    Attributes:
        eigvals: Nodes lambda_j, shape (modes,).
        start: r_j at time 0, shape (modes,).
        sources: g_sj, shape (sources, modes).
    """

    eigvals: np.ndarray
    start: np.ndarray
    sources: np.ndarray


def few_modes(problem: LeastSquares, setting: Setting) -> Modes:
    """The compressed mode form of ``problem`` for ``setting``."""
    return compressed(modes_of(problem, setting.kernel))


def compressed(modes: AllModes) -> Modes:
    """The given modes, those that never enter R left out, replaced by Gauss rules where that is shorter.

    Args:
        modes: Of a problem and an optimizer; weights may have any sign.

    Returns:
        The same risk for every schedule, to about 1e-6.
    """
    eigvals = modes.eigvals.numpy()
    keep = eigvals > len(eigvals) * np.finfo(float).eps * eigvals.max(initial=0.0)
    eigvals = eigvals[keep]
    measures = [modes.start.numpy()[keep], *modes.sources.numpy()[:, keep]]
    if len(eigvals) <= 2 * _NODES * len(measures):
        return Modes(eigvals, measures[0], np.stack(measures[1:]))
    rules = [_signed_rule(eigvals, weights) for weights in measures]
    nodes = np.concatenate([nodes for nodes, _ in rules])
    placed = np.zeros((len(measures), len(nodes)))
    first = 0
    for row, (rule, weights) in zip(placed, rules, strict=True):
        row[first : first + len(rule)] = weights
        first += len(rule)
    return Modes(nodes, placed[0], placed[1:])


def _signed_rule(eigvals: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A short rule for a measure whose weights may be negative: one for each sign and decade."""
    decade = np.log10(eigvals / eigvals.max())
    num_panels = max(1, math.ceil(-decade.min()))
    panel = np.minimum((-decade * num_panels / max(-decade.min(), 1e-300)).astype(int), num_panels - 1)
    parts = [np.zeros((2, 0))]
    for index in range(num_panels):
        for sign in (1, -1):
            inside = (panel == index) & (sign * weights > 0)
            if inside.any():
                nodes, found = gauss_rule(eigvals[inside], sign * weights[inside], _NODES)
                parts.append(np.stack([nodes, sign * found]))
    nodes, found = np.concatenate(parts, axis=1)
    return nodes, found


@equation("signscope", "Gauss quadrature of a spectral measure by Lanczos")
def gauss_rule(points: np.ndarray, weights: np.ndarray, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the Gauss rule of a discrete positive measure.

    Args:
        points: Support, shape (n,).
        weights: Masses above 0, shape (n,).
        num_nodes: k; the rule is exact for polynomials up to degree 2 k - 1.

    Returns:
        Nodes and weights, at most k each; the measure itself where it has at most k points.

    Notes:
        k Lanczos steps on diag(points) with full reorthogonalisation, O(n k^2).
    """
    if len(points) <= num_nodes:
        return points, weights
    total = weights.sum()
    basis = [np.sqrt(weights / total)]
    diagonal, beside = [], []
    for step in range(num_nodes):
        image = points * basis[-1]
        diagonal.append(float(image @ basis[-1]))
        for _ in range(2):  # twice is enough
            for vector in basis:
                image = image - (vector @ image) * vector
        norm = float(np.linalg.norm(image))
        if step == num_nodes - 1 or norm <= 1e-13 * abs(points).max():
            break
        beside.append(norm)
        basis.append(image / norm)
    size = len(diagonal)
    tridiagonal = np.diag(diagonal) + np.diag(beside[: size - 1], 1) + np.diag(beside[: size - 1], -1)
    nodes, vectors = np.linalg.eigh(tridiagonal)
    return nodes, total * vectors[0] ** 2
