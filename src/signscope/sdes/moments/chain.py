"""SignSGD in one dimension as a walk on a lattice: its exact law, without sampling."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope.noise.special import normal_cdf

UpProbability = Callable[[Tensor], Tensor]
"""P(step goes up) at positions (n,): F(-f'(x)) for noise with distribution function F."""


def gaussian_up(curvature: float, std: float) -> UpProbability:
    """That of f = h x^2 / 2 under Gaussian noise."""
    curvature, std = (checks.finite("gaussian_up", n, v) for n, v in (("curvature", curvature), ("std", std)))
    return lambda x: normal_cdf(-curvature * x / std)


@equation("signscope", "law of signSGD on the lattice start + lr Z")
def chain_laws(start: float, up: UpProbability, *, lr: float, num_steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Exact law of signSGD after 0, 1, ..., ``num_steps`` steps from ``start``.

    Args:
        start: First position.
        up: Probability of an upward step.
        lr: Step, above 0.
        num_steps: Steps made.

    Yields:
        Positions and probabilities, (2 num_steps + 1,) each. Positions of the other parity have probability 0.

    Notes:
        O(num_steps^2). For noise without atoms.
    """
    checks.positive("chain_laws", "lr", lr)
    steps = checks.integer("chain_laws", "num_steps", num_steps, minimum=0)
    x = checks.finite("chain_laws", "start", start) + lr * torch.arange(-steps, steps + 1, dtype=torch.float64)
    rises = up(x)
    p = torch.zeros_like(x)
    p[steps] = 1
    yield x, p
    for _ in range(steps):
        moved = torch.zeros_like(p)
        moved[1:] += p[:-1] * rises[:-1]
        moved[:-1] += p[1:] * (1 - rises[1:])
        p = moved
        yield x, p


def chain_law(start: float, up: UpProbability, *, lr: float, num_steps: int) -> tuple[Tensor, Tensor]:
    """The last of `chain_laws`."""
    *_, last = chain_laws(start, up, lr=lr, num_steps=num_steps)
    return last


@equation("signscope", "stationary law of signSGD on its lattice")
def chain_stationary(up: UpProbability, *, lr: float, reach: float, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    r"""Stationary law of signSGD on the lattice ``offset + lr Z``, averaged over the two parities.

    $$ \pi(x + \eta) / \pi(x) = P(\text{up} \mid x) / P(\text{down} \mid x + \eta) $$

    Args:
        up: Probability of an upward step.
        lr: Step.
        reach: Distance from 0 beyond which the law is negligible.
        offset: A point of the lattice.

    Returns:
        Positions and probabilities. Where a step down is all but impossible (far on the left) they are small and
        inaccurate, 1 - P(up) being lost to rounding.
    """
    lr = checks.positive("chain_stationary", "lr", lr)
    half = int(checks.positive("chain_stationary", "reach", reach) / lr) + 1
    x = offset + lr * torch.arange(-half, half + 1, dtype=torch.float64)
    rises = up(x)
    jumps = torch.log(rises[:-1].clamp(min=1e-300)) - torch.log((1 - rises[1:]).clamp(min=1e-300))
    height = torch.cat([torch.zeros(1, dtype=torch.float64), jumps.cumsum(0)])
    return x, torch.softmax(height, 0)
