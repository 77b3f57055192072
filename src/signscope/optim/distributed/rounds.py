"""The rounds of a distributed method: flat buffers, exchange, service, answer, and what must be saved."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.distributed.averaging import DvrSign
from signscope.optim.distributed.buckets import common_place, make_buckets
from signscope.optim.distributed.faults import digest, mend_counts, mend_rows, mend_scales, refuse_differences
from signscope.optim.distributed.method import Grads, Method, Parcel, Round, buffer
from signscope.optim.distributed.options import Options
from signscope.optim.distributed.packing import passes_for
from signscope.optim.distributed.streaming import VoteStream, can_stream
from signscope.optim.distributed.voting import MajorityVote
from signscope.optim.distributed.wire import Wire

Groups = Sequence[dict[str, Any]]


class Rounds:
    """One rank's side of a method.

    Args:
        who: Name of the optimizer.
        method: The method.
        options: Its options.
        groups: Parameter groups of the optimizer.
        group: Process group.
        timeout: Seconds, or None.
        block_size: Coordinates that share a scale.
        bucket_size: Coordinates of a bucket.
    """

    def __init__(
        self,
        who: str,
        method: Method,
        options: Options,
        groups: Groups,
        *,
        group: Any,
        timeout: float | None,
        block_size: int,
        bucket_size: int,
    ) -> None:
        if block_size % 8:
            raise InvalidInput(f"{who}: `block_size` must be a multiple of 8, got {block_size}.")
        self.who, self.method, self.groups = who, method, groups
        self.params: list[Tensor] = [param for group in groups for param in group["params"]]
        self.device, self.dtype = common_place(who, self.params)
        self.wire = Wire(who, group, timeout=timeout)
        self.options = options
        self.buckets = make_buckets(
            self.params, num_workers=self.wire.size, block_size=block_size, bucket_size=bucket_size
        )
        if self.device.type == "cpu":
            passes_for(sum(bucket.padded for bucket in self.buckets))  # loaded now, not while others wait in a step
        self.state: list[dict[str, Tensor]] = [{} for _ in self.buckets]
        self.weights = [1 / self.wire.size] * self.wire.size
        self._flats: dict[tuple[str, int], Tensor] = {}
        self._stream: VoteStream | None = None
        self._compared = False

    @property
    def options(self) -> Options:
        """What the user chose; a checkpoint brings its own."""
        return self._options

    @options.setter
    def options(self, options: Options) -> None:
        self._options = options
        self.wire.checked = options.check_messages

    # --- before a round -------------------------------------------------------------------------------------------

    def agree(self, step: int, *, finite: bool, batch_size: int) -> bool:
        """Whether every rank has finite gradients; compares steps, parameters (when due) and batch sizes.

        Raises:
            InvalidInput: The ranks differ in what must be equal.
            WorkerLost: A rank did not answer.
        """
        self.wire.step = step
        if self.wire.size == 1:
            self._compared = True
            return finite
        due = self.is_due(step)
        numbers = [finite, batch_size, step, *(self._digests() if due else [])]
        return self._judged(self.wire.agree([int(n) for n in numbers], device=self.device), due=due)

    def is_due(self, step: int) -> bool:
        """Whether parameters and options are to be compared across ranks in this step."""
        every = self.options.checksum_every
        return not self._compared or (every > 0 and step % every == 0)

    def _judged(self, rows: Tensor, *, due: bool) -> bool:
        refuse_differences(self.who, ["the step counters"], rows[:, 2:3])
        if due:
            refuse_differences(self.who, ["shapes", "options", "values of the parameters"], rows[:, 3:])
            self._compared = True
        self._weigh(rows[:, 1].tolist())
        return bool(rows[:, 0].all())

    def _digests(self) -> list[int]:
        shapes = [(tuple(p.shape), str(p.dtype)) for p in self.params]
        rates = [(float(g["lr"]), g["weight_decay"], g["maximize"]) for g in self.groups]
        layout = [*((b.block_size, b.dim) for b in self.buckets), self.can_stream()]
        return [digest([shapes]), digest([self.method.name, self.options, rates, layout]), digest(self.params)]

    def _weigh(self, sizes: list[int]) -> None:
        if len(set(sizes)) > 1 and not self.method.weighted:
            raise InvalidInput(
                f"{self.who}: the batch sizes of the ranks are {sizes}; a vote of single bits cannot weigh them. Use "
                "equal batches, or method='dvr-sign' or 'ef-sign', which take them as weights."
            )
        self.weights = [size / sum(sizes) for size in sizes]

    # --- a round --------------------------------------------------------------------------------------------------

    def collect(self, grads: Grads, *, share: float) -> None:
        """Takes a share of a first (or full) gradient in, without sending it."""
        name = "start" if isinstance(self.method, DvrSign) else "v"
        flats = self._flatten(grads, None)["grad"]
        for now, flat in zip(self._rounds(1.0), flats, strict=True):
            buffer(now, name, flat).add_(flat * share if share != 1 else flat)

    def run(self, grads: Grads, rates: list[float] | None, *, length: float) -> tuple[list[Tensor], int]:
        """One round; without gradients it begins from what was collected.

        Args:
            grads: Gradients by point.
            rates: Learning rates to multiply the gradients by, where the method wants them inside.
            length: Factor of the updates.

        Returns:
            Updates to be subtracted, one per parameter (valid until the next round), and how many scales were mended.
        """
        rounds, mended = self._rounds(length), 0
        outs = [self._flat("out", index) for index in range(len(self.buckets))]
        if not grads and isinstance(self.method, DvrSign):
            for now, out in zip(rounds, outs, strict=True):
                mended += self._begin(now, self.method, out)
        else:
            values = self.method.estimate(rounds, self._flatten(grads, rates))
            for now, value, out in zip(rounds, values, outs, strict=True):
                mended += self._round(now, value, out)
        updates = [view for b, out in zip(self.buckets, outs, strict=True) for view in b.views(out)]
        return updates, mended

    def can_stream(self) -> bool:
        """Whether `stream` takes the place of `run`: equal on all ranks (compared at the start), whatever gradients."""
        if type(self.method) is not MajorityVote or self.options.tie != "parity":
            return False
        special = any(group["maximize"] or group["master_weights"] for group in self.groups)
        if special or len({float(group["lr"]) for group in self.groups}) > 1:
            return False
        return can_stream(self.params, self.dtype) and all(param.requires_grad for param in self.params)

    def stream(
        self, grads: Sequence[Tensor], *, step: int, batch_size: int, finite: bool | None
    ) -> list[Tensor] | None:
        """The exchanges of a plain majority vote without flat copies, one bucket while the next is packed.

        Args:
            grads: Gradients.
            step: Number of the step.
            batch_size: Rows behind the gradients.
            finite: Whether the gradients of all ranks are finite, where `agree` has told; None: the ranks agree on
                that while the votes travel.

        Returns:
            Packed signs by bucket, valid until the next call; None where a rank has a gradient that is not finite.
        """
        self.wire.step = step
        if self._stream is None:
            self._stream = VoteStream(self.wire, self.buckets)

        def agree(good: bool) -> Callable[[], bool]:
            if finite is not None or self.wire.size == 1:
                return lambda: good
            asked = self.wire.start_agree([int(good), batch_size, step], device=self.device)
            return lambda: self._judged(asked.wait(), due=False)

        fitting = [grad.to(self.dtype).contiguous() for grad in grads]  # the tensors themselves as a rule
        return self._stream.vote(self._rounds(1.0), fitting, agree=agree)

    def apply_stream(self, answers: list[Tensor], *, length: float, kept: Sequence[float]) -> None:
        """Moves the parameters, each multiplied by its factor ``kept`` before, along packed signs."""
        assert self._stream is not None
        for now, packed in zip(self._rounds(length), answers, strict=True):
            self._stream.apply(now, packed, self.params, kept=kept)

    def _round(self, now: Round, value: Tensor, out: Tensor) -> int:
        if now.size == 1:
            self.method.alone(now, value, out)
            return 0
        bits, scales = self.method.encode(now, value)
        rows = None if scales is None else scales.view(now.size, -1)
        bits, scales = self._open(self.wire.exchange(_joined(bits.view(now.size, -1), rows)), rows)
        scales, mended = (None, 0) if scales is None else mend_scales(scales, limit=self.options.max_scale)
        return mended + self._answer(now, self.method.serve(now, bits, scales), out)

    def _begin(self, now: Round, method: DvrSign, out: Tensor) -> int:
        start = now.state.pop("start")
        rows, mended = mend_rows(self.wire.exchange(start.view(now.size, -1), kind="dense"))
        method.begin(now, rows)
        if now.size == 1:
            method.alone(now, now.state["z"], out)
            return 0
        return mended + self._answer(now, method.answer(now), out)

    def _answer(self, now: Round, parcel: Parcel, out: Tensor) -> int:
        bits, scales = parcel
        rows = None if scales is None else scales[None]
        sent = _joined(bits[None], rows)[0]
        bits, scales = self._open(self.wire.gather(sent), rows)
        scales, mended = (None, 0) if scales is None else mend_scales(scales, limit=self.options.max_scale)
        if not self.method.one_bit_down:
            bits, mended = mend_counts(bits, limit=now.size)
        self.method.decode(now, bits, scales, out)
        return mended

    def _open(self, received: Tensor, like: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Bits and scales of every row."""
        if like is None:
            return received, None
        tail = like.shape[1] * like.element_size()
        bits, scales = received[:, :-tail].contiguous(), received[:, -tail:].contiguous()
        return bits, scales.view(like.dtype)

    def _rounds(self, length: float) -> list[Round]:
        wire = self.wire
        return [
            Round(self.options, wire.rank, wire.size, wire.step, bucket, index, self.weights, length, self.state[index])
            for index, bucket in enumerate(self.buckets)
        ]

    def _flatten(self, grads: Grads, rates: list[float] | None) -> Grads:
        flats: Grads = {}
        for name, row in grads.items():
            flats[name] = []
            for index, bucket in enumerate(self.buckets):
                flat, part = self._flat(name, index), slice(bucket.first, bucket.first + len(bucket.shapes))
                views = bucket.views(flat)
                lists.copy_(views, row[part])
                if rates is not None:
                    lists.mul_(views, [torch.tensor(rate, dtype=self.dtype) for rate in rates[part]])
                bucket.clear_padding(flat)
                flats[name].append(flat)
        return flats

    def _flat(self, name: str, index: int) -> Tensor:
        """Reused memory of a bucket."""
        if (name, index) not in self._flats:
            size = self.buckets[index].padded
            self._flats[name, index] = torch.zeros(size, dtype=self.dtype, device=self.device)
        return self._flats[name, index]

    # --- what is saved --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Drops every average and estimate."""
        self.state = [{} for _ in self.buckets]

    def state_dict(self) -> dict[str, Any]:
        """What belongs to this rank alone."""
        return {
            "method": self.method.name,
            "options": asdict(self.options),
            "rank": self.wire.rank,
            "world_size": self.wire.size,
            "layout": [bucket.padded for bucket in self.buckets],
            "state": [{name: tensor.clone() for name, tensor in state.items()} for state in self.state],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> bool:
        """Takes options and tensors in; False if the group has another size, so that the tensors are void.

        Raises:
            InvalidInput: Another method, another rank of a group of the same size, or another layout.
        """
        self._compared = False
        if saved["method"] != self.method.name:
            raise InvalidInput(
                f"{self.who}: the checkpoint is of method {saved['method']!r}, not {self.method.name!r}."
            )
        if saved["world_size"] != self.wire.size:
            self.options = Options(**saved["options"])
            self.forget()
            return False
        if saved["rank"] != self.wire.rank:
            raise InvalidInput(
                f"{self.who}: rank {self.wire.rank} was given the checkpoint of rank {saved['rank']}. Each rank has "
                "its own averages and its own slice: save one file per rank, and load the one of the same rank."
            )
        if saved["layout"] != [bucket.padded for bucket in self.buckets]:
            raise InvalidInput(
                f"{self.who}: the checkpoint has another bucket_size or block_size, or other parameters."
            )
        self.options = Options(**saved["options"])
        self.state = [{name: t.to(self.device).clone() for name, t in state.items()} for state in saved["state"]]
        return True


def _joined(bits: Tensor, scales: Tensor | None) -> Tensor:
    """One row of bytes per receiver."""
    return bits if scales is None else torch.cat([bits, scales.contiguous().view(torch.uint8)], 1)
