"""Optimizers run on an instance, with the exact norm of the gradient recorded at every point."""

import torch
from torch import Tensor

from signscope import rules
from signscope._core import checks
from signscope._core.random import stream
from signscope.bounds.instances.base import Instance
from signscope.bounds.plan import check_run
from signscope.rules.spectral import polar_factor

METHODS = ("sgd", "signsgd", "signum", "ssvr", "muon")


def follow(
    instance: Instance,
    method: str,
    *,
    lr: float | Tensor,
    num_steps: int,
    beta: float = 1.0,
    batch_size: int = 1,
    init_batch: int = 1,
    num_runs: int = 1,
    seed: int = 0,
) -> Tensor:
    r"""Norms of the exact gradient along runs of an optimizer; the rules are those of `signscope.rules`.

    Args:
        instance: The problem.
        method: sgd, signsgd, signum, ssvr, or muon (exact matrix sign, no momentum) on an `Embedded` instance.
        lr: Length of the step (factor on the gradient for sgd); one number, or one for every run, (runs,).
        num_steps: Updates T.
        beta: Weight of the new sample in signum and ssvr.
        batch_size: Samples B per gradient.
        init_batch: Samples averaged at the first point by signum and ssvr (B_0).
        num_runs: Independent runs.
        seed: Of the samples, which are the same for every method where batches are.

    Returns:
        (T, runs): l1 (muon: nuclear) norm at $x_0, \dots, x_{T-1}$, before each update.
    """
    checks.one_of("follow", "method", method, METHODS)
    rate = torch.as_tensor(lr, dtype=torch.float64).reshape(-1, *[1] * instance.start.ndim)
    for each in rate.flatten().tolist() or [0.0]:
        check_run("follow", lr=each, num_steps=num_steps, batch_size=batch_size, beta=beta, init_batch=init_batch)
    steps = int(num_steps)
    runs = checks.integer("follow", "num_runs", num_runs, minimum=1)
    rng = stream(checks.integer("follow", "seed", seed, minimum=0), "instances")
    x = instance.start.expand(runs, *instance.start.shape)
    estimate, previous = torch.zeros_like(x), x
    norms = torch.empty(steps, runs, dtype=torch.float64)
    for step in range(steps):
        norms[step] = instance.norm(instance.gradient(x))
        size = init_batch if step == 0 and method in ("signum", "ssvr") else batch_size
        sample = instance.draw(rng, runs, batch_size=size)
        estimate = (
            instance.sampled(x, sample)
            if step == 0
            else _estimate(method, instance, sample, (x, previous), estimate, beta)
        )
        previous, x = x, x - rate * _direction(method, estimate)
    return norms


def _estimate(
    method: str, instance: Instance, sample: Tensor, points: tuple[Tensor, Tensor], estimate: Tensor, beta: float
) -> Tensor:
    """The new estimate of the gradient at the first of ``points``, from one mini-batch."""
    grad = instance.sampled(points[0], sample)
    if method == "signum":
        return rules.signum(grad, estimate, momentum=1 - beta)[1]
    if method == "ssvr":
        return rules.ssvr(grad, instance.sampled(points[1], sample), estimate, beta=beta)
    return grad


def _direction(method: str, estimate: Tensor) -> Tensor:
    if method == "sgd":
        return rules.sgd(estimate)
    if method == "muon":
        return torch.stack([polar_factor(matrix) for matrix in estimate])
    return rules.signsgd(estimate)
