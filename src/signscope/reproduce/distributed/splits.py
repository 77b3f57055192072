"""How the training rows are dealt out to nodes."""

from collections.abc import Sequence

import numpy as np

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.random import stream

SPLITS = ("homogeneous", "label skew")
WHO = "jiang2024-distributed"


def deal(labels: Sequence[int], *, nodes: int, each: int, split: str, alpha: float, seed: int) -> np.ndarray:
    """Rows of every node, shape (nodes, each); no row twice.

    Args:
        labels: Class of every row.
        nodes: Number of nodes.
        each: Rows per node; the rest is left out.
        split: "homogeneous": at random; "label skew": every node draws its own shares of the classes from a
            symmetric Dirichlet law, and its rows by these shares as long as there are any.
        alpha: Parameter of the Dirichlet law: small for nodes with few classes.
        seed: Of everything random.

    Raises:
        InvalidInput: There are too few rows, or an unknown split.
    """
    checks.one_of(WHO, "split", split, SPLITS)
    y, rng = np.asarray(labels), stream(seed, "split", split, nodes)
    if nodes * each > len(y):
        raise InvalidInput(f"{WHO}: {nodes} nodes with {each} rows each need more than the {len(y)} rows there are.")
    if split == "homogeneous":
        return rng.permutation(len(y))[: nodes * each].reshape(nodes, each)
    classes = np.unique(y)
    pools = [list(rng.permutation(np.flatnonzero(y == c))) for c in classes]
    dealt = np.empty((nodes, each), dtype=np.int64)
    for node in range(nodes):
        shares = rng.dirichlet(np.full(len(classes), alpha))
        for place in range(each):
            left = np.array([bool(pool) for pool in pools])
            weights = np.where(left, shares + 1e-12, 0.0)
            dealt[node, place] = pools[int(rng.choice(len(classes), p=weights / weights.sum()))].pop()
    return dealt


def skew(labels: Sequence[int], dealt: np.ndarray) -> float:
    """Mean total variation between the classes of a node and those of all nodes: 0 alike, near 1 apart."""
    y = np.asarray(labels)[dealt]
    classes = np.unique(y)
    shares = np.stack([(y == c).mean(1) for c in classes], 1)
    return float(0.5 * np.abs(shares - shares.mean(0)).sum(1).mean())
