"""Workers that lie: what they see, what they can send, and strategies that answer to the honest messages."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope.simulation.worker_rules import Crowd


@dataclass(frozen=True)
class Scene:
    """What an adversary knows when it speaks: everything, and after all honest workers.

    All vectors are padded (see `Crowd`); scaled messages contain the weights of their senders.

    Attributes:
        worker: Its number.
        move: Number of the move.
        theta: The common parameters, shape (dim,), not padded.
        own: The message that it would send as an honest worker.
        honest: Messages of the honest workers in this move.
        num_liars: Adversaries, all of which see the same.
    """

    worker: int
    move: int
    theta: Tensor
    own: Tensor
    honest: list[Tensor]
    num_liars: int

    @property
    def total(self) -> Tensor:
        """Sum of the honest messages."""
        total = torch.zeros_like(self.own)
        for message in self.honest:
            total = total + message
        return total


Adversary = Callable[[Scene], Tensor]
"""What a lying worker would like to send. It is brought into the form of a message: see `legal`."""


def against_majority(scene: Scene) -> Tensor:
    """The opposite of what the honest workers say together. Where they are wrong, this helps."""
    return -scene.total


def just_enough(scene: Scene) -> Tensor:
    """Speaks with the honest majority, except where the adversaries can overturn it.

    In votes this does the same harm as `against_majority`, but agrees with the outcome more often than an honest
    worker does, so that no comparison of workers with the outcome finds it. For many workers both overturn the vote
    beyond the share 1 - 1/(2p), like liars who know the truth; no strategy does it with fewer.
    """
    total = scene.total
    return torch.where(total.abs() <= scene.num_liars, -total, total)


def loud(direction: Tensor | float, *, scale: float) -> Adversary:
    """Always the same direction with the largest scale that is believed, or ``scale``: an attack on averages.

    Args:
        direction: Its signs are sent, a number or shape (padded dim,).
        scale: Wanted scale of every block.
    """
    return lambda scene: torch.ones_like(scene.own) * direction * scale


def legal(crowd: Crowd, worker: int, wanted: Tensor, own: Tensor) -> Tensor:
    """A message that the format can carry and the receiver believes.

    Votes are signs; where an adversary wants nothing it sends its honest vote. Scaled messages have one scale per
    block, the largest wanted size, which is 0 when not finite, and clipped by the receivers like any other.
    """
    setting = crowd.setting
    if not setting.is_scaled:
        return torch.where(wanted == 0, own, wanted.sign())
    scales = wanted.view(-1, setting.block_size).abs().amax(1) / setting.weights[worker]
    return crowd.spread(crowd.believed(scales) * setting.weights[worker], wanted >= 0)
