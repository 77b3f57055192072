"""Arguments of `simulate_workers`, checked once."""

from collections.abc import Collection, Sequence
from typing import Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.simulation.worker_rules import FINITE_SUM, METHODS, MOMENTUM, Setting

WHO = "simulate_workers"


def checked_setting(
    *,
    method: str,
    num_workers: int,
    dims: tuple[int, ...],
    beta: float,
    momentum: float | None,
    radius: float,
    ball: float | None,
    server: str,
    block_size: int,
    tie: str,
    seed: int,
    weights: Sequence[float] | None,
    max_scale: float | None,
) -> Setting:
    """What does not change during a run; the arguments are those of `simulate_workers`.

    Raises:
        InvalidInput: A value is wrong, or unequal weights are given to a method that votes.
    """
    kind = checks.one_of(WHO, "method", method, METHODS)
    setting = Setting(
        kind,
        num_workers,
        dims,
        _share("beta", beta, reaches=1),
        _share("momentum", MOMENTUM.get(kind, 0.0) if momentum is None else momentum, reaches=0),
        checks.positive(WHO, "radius", radius),
        None if ball is None else checks.positive(WHO, "ball", ball),
        checks.one_of(WHO, "server", server, ("sign", "random")),
        checks.integer(WHO, "block_size", block_size, minimum=1),
        checks.one_of(WHO, "tie", tie, ("parity", "random", "ternary")),
        checks.integer(WHO, "seed", seed, minimum=0),
        _shares(weights, num_workers),
        None if max_scale is None else checks.positive(WHO, "max_scale", max_scale),
    )
    if not setting.is_scaled and max(setting.weights) > min(setting.weights):
        raise InvalidInput(
            f"{WHO}: a vote of single bits cannot weigh workers, and method={kind!r} got `weights` {weights}. Leave "
            "them out, or use a dvr method or 'ef-sign'."
        )
    return setting


def check_troubles(
    setting: Setting, *, has_full: bool, delays: Sequence[int], flipped: Collection[int], adversaries: Collection[int]
) -> None:
    """Looks at what does not belong to the method: full gradients, late, flipped and lying workers.

    Raises:
        InvalidInput: The full gradients of a finite-sum version are missing, a worker does not exist, a delay is
            negative, or the only worker of a dvr method, which sends nothing, is to be late or wrong.
    """
    n = setting.num_workers
    if setting.method in FINITE_SUM and not has_full:
        raise InvalidInput(f"{WHO}: method={setting.method!r} needs `full_gradients`, one function per worker.")
    for delay in delays:
        checks.integer(WHO, "delays", delay, minimum=0)
    if not all(0 <= worker < n for worker in (*flipped, *adversaries)):
        raise InvalidInput(f"{WHO}: `flipped` and `adversaries` name workers from 0 to {n - 1}.")
    if setting.sends_nothing and (any(delays) or flipped or adversaries):
        raise InvalidInput(
            f"{WHO}: the only worker of {setting.method!r} sends nothing, so that nothing can be late or wrong."
        )


def _shares(weights: Sequence[float] | None, num_workers: int) -> tuple[float, ...]:
    if weights is None:
        return (1 / num_workers,) * num_workers
    shares = tuple(checks.positive(WHO, "weights", weight) for weight in weights)
    if len(shares) != num_workers or abs(sum(shares) - 1) > 1e-9:
        raise InvalidInput(f"{WHO}: `weights` needs {num_workers} entries with sum 1, got {weights}.")
    return shares


def _share(name: str, value: Any, *, reaches: int) -> float:
    """A number between 0 and 1, of which only one may be reached."""
    number = checks.finite(WHO, name, value)
    if not (0 < number < 1 or number == reaches):
        raise InvalidInput(f"{WHO}: `{name}` must lie in {'(0, 1]' if reaches else '[0, 1)'}, got {number:g}.")
    return number
