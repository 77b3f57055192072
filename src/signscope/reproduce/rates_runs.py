"""Runs of the rate experiments: the rules of `signscope.rules` with the parameters of `signscope.bounds`."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from signscope import rules
from signscope._core.random import stream
from signscope.bounds import Plan
from signscope.reproduce.rates_problem import Law, Sample, draw, draw_components, exact_gradient, start

BLOCK = 256
Point = tuple[Tensor, Tensor]


def stochastic_norm(plan: Plan, *, dim: int, num_runs: int, seed: int, law: Law) -> Tensor:
    """Mean over the path of the l1 norm of the exact gradient, for every run.

    Args:
        plan: Parameters of "signsgd", "signum" or "ssvr".
        dim: Coordinates.
        num_runs: Independent runs.
        seed: Of the noise.
        law: "skewed" or "gaussian".

    Returns:
        (runs,), in the unit of the gradient.
    """
    rng = stream(seed, "rates", law, plan.method, plan.num_steps)
    x = start(num_runs, dim)
    exact = exact_gradient(x)
    samples = _samples(rng, (num_runs, dim), law)
    estimate = _mean_gradient(samples, x, exact, plan.init_batch)
    direction, previous = rules.signsgd(estimate), (x, exact)
    total = torch.zeros(num_runs, dtype=torch.float64)
    for step in range(plan.num_steps):
        total += exact.abs().sum(-1)
        if step:
            direction, estimate = _advance(plan, next(samples), (x, exact), previous, estimate)
        previous = x, exact
        x = torch.add(x, direction, alpha=-plan.lr)
        exact = exact_gradient(x)
    return total / plan.num_steps


def _advance(plan: Plan, sample: Sample, here: Point, previous: Point, estimate: Tensor) -> tuple[Tensor, Tensor]:
    """Direction and new estimate from one sample; a point comes with its exact gradient."""
    grad = sample.gradient(*here)
    if plan.method == "signum":
        return rules.signum(grad, estimate, momentum=1 - plan.beta)
    if plan.method == "ssvr":
        grad = rules.ssvr(grad, sample.gradient(*previous), estimate, beta=plan.beta)
    return rules.signsgd(grad), grad


def finite_sum_norm(
    plan: Plan, *, dim: int, num_components: int, num_runs: int, seed: int, reset: bool = False
) -> Tensor:
    """Mean over the path of the l1 norm of the exact gradient of a finite sum, for every run.

    Args:
        plan: Parameters of "ssvr_fs", "spider_sign" or "signsvrg".
        dim: Coordinates.
        num_components: Components m; their noise tables are common to all runs.
        num_runs: Independent runs (of the component choice).
        seed: Of the tables and the choice.
        reset: Start the estimate of SSVR-FS anew at every checkpoint.

    Returns:
        (runs,), in the unit of the gradient.
    """
    offsets, slopes = draw_components(stream(seed, "components", num_components), num_components, dim)
    rng = stream(seed, "choice", plan.method, plan.num_steps, num_components)
    x = start(num_runs, dim)
    anchor, exact = x, exact_gradient(x)
    anchor_exact = full = estimate = exact
    previous = x, exact
    total = torch.zeros(num_runs, dtype=torch.float64)
    for step, chosen in enumerate(_choices(rng, plan.num_steps, num_components, num_runs)):
        total += exact.abs().sum(-1)
        is_checkpoint = step % plan.period == 0
        if is_checkpoint:
            anchor, anchor_exact = x, exact
            full = Sample(offsets.mean(0), slopes.mean(0)).gradient(x, exact)
        if step == 0 or (is_checkpoint and (reset or plan.method != "ssvr_fs")):
            estimate = full
        else:
            sample = Sample(offsets[chosen], slopes[chosen])
            grad = sample.gradient(x, exact)
            if plan.method == "signsvrg":
                estimate = rules.signsvrg(grad, sample.gradient(anchor, anchor_exact), full)
            elif plan.method == "spider_sign":
                estimate = rules.spider_sign(grad, sample.gradient(*previous), estimate)
            else:
                grad_prev, grad_anchor = sample.gradient(*previous), sample.gradient(anchor, anchor_exact)
                estimate = rules.ssvr_fs(grad, grad_prev, grad_anchor, estimate, full, beta=plan.beta)
        previous = x, exact
        x = torch.add(x, rules.signsgd(estimate), alpha=-plan.lr)
        exact = exact_gradient(x)
    return total / plan.num_steps


def _samples(rng: np.random.Generator, shape: tuple[int, int], law: Law) -> Iterator[Sample]:
    while True:
        for offset, slope in zip(*draw(rng, BLOCK, shape, law), strict=True):
            yield Sample(offset, slope)


def _mean_gradient(samples: Iterator[Sample], x: Tensor, exact: Tensor, count: int) -> Tensor:
    """Mean of ``count`` stochastic gradients at the first point."""
    total = torch.zeros_like(x)
    for _ in range(count):
        total += next(samples).gradient(x, exact)
    return total / count


def _choices(rng: np.random.Generator, num_steps: int, num_components: int, num_runs: int) -> Iterator[Tensor]:
    """Indices of components, one per run, for every step."""
    for first in range(0, num_steps, BLOCK):
        count = min(BLOCK, num_steps - first)
        yield from torch.from_numpy(rng.integers(num_components, size=(count, num_runs)))
