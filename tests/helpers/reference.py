"""The algorithms typed from their boxes, one run and one number at a time; they share no code with the package."""

import math
from collections.abc import Callable, Sequence

import numpy as np


def least_squares_path(
    optimizer: str,
    *,
    start: np.ndarray,
    rows: np.ndarray,
    noise: np.ndarray,
    rates: Sequence[float],
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> np.ndarray:
    """Displacements of one run, shape (num_steps + 1, d), for rows (num_steps, B, d) and noise (num_steps, B).

    g = (1/B) sum_b (<x_b, v> - e_b) x_b;  v <- v - (rate / d) u(g).
    """
    direction = {"sgd": sgd, "signsgd": signsgd, "adam": adam(betas, eps)}[optimizer]
    v = start.copy()
    path = [v.copy()]
    for x, e, rate in zip(rows, noise, rates, strict=True):
        g = np.zeros_like(v)
        for b in range(len(x)):
            g += (x[b] @ v - e[b]) * x[b] / len(x)
        v = v - rate / len(v) * direction(g)
        path.append(v.copy())
    return np.array(path)


def sgd(g: np.ndarray) -> np.ndarray:
    return g


def signsgd(g: np.ndarray) -> np.ndarray:
    return np.array([(value > 0) * 1.0 - (value < 0) * 1.0 for value in g])


def adam(betas: tuple[float, float], eps: float) -> Callable[[np.ndarray], np.ndarray]:
    """Algorithm 1 of Kingma & Ba: returns the step direction and remembers the moments."""
    state = {"m": 0.0, "s": 0.0, "k": 0}

    def direction(g: np.ndarray) -> np.ndarray:
        state["k"] += 1
        state["m"] = betas[0] * state["m"] + (1 - betas[0]) * g
        state["s"] = betas[1] * state["s"] + (1 - betas[1]) * g**2
        m_hat = state["m"] / (1 - betas[0] ** state["k"])
        s_hat = state["s"] / (1 - betas[1] ** state["k"])
        return np.array([m / (math.sqrt(s) + eps) for m, s in zip(m_hat, s_hat, strict=True)])

    return direction


def risks(path: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """1/2 v'Kv along a path."""
    return np.array([0.5 * v @ cov @ v for v in path])
