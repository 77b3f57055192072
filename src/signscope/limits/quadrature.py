"""Few nodes in place of d modes: the spectral measures of section 10, put together for every optimizer."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import Unsupported
from signscope.limits.probes import (
    CHECK,
    NO_STEPS_BELOW,
    Measure,
    Symmetric,
    decayed,
    probe_measures,
    start_measure,
    start_settled,
    steps_that_fit,
    symmetric,
    top_of,
)
from signscope.limits.probes_spread import spread_measures
from signscope.problems import LeastSquares
from signscope.problems.cost import paced
from signscope.problems.lanczos import lanczos

_START_STEPS, _NOISE_STEPS = 160, 96
_AIM, _AIM_LARGE = 3e-4, 1e-3  # standard error of the noise, against its total, at which no more probes are drawn
_NUMBERS = 4_000_000  # probes times dim that are drawn at most, beyond the first ones
_FIRST_LARGE, _FIRST, _MOST = 2, 8, 64
_LARGE = 200_000
_TYPICAL = 200  # products with vectors, at the least
_GROUPS = 8


@dataclass(frozen=True)
class Nodes:
    """One set of nodes for equation (4.1).

    Attributes:
        eigvals: theta_i, shape (n,).
        start: r_i at time 0, shape (n,).
        sources: g_si, shape (sources, n).
    """

    eigvals: Tensor
    start: Tensor
    sources: Tensor


@dataclass(frozen=True)
class Quadrature:
    """Lanczos quadrature of one problem and kernel.

    Attributes:
        mean: From all probes: what predictions use.
        groups: The same from each probe alone, or from each of 8 groups; their spread is the error of the probes.
        coarse: From 8 Lanczos steps less; the difference is the error of the quadrature.
        num_probes: Random vectors used.
        num_start_steps: Lanczos steps from y0.
        num_steps: Lanczos steps from a probe.
        num_exact: Eigenvectors taken as they are.
        exact_signs: Whether Ksig had a product of its own (else its linear part and sampled columns).
    """

    mean: Nodes
    groups: list[Nodes]
    coarse: Nodes
    num_probes: int
    num_start_steps: int
    num_steps: int
    num_exact: int
    exact_signs: bool

    def describe(self) -> dict[str, Any]:
        """For a curve's provenance."""
        return {
            "spectrum": "lanczos",
            "probes": self.num_probes,
            "steps": self.num_steps,
            "start_steps": self.num_start_steps,
            "exact_eigenvectors": self.num_exact,
            "sign_covariance": "product" if self.exact_signs else "linear part and sampled columns",
        }


def lanczos_quadrature(problem: LeastSquares, kernel: str, *, num_probes: int | None = None) -> Quadrature:
    """Nodes for ``kernel``, by Lanczos runs from the start and from random sign vectors.

    Args:
        problem: The problem; its seed names the probes.
        kernel: sgd, signsgd, adam or signum.
        num_probes: Number of probes; by default as many as bring their error to 0.03% of the noise (0.1% from
            dim = 200,000 on), at most 64 and at most 4 million numbers, at least 8 (2).

    Raises:
        Unsupported: Twelve Lanczos vectors would not fit into 1.2 GB.

    Notes:
        Every run costs ``steps`` products and O(steps^2 d) for orthogonality. Memory: the basis of one run at a
        time, in float32, at most 1.2 GB.
    """
    dim = problem.dim
    if steps_that_fit(dim, 1, _START_STEPS) < min(NO_STEPS_BELOW, dim):
        raise Unsupported(
            f"predict: dim = {dim} needs {NO_STEPS_BELOW * 4e-9 * dim:.3g} GB for the Lanczos vectors of this "
            "covariance, more than the 1.2 GB allowed. A diagonal covariance has no such limit."
        )
    op = symmetric(problem, kernel)
    who = f"predict: the {_TYPICAL} or more products with a covariance of {dim} coordinates"
    op = replace(
        op, product=paced(op.product, who=who, count=_TYPICAL, advice="A structured covariance has faster ones.")
    )
    start = op.start[None] if bool(op.start.any()) else torch.ones(1, dim, dtype=torch.float64)
    run = lanczos(
        op.product, start, num_steps=steps_that_fit(dim, 1, _START_STEPS), settled=start_settled(op), check_every=CHECK
    )
    top = top_of(op, run)
    steps = run.diagonal.shape[1]
    modes = [start_measure(op, run, n) for n in (steps, max(steps - CHECK, 1))]
    if not bool(op.start.any()):
        modes = [(theta, torch.zeros_like(r)) for theta, r in modes]
    del run
    fine, coarse, noise_steps = _measures(op, kernel, top, num_probes)
    num_groups = min(len(fine), _GROUPS)
    return Quadrature(
        mean=_nodes(kernel, modes[0], fine),
        groups=[_nodes(kernel, modes[0], fine[i::num_groups]) for i in range(num_groups)],
        coarse=_nodes(kernel, modes[1], coarse),
        num_probes=len(fine),
        num_start_steps=steps,
        num_steps=noise_steps,
        num_exact=len(top.vectors),
        exact_signs=_has_sign_product(problem),
    )


def _measures(op: Symmetric, kernel: str, top: Any, num_probes: int | None) -> tuple[list[Measure], list[Measure], int]:
    """Probe after probe until their mean is known well enough."""
    first = _FIRST_LARGE if op.dim >= _LARGE else _FIRST
    most = num_probes or max(first, min(_MOST, _NUMBERS // op.dim))
    fine: list[Measure] = []
    coarse: list[Measure] = []
    steps, aim = 0, _AIM_LARGE if op.dim >= _LARGE else _AIM
    while len(fine) < most:
        wanted = min(most - len(fine), max(first, len(fine)))
        lanes = max(1, min(wanted, steps_that_fit(op.dim, 48, 10**6)))
        numbers = range(len(fine), len(fine) + lanes)
        found = probe_measures(
            op,
            top,
            numbers,
            num_steps=steps_that_fit(op.dim, lanes, _NOISE_STEPS),
            steps_less=CHECK,
        )
        if kernel in ("signsgd", "signum"):
            extra = spread_measures(op, numbers)
            joined = [[m.joined(e) for m, e in zip(*pair, strict=True)] for pair in zip(found[:2], extra, strict=True)]
            found = (joined[0], joined[1], found[2])
        fine, coarse, steps = fine + found[0], coarse + found[1], max(steps, found[2])
        if num_probes is None and len(fine) >= first and _noise_error(op, kernel, fine) <= aim:
            break
    return fine, coarse, steps


def _noise_error(op: Symmetric, kernel: str, measures: list[Measure]) -> float:
    """Largest standard error of the decayed noise over its total, over all decays and sources."""
    top = max(float(m.nodes.max()) for m in measures)
    values = torch.stack([decayed(op, m.nodes, torch.stack(_stationary(kernel, m)), top=top) for m in measures])
    stderr = values.std(0) / len(measures) ** 0.5
    return float((stderr / values.mean(0).abs().amax(-1, keepdim=True)).max())


def _stationary(kernel: str, m: Measure) -> list[Tensor]:
    """The weights g_i / theta_i of every source, which add up to tr N."""
    linear = m.nodes * m.counts
    if kernel == "sgd":
        return [linear]
    signs = linear + (math.pi / 2 - 1) * m.scaled + m.spread
    return {"signsgd": [signs], "adam": [linear, m.scaled], "signum": [signs, linear]}[kernel]


def _nodes(kernel: str, modes: tuple[Tensor, Tensor], measures: list[Measure]) -> Nodes:
    """Modes of the start next to the atoms of the noise, averaged over ``measures``."""
    theta, start = modes
    nodes = torch.cat([theta, *(m.nodes for m in measures)])
    sources = torch.cat([m.nodes * torch.stack(_stationary(kernel, m)) for m in measures], dim=1) / len(measures)
    silent = torch.zeros(len(sources), len(theta), dtype=torch.float64)
    return Nodes(
        nodes, torch.cat([start, torch.zeros(sources.shape[1], dtype=torch.float64)]), torch.cat([silent, sources], 1)
    )


def _has_sign_product(problem: LeastSquares) -> bool:
    """Whether the covariance overrides `Covariance.sign_matvec`."""
    from signscope.problems import Covariance

    return type(problem.cov).sign_matvec is not Covariance.sign_matvec
