"""One path of an optimizer's SDE on a network: full gradient at every step, noise measured along the path."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from signscope.integrate.brownian import Normals
from signscope.integrate.euler_maruyama import euler_step
from signscope.problems.oracle_noise import GaussianNoise
from signscope.reproduce.compagnoni2024.networks_model import FlatNetwork, RowNoise
from signscope.sdes.setting import Setting
from signscope.sdes.solving import equation_of

NEVER = 1e-30  # stands for the noise of a coordinate that has none, where an equation would divide by it


def noise_steps(num_steps: int, *, every: int) -> Iterator[int]:
    """Steps at which the noise is measured: 0, 1, 2, ... at first, then at distances that grow up to ``every``."""
    step = 0
    while step < num_steps:
        yield step
        step += max(1, min(every, step // 8))


def sde_path(
    network: FlatNetwork,
    rule: str,
    setting: dict[str, Any],
    *,
    batch_size: int,
    num_steps: int,
    substeps: int,
    every: int,
    seed: int,
    record: Callable[[int, Tensor], None],
    noise_factor: float = 1.0,
    is_correlated: bool = False,
) -> None:
    """Follow the SDE by Euler-Maruyama with dt = lr / substeps.

    Args:
        network: At the start.
        rule: signsgd, rmsprop or adam.
        setting: Fields of `Setting` other than loss and noise.
        batch_size: Sigma = Sigma_1 / batch_size.
        num_steps: In steps of the optimizer.
        substeps: Of the scheme in one of those.
        every: Steps of the optimizer between two measurements of the noise, at most; between them it is kept.
        seed: Of the Brownian path.
        record: Told the step and the position (dim,) after every step of the optimizer.
        noise_factor: Times the measured standard deviations; for models that are meant to be wrong.
        is_correlated: Noise with the covariance of the rows' gradients (see `RowNoise`), not its diagonal alone.

    Notes:
        num_steps x substeps full gradients (twice as many if correlated), and a gradient of every row per measurement.
        A coordinate without noise and without gradient (a unit that is silent on all rows) stays where it is, as it
        does in the optimizer.
    """
    state = network.weights.clone()[None]
    where = {"dtype": state.dtype, "device": state.device}
    dt, due = setting["lr"] / substeps, set(noise_steps(num_steps, every=every))

    def measured(point: Tensor) -> tuple[Any, Tensor]:
        """The equation with the noise of ``point``, and where there is neither noise nor gradient."""
        grad, std = network.noise_std(point)
        kept: dict[str, Any] = {
            "std": (noise_factor * std).clamp(min=NEVER).double().cpu(),
            "batch_size": batch_size,
        }
        noise = RowNoise(network, **kept) if is_correlated else GaussianNoise(network.dim, **kept)
        options: dict[str, Any] = {**setting, "loss": network, "noise": noise.placed(**where)}
        return equation_of(rule, Setting(**options)), (std == 0) & (grad == 0)

    equation, silent = measured(state[0])
    normals = Normals(seed, "brownian", range(1), width=equation.num_noises, **where)
    state, begun = _begun(equation, rule, state, seed, where)
    if begun:
        record(1, position(state))
    for step in range(1 if begun else 0, num_steps):
        if step in due and step > 0:
            equation, silent = measured(position(state))
        for part in range(substeps):
            ahead = euler_step(equation, step * setting["lr"] + part * dt, state, dt, normals.next())
            state = torch.where(silent, state, ahead)
        record(step + 1, position(state))


def position(state: Tensor) -> Tensor:
    """X of a state (1, dim) or (parts, 1, dim)."""
    return state[0, 0] if state.ndim == 3 else state[0]


def _begun(equation: Any, rule: str, start: Tensor, seed: int, where: dict[str, Any]) -> tuple[Tensor, bool]:
    """The first state, and whether the first step of the optimizer is in it (Adam's bias correction)."""
    if rule == "adam":
        normals = Normals(seed, "first", range(1), width=equation.num_noises, **where).next()
        return equation.first_step(start, normals[:, : start.shape[1]]), True
    return (equation.begin(start) if rule == "rmsprop" else start), False
