"""Spectral measures of a covariance operator from a few random vectors, by stochastic Lanczos quadrature."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope.problems import LeastSquares
from signscope.problems.lanczos import Tridiagonal, lanczos

BASIS_BYTES = 1.2e9  # of Lanczos vectors held at a time
NO_STEPS_BELOW = 12
_RESIDUAL = 1e-3  # a Ritz vector this exact is taken as an eigenvector; what it costs is the square
_MOST_TOP = 24
CHECK = 8  # steps between two looks at convergence
_FASTEST, _SLOWEST, _DECAYS = 0.1, 1e3, 60  # exp(-s lambda): s from 0.1 / lambda_max to 1,000 / mean lambda


@dataclass(frozen=True)
class Symmetric:
    """The operator S of equation (4.1) and what is known of it.

    Attributes:
        dim: d.
        product: v -> S v, (lanes, d) to (lanes, d).
        start: y0, shape (d,).
        root: Diagonal of D for S = D^-1/2 K D^-1/2, shape (d,); None for S = K.
        trace: tr S.
        square: tr S^2 where it is cheap, else None.
        problem: Where all this comes from.
    """

    dim: int
    product: Callable[[Tensor], Tensor]
    start: Tensor
    root: Tensor | None
    trace: float
    square: float | None
    problem: LeastSquares


def symmetric(problem: LeastSquares, kernel: str) -> Symmetric:
    """S = K for sgd, S = D^-1/2 K D^-1/2 for the sign-like methods."""
    cov, v = problem.cov, problem.displacement
    if kernel == "sgd":
        return Symmetric(cov.dim, cov.matvec, v, None, cov.trace, cov.squared_norm(), problem)
    variances = cov.diagonal()
    scale = variances**-0.25

    def product(u: Tensor) -> Tensor:
        return cov.matvec(u * scale).mul_(scale)

    root = variances.sqrt()
    return Symmetric(cov.dim, product, v / scale, root, float(root.sum()), cov.squared_norm(scale), problem)


@dataclass(frozen=True)
class Measure:
    """Atoms of the noise measures of S.

    Attributes:
        nodes: theta_i, shape (n,).
        counts: Weights of tr f(S), shape (n,).
        scaled: Weights of tr D f(S), shape (n,); zeros for S = K.
        spread: Weights of tr E f(S), E the part of N beyond S + (pi/2 - 1) D, shape (n,).
    """

    nodes: Tensor
    counts: Tensor
    scaled: Tensor
    spread: Tensor

    def joined(self, other: "Measure") -> "Measure":
        """The atoms of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Measure(*(torch.cat(pair) for pair in pairs))


@dataclass(frozen=True)
class Top:
    """Eigenvectors that the run from y0 has found: what is known exactly needs no probe.

    Attributes:
        vectors: Orthonormal rows, shape (m, d), float32.
        measure: Their atoms.
    """

    vectors: Tensor
    measure: Measure


@equation("signscope", "section 10, mu_r")
def start_measure(op: Symmetric, run: Tridiagonal, steps: int | None = None) -> tuple[Tensor, Tensor]:
    r"""Nodes theta_i and modes $r_i = \tfrac12 \theta_i (\|y_0\| Y_{1i})^2$ from the run that starts at y0."""
    values, vectors = run.ritz(steps)
    theta = values[0].clamp(min=0)
    return theta, 0.5 * theta * (run.norms[0] * vectors[0, 0]) ** 2


def steps_that_fit(dim: int, lanes: int, wanted: int) -> int:
    """Lanczos steps whose basis takes at most `BASIS_BYTES`."""
    return min(wanted, dim, max(int(BASIS_BYTES / (4.0 * dim * lanes)), 1))


def top_of(op: Symmetric, run: Tridiagonal) -> Top:
    """Converged Ritz vectors of the run from y0, the largest eigenvalues first.

    They do not depend on the probes, so that probes kept orthogonal to them estimate the rest without bias,
    multiple eigenvalues included.
    """
    values, vectors = run.ritz()
    theta, inner = values[0], vectors[0]
    residual = run.beside[0, -1] * inner[-1].abs()
    good = (residual <= _RESIDUAL * theta).flip(0)
    count = min(int(good.int().cumprod(0).sum()), _MOST_TOP, len(theta) // 2)
    keep = slice(len(theta) - count, len(theta))
    rows = inner[:, keep].T.float() @ run.basis[0]
    rows = torch.linalg.qr(rows.T.double()).Q.T.float() if count and op.dim <= 200_000 else rows
    squares = torch.zeros(count, dtype=torch.float64)
    if op.root is not None:
        squares = torch.stack([(row.double().square() * op.root).sum() for row in rows]) if count else squares
    ones = torch.ones(count, dtype=torch.float64)
    return Top(rows, Measure(theta[keep].clamp(min=0), ones, squares, torch.zeros_like(ones)))


@equation("signscope", "section 10, mu_g")
def probe_measures(
    op: Symmetric, top: Top, numbers: range, *, num_steps: int, steps_less: int = 0
) -> tuple[list[Measure], list[Measure], int]:
    r"""Noise measures from one random sign vector z each.

    With the Lanczos basis V from z (kept orthogonal to ``top``) and eigenvectors Y of its T, tr f(S) has weights
    $(\|z\| Y_{1i})^2$ and tr D f(S) has $\|z\| Y_{1i} (Y'V'Dz)_i$ (of either sign). Known traces of S, S^2, D and DS
    then correct every probe.

    Args:
        op: The operator.
        top: What is known exactly.
        numbers: The probes' numbers: each has its own stream of the problem's seed.
        num_steps: Most Lanczos steps.
        steps_less: Steps left out for the second answer.

    Returns:
        Measures from all steps, from fewer steps, and the number of steps.
    """
    signs = torch.stack([sign_vector(op, n) for n in numbers])
    starts = signs.clone()
    if len(top.vectors):
        for start in starts:
            start.sub_(top.vectors.T @ (top.vectors @ start.float()))
    images = [] if op.root is None else [signs * op.root]
    run = lanczos(
        op.product, starts, num_steps=num_steps, images=images, against=top.vectors, settled=_noise_settled(op)
    )
    del starts, images, signs
    steps = run.diagonal.shape[1]
    fine = [_corrected(op, top, run, lane, steps) for lane in range(len(numbers))]
    coarse = [_corrected(op, top, run, lane, max(steps - steps_less, 1)) for lane in range(len(numbers))]
    del run
    return fine, coarse, steps


def sign_vector(op: Symmetric, number: int) -> Tensor:
    """The random signs of one probe, shape (d,)."""
    bits = stream(op.problem.seed, "probe", number).integers(0, 2, size=op.dim, dtype="int8")
    return torch.from_numpy(bits).double().mul_(2).sub_(1)


def _corrected(op: Symmetric, top: Top, run: Tridiagonal, lane: int, steps: int) -> Measure:
    """One probe's atoms, corrected by the known traces, joined with the exact ones."""
    values, vectors = run.ritz(steps)
    theta, inner = values[lane].clamp(min=0), vectors[lane]
    first = run.norms[lane] * inner[0]
    exact = top.measure
    counts = first.square()
    known = [op.dim - exact.counts.sum(), op.trace - (exact.counts * exact.nodes).sum()]
    if op.square is not None:
        known.append(op.square - (exact.counts * exact.nodes.square()).sum())
    counts = counts * (1 + _correction(theta, counts, counts, torch.stack([torch.as_tensor(k) for k in known])))
    scaled = torch.zeros_like(theta)
    if op.root is not None:
        scaled = first * (inner.T @ run.along[0, lane, :steps])
        totals = [op.root.sum() - exact.scaled.sum(), op.root.square().sum() - (exact.scaled * exact.nodes).sum()]
        scaled = scaled + counts * _correction(theta, counts, scaled, torch.stack(totals))
    return Measure(theta, counts, scaled, torch.zeros_like(theta)).joined(exact)


def _correction(theta: Tensor, base: Tensor, weights: Tensor, known: Tensor) -> Tensor:
    """Polynomial p(theta) such that ``weights + base p`` has the known moments; fewer of them if it gets large."""
    x = theta / theta.max().clamp(min=1e-300)
    scale = theta.max().clamp(min=1e-300) ** torch.arange(len(known), dtype=theta.dtype)
    for count in range(len(known), 0, -1):
        powers = x[:, None] ** torch.arange(count, dtype=theta.dtype)
        missing = known[:count] / scale[:count] - powers.T @ weights
        gram = (powers * base[:, None]).T @ powers
        found = powers @ torch.linalg.lstsq(gram, missing[:, None], driver="gelsd").solution[:, 0]
        if count == 1 or float((found * base).abs().sum()) <= 0.5 * float(weights.abs().sum()):
            return found
    return torch.zeros_like(theta)


def decayed(op: Symmetric, nodes: Tensor, weights: Tensor, *, top: float) -> Tensor:
    """Sums of weights exp(-s theta), shape (..., 60), for decays s from the fastest mode to the slow ones.

    Args:
        op: The operator; its mean eigenvalue sets the slowest decay. A few eigenvalues of order d do not move it.
        nodes: theta, shape (..., n).
        weights: Shape (..., kinds, n).
        top: The largest eigenvalue.
    """
    low, high = math.log10(_FASTEST / top), math.log10(_SLOWEST * op.dim / op.trace)
    decays = torch.logspace(low, max(low, high), _DECAYS, dtype=torch.float64)
    return weights @ torch.exp(-nodes[..., None] * decays)


def start_settled(op: Symmetric) -> Callable[[Tridiagonal], bool]:
    """Whether the risk without noise has stood still over the last 8 steps, to 1e-4 down to 1e-6 of its start."""

    def settled(run: Tridiagonal) -> bool:
        steps, top = run.diagonal.shape[1], largest_of(run)
        if steps <= CHECK:
            return False
        now, before = (decayed(op, *start_measure(op, run, n), top=top) for n in (steps, steps - CHECK))
        return bool(((now - before).abs() <= 1e-4 * now.clamp(min=1e-6 * float(now[0]))).all())

    return settled


def _noise_settled(op: Symmetric) -> Callable[[Tridiagonal], bool]:
    """Whether the noise measures have stood still over the last 8 steps, to 2e-5 of their totals."""

    def settled(run: Tridiagonal) -> bool:
        steps, top = run.diagonal.shape[1], largest_of(run)
        if steps <= CHECK:
            return False
        now, before = (decayed(op, *_noise_weights(run, n), top=top) for n in (steps, steps - CHECK))
        return bool(((now - before).abs() <= 2e-5 * now.abs().amax(-1, keepdim=True)).all())

    return settled


def _noise_weights(run: Tridiagonal, steps: int) -> tuple[Tensor, Tensor]:
    """Nodes (lanes, n) and the weights theta w and those of the image, (lanes, kinds, n)."""
    values, vectors = run.ritz(steps)
    theta = values.clamp(min=0)
    kinds = [theta * vectors[:, 0] ** 2]
    kinds += [vectors[:, 0] * torch.einsum("lkn,lk->ln", vectors, image[:, :steps]) for image in run.along]
    return theta, torch.stack(kinds, 1)


def largest_of(run: Tridiagonal) -> float:
    """The largest Ritz value over all lanes."""
    return max(float(run.ritz()[0].max()), 1e-300)
