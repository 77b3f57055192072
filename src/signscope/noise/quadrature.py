"""Composite Gauss-Legendre rules, on given panels or on panels refined until a function is resolved."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@lru_cache
def legendre(order: int) -> tuple[Array, Array]:
    """Nodes and weights of the Gauss-Legendre rule on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return nodes, weights


def composite(edges: Array, *, order: int) -> tuple[Array, Array]:
    """Nodes and weights of the rule on the panels between ``edges``; both of shape (len(edges) - 1, order)."""
    return on_panels(edges[:-1], edges[1:], order=order)


def on_panels(left: Array, right: Array, *, order: int) -> tuple[Array, Array]:
    """Nodes and weights on the panels [left_i, right_i]; both of shape (num_panels, order)."""
    nodes, weights = legendre(order)
    half = 0.5 * (right - left)[:, None]
    return left[:, None] + half * (1 + nodes), half * weights


def resolve(
    density: Callable[[Array], Array], edges: Array, *, order: int, pointwise: bool = False, max_depth: int = 50
) -> tuple[Array, Array]:
    """Panels on which ``order`` Gauss-Legendre nodes resolve ``density``, found by bisection.

    Args:
        density: A non-negative integrable function, vectorised.
        edges: Increasing first panel edges; put known kinks here.
        order: Number of nodes per panel.
        pointwise: Ask that the polynomial through the nodes gives the density, not only that the rule gives
            its integral (which takes half as many nodes).
        max_depth: Bisections of one first panel: singular points are approached to 2^-max_depth of its width.

    Returns:
        Left and right ends of the panels in increasing order.

    Notes:
        A panel is kept when it and its two halves agree to 1e-12 of its mass or to 1e-15; from depth 8 on 1e-8
        suffices, which only a density with numerical noise needs.
    """
    left, right = edges[:-1], edges[1:]
    kept: list[tuple[Array, Array]] = []
    for depth in range(max_depth + 1):
        middle = 0.5 * (left + right)
        gap, mass = _disagreement(density, left, right, order, pointwise)
        done = (gap <= 1e-15 + (1e-12 if depth < 8 else 1e-8) * mass) | (depth == max_depth) | (len(left) > 4000)
        kept.append((left[done], right[done]))
        left = np.concatenate([left[~done], middle[~done]])
        right = np.concatenate([middle[~done], right[~done]])
        if not len(left):
            break
    lefts, rights = (np.concatenate(side) for side in zip(*kept, strict=True))
    increasing = np.argsort(lefts)
    return lefts[increasing], rights[increasing]


def _disagreement(
    density: Callable[[Array], Array], left: Array, right: Array, order: int, pointwise: bool
) -> tuple[Array, Array]:
    """Difference between each panel and its halves, and the mass it is judged against."""
    middle = 0.5 * (left + right)
    (nodes, weights), *halves = (
        on_panels(*ends, order=order) for ends in ((left, right), (left, middle), (middle, right))
    )
    whole = density(nodes)
    parts = [density(points) for points, _ in halves]
    if not pointwise:
        mass = sum((p * w).sum(-1) for p, (_, w) in zip(parts, halves, strict=True))
        return np.abs((whole * weights).sum(-1) - mass), np.asarray(mass)
    guesses = whole @ _to_halves(order)
    largest = np.abs(np.concatenate([whole, *parts], -1)).max(-1) * (right - left)
    return np.abs(guesses - np.concatenate(parts, -1)).max(-1) * (right - left), largest


@lru_cache
def _to_halves(order: int) -> Array:
    """Matrix that takes values at a panel's nodes to its interpolant's values at the nodes of both halves."""
    nodes = legendre(order)[0]
    halves = np.concatenate([(nodes - 1) / 2, (nodes + 1) / 2])
    vander = np.polynomial.legendre.legvander
    return np.asarray(np.linalg.solve(vander(nodes, order - 1).T, vander(halves, order - 1).T), dtype=np.float64)
