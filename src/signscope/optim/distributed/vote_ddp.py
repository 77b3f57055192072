"""Majority vote as a communication hook of DistributedDataParallel."""

from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import GradBucket
from torch.utils.weak import WeakTensorKeyDictionary

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.averaging import past
from signscope.optim.distributed.buckets import make_buckets
from signscope.optim.distributed.packing import (
    Tie,
    pack_signs,
    parity,
    unpack_signs,
    unpack_ternary,
    vote,
    vote_ternary,
)
from signscope.optim.distributed.wire import Wire


class VoteState:
    """What `vote_hook` keeps: the process group, local averages (by parameter), counters.

    Args:
        process_group: The workers; None for all.
        momentum: Weight of the past in local averages (Signum), 0 for signSGD.
        tie: "parity" or "ternary", as for `DistributedSign`.
        timeout: Seconds after which a missing worker is an error; None leaves it to the process group.
    """

    def __init__(
        self,
        process_group: Any = None,
        *,
        momentum: float = 0.0,
        tie: Tie = "parity",
        timeout: float | None = None,
    ) -> None:
        self.wire = Wire("vote_hook", process_group, timeout=timeout)
        self.momentum = past("vote_hook", "momentum", momentum)
        self.tie = checks.one_of("vote_hook", "tie", tie, ("parity", "ternary"))
        self.averages = WeakTensorKeyDictionary()  # by parameter: DDP may rebuild its buckets
        self.steps = 0

    @property
    def payload_bytes(self) -> int:
        """Bytes of bits that this rank has sent so far."""
        return self.wire.payload_bytes


def vote_hook(state: VoteState, bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Replaces the gradients of a DDP bucket by the majority of the workers' signs: -1, 1 (or 0 for ties kept).

    ``ddp_model.register_comm_hook(VoteState(), vote_hook)``, then any optimizer that follows gradients, such as
    ``torch.optim.SGD(lr=1e-3)``: its step is the vote's. Averages belong to parameters, so DDP may rebuild its
    buckets. The exchange is finished before the hook returns: backward does not overlap with it. A local gradient
    that is NaN or infinite becomes NaN on every rank, so that a check of gradients there stops all.

    Args:
        state: Made once per model.
        bucket: What DDP hands over.
    """
    if not isinstance(state, VoteState):
        raise InvalidInput(f"vote_hook: register it with a VoteState(), got {type(state).__name__}.")
    wire, values = state.wire, bucket.buffer()
    wire.step = state.steps
    flags = wire.agree([int(bool(values.isfinite().all()))], device=values.device)
    if bool(flags.all()):
        _average(state, bucket)
        _vote(state, values)
    else:
        values.fill_(float("nan"))
    state.steps += bucket.is_last()
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(values)
    return done


def _average(state: VoteState, bucket: GradBucket) -> None:
    """Puts the local averages in the place of the gradients."""
    if state.momentum == 0:
        return
    grads = bucket.gradients()
    for param, grad in zip(bucket.parameters(), grads, strict=True):
        if param in state.averages:
            state.averages[param].mul_(state.momentum).add_(grad * (1 - state.momentum))
        else:
            state.averages[param] = grad.clone()
    lists.copy_(grads, [state.averages[param] for param in bucket.parameters()])


def _vote(state: VoteState, values: Tensor) -> None:
    """Votes on a flat tensor in place."""
    wire, size = state.wire, len(values)
    layout = make_buckets([values], num_workers=wire.size, block_size=8, bucket_size=size)[0]
    flat = torch.zeros(layout.padded, dtype=torch.float32, device=values.device)
    flat[:size] = values
    ballots = wire.exchange(pack_signs(flat, zero=parity(state.steps + wire.rank)).view(wire.size, -1))
    if state.tie == "ternary":
        planes = wire.gather(torch.cat(vote_ternary(ballots)))
        half = planes.shape[1] // 2
        unpack_ternary(planes[:, :half].reshape(-1), planes[:, half:].reshape(-1), flat)
    else:
        unpack_signs(wire.gather(vote(ballots, tie=parity(state.steps))).view(-1), flat)
    values.copy_(flat[:size])
