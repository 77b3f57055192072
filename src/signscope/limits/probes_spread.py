"""The part of the signs' covariance that is not linear in the covariance, by probes of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.random import stream
from signscope.limits.probes import Measure, Symmetric, decayed, largest_of, sign_vector, steps_that_fit
from signscope.problems.lanczos import Tridiagonal, lanczos

_STEPS, _CHECK = 96, 4
_COLUMNS = 16  # of Ksig per probe where it has no product


@equation("signscope", "section 10, Ksig beyond its linearisation")
def spread_measures(op: Symmetric, numbers: range) -> tuple[list[Measure], list[Measure]]:
    """Weights of tr E f(S), E = D^1/2 (arcsin C - C) D^1/2 off the diagonal, one unbiased estimate per probe.

    Where Ksig has a product the probe is a random sign vector; else it is a random sign on a few random
    coordinates, so that a few columns of K suffice. From all Lanczos steps, and from a few less.
    """
    pairs = [_probe(op, n) for n in numbers]
    starts, images = (torch.stack(part) for part in zip(*pairs, strict=True))
    fit = steps_that_fit(op.dim, len(numbers), _STEPS)
    run = lanczos(op.product, starts, num_steps=fit, images=[images], settled=_settled(op), check_every=_CHECK)
    steps = run.diagonal.shape[1]
    found = [_weights(run, n) for n in (steps, max(steps - _CHECK, 1))]
    fine, coarse = ([_silent_but(theta, w) for theta, w in zip(*lanes, strict=True)] for lanes in found)
    return fine, coarse


def _weights(run: Tridiagonal, steps: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of every lane, (lanes, n) each; they add up to tr E = 0."""
    values, vectors = run.ritz(steps)
    first = run.norms[:, None] * vectors[:, 0]
    weights = first * torch.einsum("lkn,lk->ln", vectors, run.along[0, :, :steps])
    base = first.square()
    excess = weights.sum(1, keepdim=True) / base.sum(1, keepdim=True).clamp(min=1e-300)
    return values.clamp(min=0), weights - base * excess


def _silent_but(theta: Tensor, spread: Tensor) -> Measure:
    nothing = torch.zeros_like(theta)
    return Measure(theta, nothing, nothing, spread)


def _settled(op: Symmetric) -> Callable[[Tridiagonal], bool]:
    """Whether these weights have stood still over the last 4 steps, to 5e-5 of the total noise."""
    total = op.trace * torch.pi / 2

    def settled(run: Tridiagonal) -> bool:
        steps, top = run.diagonal.shape[1], largest_of(run)
        if steps <= _CHECK:
            return False
        pairs = (_weights(run, n) for n in (steps, steps - _CHECK))
        now, before = (decayed(op, theta, weights[:, None], top=top) for theta, weights in pairs)
        return bool(((now - before).abs() <= 5e-5 * total).all())

    return settled


def _probe(op: Symmetric, number: int) -> tuple[Tensor, Tensor]:
    """A start vector s and its image E s."""
    assert op.root is not None
    half, cov = op.root.sqrt(), op.problem.cov
    signs = sign_vector(op, number + 1_000_000)
    image = cov.sign_matvec(signs * half)
    if image is not None:
        linear = op.product(signs[None])[0] + (torch.pi / 2 - 1) * op.root * signs
        return signs, image * half - linear
    rng = stream(op.problem.seed, "columns", number)
    chosen = torch.from_numpy(rng.choice(op.dim, size=min(_COLUMNS, op.dim), replace=False))
    start, image = torch.zeros(op.dim, dtype=torch.float64), torch.zeros(op.dim, dtype=torch.float64)
    size = (op.dim / len(chosen)) ** 0.5
    for i in chosen.tolist():
        corr = cov.columns(torch.tensor([i]))[0].div_(op.root).div_(float(op.root[i])).clamp_(-1, 1)
        excess = torch.arcsin(corr).sub_(corr)
        excess[i] = 0.0
        start[i] = size * signs[i]
        image.add_(excess, alpha=float(size * signs[i] * half[i]))
    return start, image.mul_(half)
