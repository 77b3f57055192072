"""What the user chose of a method: checked once, equal on all ranks, saved with the state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim.averaging import past, share
from signscope.optim.distributed.packing import Tie
from signscope.optim.full_gradient import FullGradient

if TYPE_CHECKING:
    from signscope.optim.distributed.method import Method


@dataclass(frozen=True)
class Options:
    """The meaning of each is explained by `DistributedSign`."""

    beta: float = 0.1
    momentum: float = 0.0
    radius: float = 1.0
    ball: float | None = None
    server: str = "sign"
    tie: Tie = "parity"
    seed: int = 0
    max_scale: float | None = None
    init_batches: int = 1
    period: int = 0
    checksum_every: int = 0
    check_messages: bool = False


def checked_options(who: str, kind: "type[Method]", given: Mapping[str, Any]) -> Options:
    """Options of a method, from everything but the period.

    Args:
        who: Name of the optimizer.
        kind: The method.
        given: Arguments by name; a ``momentum`` of None is the method's own.

    Raises:
        InvalidInput: A value is wrong, or the method makes no use of what was set.
    """
    momentum, ball, limit = given["momentum"], given["ball"], given["max_scale"]
    options = Options(
        beta=share(who, "beta", given["beta"]),
        momentum=past(who, "momentum", kind.momentum if momentum is None else momentum),
        radius=checks.positive(who, "radius", given["radius"]),
        ball=None if ball is None else checks.positive(who, "ball", ball),
        server=checks.one_of(who, "server", given["server"], ("sign", "random")),
        tie=checks.one_of(who, "tie", given["tie"], ("parity", "random", "ternary")),  # pyright: ignore[reportArgumentType]
        seed=checks.integer(who, "seed", given["seed"], minimum=0),
        max_scale=None if limit is None else checks.positive(who, "max_scale", limit),
        init_batches=checks.integer(who, "init_batches", given["init_batches"], minimum=1),
        checksum_every=checks.integer(who, "checksum_every", given["checksum_every"], minimum=0),
        check_messages=bool(given["check_messages"]),
    )
    _refuse_unused(
        who,
        kind,
        {
            "momentum": options.momentum > 0,
            "ball": ball is not None,
            "server": options.server != "sign",
            "tie='ternary'": options.tie == "ternary",
            "max_scale": limit is not None,
        },
    )
    return options


def _refuse_unused(who: str, kind: "type[Method]", is_set: Mapping[str, bool]) -> None:
    """Raises for an option that would change nothing."""
    for name, given in is_set.items():
        if given and name not in kind.takes:
            raise InvalidInput(f"{who}: method={kind.name!r} makes no use of `{name}`; leave it out.")


def refuse_unused_scaling(who: str, kind: "type[Method]", *, max_grad_norm: object, loss_scale: object) -> None:
    """Raises where gradients come ready from ``.grad``, so that nothing here could clip or unscale them.

    Raises:
        InvalidInput: One of the two is set for a method of one gradient.
    """
    for name, value in (("max_grad_norm", max_grad_norm), ("loss_scale", loss_scale)):
        if value is not None and not kind.two_points:
            raise InvalidInput(
                f"{who}: method={kind.name!r} makes no use of `{name}`: clip and unscale .grad before step()."
            )


def checked_period(who: str, kind: "type[Method]", full_gradient: Any, period: int | None) -> int:
    """Steps between two full gradients, 0 for methods without.

    Raises:
        InvalidInput: The two are missing from a finite-sum version, or given to another method.
    """
    if not kind.finite_sum:
        if full_gradient is not None or period is not None:
            raise InvalidInput(
                f"{who}: method={kind.name!r} takes no full_gradient and no period; "
                "the finite-sum versions are 'dvr-sign-fs' and 'dvr-q-fs'."
            )
        return 0
    if not callable(full_gradient) and not isinstance(full_gradient, FullGradient):
        raise InvalidInput(
            f"{who}: method={kind.name!r} needs `full_gradient`, a FullGradient(loader, batch_loss) "
            f"over the local rows or a function that leaves their gradient in .grad; got {full_gradient!r}."
        )
    return checks.integer(who, "period", period, minimum=1)
