"""The modes that a risk equation is solved with: all of them, merged ones, or the nodes of a quadrature."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from signscope.limits.bins import NODES, shared_on_grid
from signscope.limits.quadrature import Nodes, Quadrature, lanczos_quadrature
from signscope.limits.spectrum import spectrum
from signscope.problems import DENSE_REACH, LeastSquares

MERGE_BEYOND = 2 * NODES  # diagonal covariances beyond this dimension are put on a grid
_MEAN_NODES = 1024


@dataclass(frozen=True)
class Modes:
    """What equation (4.1) needs of a problem.

    Attributes:
        eigvals: lambda_j, or nodes in their place, shape (n,).
        start: r_j at time 0, shape (n,).
        sources: g_sj, shape (sources, n).
        quadrature: Where the nodes come from, with their errors; None for eigenvalues.
        kind: ``"eigenvalues"``, ``"merged"`` or ``"lanczos"``.
    """

    eigvals: Tensor
    start: Tensor
    sources: Tensor
    quadrature: Quadrature | None
    kind: str

    def describe(self) -> dict[str, Any]:
        """For a curve's provenance: which spectrum, and how many probes."""
        if self.quadrature is not None:
            return self.quadrature.describe()
        return {"spectrum": self.kind, "nodes": len(self.eigvals)}


_CACHE: "WeakKeyDictionary[LeastSquares, dict[tuple[str, str], Modes]]" = WeakKeyDictionary()


def modes_of(problem: LeastSquares, kernel: str, *, method: str = "gaussian") -> Modes:
    """Modes of ``problem`` for the kernel of an optimizer, found once and kept with the problem.

    Args:
        problem: The problem.
        kernel: sgd, signsgd, adam or signum.
        method: ``"gaussian"`` takes eigenvalues up to dim = 4,000 (any dim for a diagonal covariance, merged on a
            grid of 4,096 beyond 8,192) and Lanczos quadrature beyond; ``"dense"`` and ``"quadrature"`` force one.

    Raises:
        Unsupported: ``"dense"`` for a covariance whose matrix cannot be formed.
    """
    kept = _CACHE.setdefault(problem, {})
    chosen = method if method != "gaussian" else _default(problem)
    if (kernel, chosen) not in kept:
        kept[kernel, chosen] = _BUILDERS[chosen](problem, kernel)
    return kept[kernel, chosen]


def _default(problem: LeastSquares) -> str:
    if problem.cov.is_diagonal:
        return "merged" if problem.dim > MERGE_BEYOND else "dense"
    return "dense" if problem.dim <= DENSE_REACH else "quadrature"


def _dense(problem: LeastSquares, kernel: str) -> Modes:
    found = spectrum(problem, kernel)
    return Modes(found.eigvals, found.start, found.sources, None, "eigenvalues")


def _merged(problem: LeastSquares, kernel: str) -> Modes:
    """A diagonal K: g_j is lambda_j^2 times a number that depends on the kernel alone."""
    variances = problem.cov.diagonal()
    eigvals = variances if kernel == "sgd" else variances.sqrt()
    energy = 0.5 * variances * problem.displacement.square()
    nodes, weights = shared_on_grid(eigvals, torch.stack([energy, eigvals.square()]))
    start, squares = weights
    signs = torch.pi / 2 * squares
    kinds = {"sgd": [squares], "signsgd": [signs], "adam": [squares, squares], "signum": [signs, squares]}
    return Modes(nodes, start, torch.stack(kinds[kernel]), None, "merged")


def _quadrature(problem: LeastSquares, kernel: str) -> Modes:
    found = lanczos_quadrature(problem, kernel)
    mean = compressed(found.mean)
    return Modes(mean.eigvals, mean.start, mean.sources, found, "lanczos")


def compressed(nodes: Nodes, num_nodes: int = _MEAN_NODES) -> Nodes:
    """At most ``num_nodes`` nodes; 48 probes of 60 nodes each have more than any risk equation can tell apart."""
    weights = torch.cat([nodes.start[None], nodes.sources])
    eigvals, found = shared_on_grid(nodes.eigvals, weights, num_nodes=num_nodes)
    return Nodes(eigvals, found[0], found[1:])


_BUILDERS = {"dense": _dense, "merged": _merged, "quadrature": _quadrature}
