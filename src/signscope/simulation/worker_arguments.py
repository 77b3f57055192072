"""Arguments of `simulate_workers`, checked once."""

from collections.abc import Collection, Sequence

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.simulation.worker_rules import FINITE_SUM, METHODS, Setting

WHO = "simulate_workers"


def check_setting(setting: Setting) -> None:
    """Looks at the method and its options.

    Raises:
        InvalidInput: A value is wrong, or unequal weights are given to a method that votes.
    """
    n, weights = setting.num_workers, setting.weights
    checks.one_of(WHO, "method", setting.method, METHODS)
    checks.one_of(WHO, "server", setting.server, ("sign", "random"))
    checks.one_of(WHO, "tie", setting.tie, ("parity", "random", "ternary"))
    checks.integer(WHO, "block_size", setting.block_size, minimum=1)
    checks.integer(WHO, "seed", setting.seed, minimum=0)
    for name, value in (("radius", setting.radius), ("ball", setting.ball), ("max_scale", setting.max_scale)):
        if value is not None:
            checks.positive(WHO, name, value)
    if not 0 < checks.finite(WHO, "beta", setting.beta) <= 1:
        raise InvalidInput(f"{WHO}: `beta` must lie in (0, 1], got {setting.beta:g}.")
    if not 0 <= checks.finite(WHO, "momentum", setting.momentum) < 1:
        raise InvalidInput(f"{WHO}: `momentum` must lie in [0, 1), got {setting.momentum:g}.")
    if len(weights) != n or not min(weights) > 0 or not abs(sum(weights) - 1) <= 1e-9:
        raise InvalidInput(f"{WHO}: `weights` needs {n} positive entries with sum 1, got {weights}.")
    if not setting.is_scaled and max(weights) > min(weights):
        raise InvalidInput(
            f"{WHO}: a vote of single bits cannot weigh workers, and method={setting.method!r} got `weights` "
            f"{weights}. Leave them out, or use a dvr method or 'ef-sign'."
        )


def check_troubles(
    setting: Setting, *, has_full: bool, delays: Sequence[int], flipped: Collection[int], adversaries: Collection[int]
) -> None:
    """Looks at full gradients, and at late, flipped and lying workers.

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
