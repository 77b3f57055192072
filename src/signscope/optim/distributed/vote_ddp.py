"""Majority vote as a communication hook of DistributedDataParallel, overlapping with the backward pass."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import GradBucket
from torch.utils.weak import WeakTensorKeyDictionary

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.averaging import past
from signscope.optim.blocks import all_finite
from signscope.optim.distributed.buckets import Bucket, make_buckets
from signscope.optim.distributed.faults import digest, refuse_differences
from signscope.optim.distributed.packing import (
    Tie,
    pack,
    pack_signs,
    parity,
    passes_for,
    unpack_signs,
    unpack_ternary,
    vote,
    vote_ternary,
)
from signscope.optim.distributed.streaming import can_stream, gradient_pieces, pack_pieces
from signscope.optim.distributed.wire import Pending, Wire
from signscope.optim.precision import state_dtype


@dataclass
class _Ballot:
    """A bucket whose votes travel.

    Attributes:
        values: DDP's buffer; holds the signs' source (a gradient, or the new average) until the end.
        grads: Its parts, by parameter.
        params: Those parameters.
        layout: Slices and padding.
        ties: Bits of the ties, a byte or packed for the whole bucket.
        finite: Whether the local gradient was.
        done: What DDP waits for.
        arriving: The exchange under way, or the gather that follows it.
    """

    values: Tensor
    grads: list[Tensor]
    params: list[Tensor]
    layout: Bucket
    ties: int | Tensor
    finite: bool
    done: torch.futures.Future[Tensor]
    arriving: Pending


class VoteState:
    """What `vote_hook` keeps: the process group, local averages (by parameter), counters.

    Args:
        process_group: The workers; None for all.
        momentum: Weight of the past in local averages (Signum), 0 for signSGD.
        tie: "parity" or "ternary", as for `DistributedSign`.
        timeout: Seconds after which a missing worker is an error; None leaves it to the process group.
        check_messages: Compare every message with a sum that travels beside it, as for `DistributedSign`.
    """

    def __init__(
        self,
        process_group: Any = None,
        *,
        momentum: float = 0.0,
        tie: Tie = "parity",
        timeout: float | None = None,
        check_messages: bool = False,
    ) -> None:
        self.wire = Wire("vote_hook", process_group, timeout=timeout)
        self.wire.checked = check_messages
        self.momentum = past("vote_hook", "momentum", momentum)
        self.tie = checks.one_of("vote_hook", "tie", tie, ("parity", "ternary"))
        self.averages = WeakTensorKeyDictionary()  # by parameter: DDP may rebuild its buckets
        self.steps = 0
        self.compared = False
        self.ballots: list[_Ballot] = []  # of this backward pass
        self.patterns: dict[tuple[int, ...], Tensor] = {}  # packed parity of places, by sizes of parameters

    @property
    def payload_bytes(self) -> int:
        """Bytes of bits that this rank has sent so far."""
        return self.wire.payload_bytes

    def compare(self, device: torch.device) -> None:
        """Asks once, before the first vote, whether all ranks have the same options and steps behind them.

        Raises:
            InvalidInput: They have not.
            WorkerLost: A rank did not answer.
        """
        if not self.compared and self.wire.size > 1:
            rows = self.wire.agree([digest([self.momentum, self.tie, self.wire.checked]), self.steps], device=device)
            refuse_differences("vote_hook", ["options", "the step counters"], rows)
        self.compared = True

    def state_dict(self, params: Iterable[Tensor]) -> dict[str, Any]:
        """What belongs to this rank; every rank saves its own.

        Args:
            params: ``model.parameters()``; averages are saved in this order.
        """
        averages = [self.averages.get(param) for param in params]
        return {
            "rank": self.wire.rank,
            "world_size": self.wire.size,
            "momentum": self.momentum,
            "steps": self.steps,
            "averages": [None if average is None else average.clone() for average in averages],
        }

    def load_state_dict(self, saved: dict[str, Any], params: Iterable[Tensor]) -> None:
        """Continues bit for bit with as many workers; with another number the averages start anew.

        Args:
            saved: From `state_dict` of this rank.
            params: Parameters of the model, in the same order.

        Raises:
            InvalidInput: Another rank's state, another momentum, or other parameters.
        """
        params, same = list(params), saved["world_size"] == self.wire.size
        shapes = [None if average is None else average.shape for average in saved["averages"]]
        if len(shapes) != len(params) or any(s not in (None, p.shape) for s, p in zip(shapes, params, strict=True)):
            raise InvalidInput("vote_hook: the checkpoint is of a model with other parameters, or in another order.")
        if same and saved["rank"] != self.wire.rank:
            raise InvalidInput(
                f"vote_hook: rank {self.wire.rank} was given the checkpoint of rank {saved['rank']}. Each rank has its "
                "own averages: save one file per rank, and load the one of the same rank."
            )
        if saved["momentum"] != self.momentum:
            raise InvalidInput(
                f"vote_hook: the checkpoint has momentum {saved['momentum']:g}, this state {self.momentum:g}."
            )
        self.steps, self.averages, self.ballots = saved["steps"], WeakTensorKeyDictionary(), []
        self.compared = False
        for param, average in zip(params, saved["averages"], strict=True):
            if same and average is not None:
                self.averages[param] = average.to(param.device).clone()


def vote_hook(state: VoteState, bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """Replaces the gradients of a DDP bucket by the majority of the workers' signs: -1, 1 (or 0 for ties kept).

    ``ddp_model.register_comm_hook(VoteState(), vote_hook)``, then any optimizer that follows gradients, such as
    ``torch.optim.SGD(lr=1e-3)``: its step is the vote's. Averages belong to parameters, so DDP may rebuild its
    buckets. Votes travel while the backward pass goes on: a bucket's are counted when the next bucket is ready, and
    only those of the last are waited for. A bucket with a gradient that is NaN or infinite on some rank becomes NaN
    on all, and leaves the averages as they were, so that a check of gradients stops every rank alike.

    Args:
        state: Made once per model.
        bucket: What DDP hands over.

    Raises:
        InvalidInput: No `VoteState`, or one that differs between ranks.
        WorkerLost: Another worker died, hangs or left.
        MessageDamaged: A message did not arrive as it was sent (only with ``check_messages``).
    """
    if not isinstance(state, VoteState):
        raise InvalidInput(f"vote_hook: register it with a VoteState(), got {type(state).__name__}.")
    if bucket.index() == 0:
        state.ballots = []  # of a backward pass that broke off
    state.wire.step = state.steps
    state.compare(bucket.buffer().device)
    ballot = _cast(state, bucket)
    if state.ballots:
        _count(state, state.ballots[-1])
    state.ballots.append(ballot)
    if bucket.is_last():
        _close(state)
    return ballot.done


def _cast(state: VoteState, bucket: GradBucket) -> _Ballot:
    """Sends the local votes of a bucket on their way."""
    wire, values = state.wire, bucket.buffer()
    grads, params = bucket.gradients(), bucket.parameters()
    layout = make_buckets([values], num_workers=wire.size, block_size=8, bucket_size=len(values))[0]
    finite = all_finite([values])
    if state.momentum > 0 and finite:
        _average(state, params, grads)
    sizes = tuple(param.numel() for param in params)
    bits = _packed(values, layout, zero=_parity(state, sizes, layout, state.steps + wire.rank, values.device))
    ties = _parity(state, sizes, layout, state.steps, values.device)
    done = torch.futures.Future(devices=[values.device] if values.is_cuda else None)
    arriving = wire.start_exchange(bits.view(wire.size, -1))
    return _Ballot(values, grads, params, layout, ties, finite, done, arriving)


def _parity(
    state: VoteState, sizes: tuple[int, ...], layout: Bucket, number: int, device: torch.device
) -> int | Tensor:
    """Bits of zeros and ties: the parity of ``number`` and the place in the parameter, whatever bucket it lies in."""
    if all(size % 2 == 0 for size in sizes[:-1]):
        return parity(number)
    if sizes not in state.patterns:
        places = torch.cat([torch.arange(size) for size in sizes]) % 2 == 1
        flat = torch.zeros(layout.padded, dtype=torch.bool)
        flat[: len(places)] = places
        state.patterns[sizes] = pack(flat).to(device)
    pattern = state.patterns[sizes]
    return ~pattern if number % 2 else pattern


def _average(state: VoteState, params: list[Tensor], grads: list[Tensor]) -> None:
    """Puts the new local averages in the place of the gradients; the old ones stay until all ranks agree."""
    known = [index for index, param in enumerate(params) if param in state.averages]
    if known:
        new = [grads[index] for index in known]
        lists.mul_(new, 1 - state.momentum)
        for grad, index in zip(new, known, strict=True):
            grad.copy_(state.averages[params[index]] * state.momentum + grad)


def _keep(state: VoteState, ballot: _Ballot) -> None:
    """The new averages take the place of the old ones."""
    for param, average in zip(ballot.params, ballot.grads, strict=True):
        if param in state.averages:
            state.averages[param].copy_(average)
        else:
            state.averages[param] = average.clone()


def _count(state: VoteState, ballot: _Ballot) -> None:
    """Waits for a bucket's votes and sends the majority of this rank's slice."""
    ballots = ballot.arriving.wait()
    if state.tie == "ternary":
        own = torch.cat(vote_ternary(ballots))
    else:
        length, ties = ballots.shape[1], ballot.ties
        mine = ties if isinstance(ties, int) else ties[state.wire.rank * length : (state.wire.rank + 1) * length]
        own = vote(ballots, tie=mine)
    ballot.arriving = state.wire.start_gather(own)


def _close(state: VoteState) -> None:
    """The end of a backward pass: the last votes, agreement on NaN, signs in the place of the gradients."""
    flags = [int(ballot.finite) for ballot in state.ballots]
    asked = state.wire.start_agree(flags, device=state.ballots[0].values.device)
    _count(state, state.ballots[-1])
    finite = asked.wait().cpu().all(0).tolist()
    for ballot, good in zip(state.ballots, finite, strict=True):
        rows = ballot.arriving.wait()
        if good:
            if state.momentum > 0:
                _keep(state, ballot)
            _write(rows, ballot.values, ternary=state.tie == "ternary")
        else:
            ballot.values.fill_(float("nan"))
    state.steps += 1
    finished, state.ballots = state.ballots, []
    for ballot in finished:
        ballot.done.set_result(ballot.values)


def _packed(values: Tensor, layout: Bucket, *, zero: int | Tensor) -> Tensor:
    """Signs as bits, padding included."""
    if isinstance(zero, int) and can_stream([values], state_dtype(values)):
        packed = torch.empty(layout.padded // 8, dtype=torch.uint8)
        walk, passes = gradient_pieces(layout, [values]), passes_for(layout.padded)
        pack_pieces(walk, packed, zero=zero, passes=passes, check=False)
        return packed
    flat = torch.zeros(layout.padded, dtype=state_dtype(values), device=values.device)
    flat[: layout.dim] = values
    return pack_signs(flat, zero=zero)


def _write(rows: Tensor, values: Tensor, *, ternary: bool) -> None:
    """Signs of the majority from one or two packed planes per owner."""
    if not ternary and len(values) % 8 == 0 and can_stream([values], state_dtype(values)):
        unpack_signs(rows.reshape(-1)[: len(values) // 8], values)
        return
    half = rows.shape[1] // 2 if ternary else rows.shape[1]
    flat = torch.empty(8 * half * len(rows), dtype=torch.float32, device=values.device)
    if ternary:
        unpack_ternary(rows[:, :half].reshape(-1), rows[:, half:].reshape(-1), flat)
    else:
        unpack_signs(rows.reshape(-1), flat)
    values.copy_(flat[: len(values)])
