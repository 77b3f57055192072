"""The distributed sign methods as one torch optimizer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.base import Group, common_options
from signscope.optim.blocks import all_finite
from signscope.optim.distributed.averaging import DvrQ, DvrQFs, DvrSign, DvrSignFs, EfSign
from signscope.optim.distributed.method import Method
from signscope.optim.distributed.options import checked_options, checked_period, refuse_unused_scaling
from signscope.optim.distributed.packing import Tie
from signscope.optim.distributed.rounds import Rounds
from signscope.optim.distributed.voting import MajorityVote, MvStoSignSim, Ssdm, SsvrMv, StoSign
from signscope.optim.full_gradient import FullGradient
from signscope.optim.gradients import Closure, mean_gradient
from signscope.optim.replay import RandomState, full_precision
from signscope.optim.two_point import Modules, TwoPointOptimizer

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (MajorityVote, StoSign, MvStoSignSim, SsvrMv, Ssdm, EfSign, DvrSign, DvrQ, DvrSignFs, DvrQFs)
}


class DistributedSign(TwoPointOptimizer):
    r"""Distributed sign descent whose messages really are one bit per coordinate.

    ```text
    every rank:   makes a message from its own gradients (bits, with some methods one scale per block)
    all-to-all:   rank k receives slice k of all messages
    owner k:      votes on the packed words, or averages into its slice of z
    all-gather:   the packed answers
    every rank:   x = (1 - lr * weight_decay) * x - lr * s
    ```

    | method | message | step s | heterogeneous data |
    |---|---|---|---|
    | majority-vote | sign of g, or of its average | majority | biased |
    | sto-sign, mv-sto-signsgd-sim | random sign of g, of its average | majority | biased |
    | ssvr-mv | random sign of the SSVR estimate | majority (``server="sign"``) | biased |
    |  |  | random sign of the mean (``server="random"``) | unbiased, noisy |
    | ssdm | random sign of the average, l2 scale | mean vote | biased |
    | ef-sign | scaled signs, error feedback | scaled signs | unbiased |
    | dvr-sign, dvr-sign-fs | block-scaled random signs of h | sign of z | unbiased |
    | dvr-q, dvr-q-fs | block-scaled random signs of h | compressed z | unbiased |

    The model must not average gradients itself: use the bare module, or DDP inside ``no_sync()``. ``ssvr-mv`` and the
    dvr methods need ``step(closure)`` as `SSVR` does. Parameters stay bit-identical on all ranks, because only what
    an owner broadcasts moves them. A NaN or infinite gradient on any rank skips the step on all. One process is a
    group of one: nothing is sent, dvr-sign is then `SSVR`, majority-vote `SignSGD` (or `Signum`) up to zeros.

    Every rank saves its own ``state_dict()``: it holds this rank's averages and its slice of z. Loaded into a group of
    another size it keeps parameters and counters and starts the estimates anew.

    Args:
        params: Parameters or parameter groups, the same on every rank (checked at the first step).
        lr: Length of the step of every weight (for ssdm, ef-sign and dvr-q a factor, as for SGD).
        method: See the table.
        process_group: The workers; None for all. Only bits between these are exchanged.
        beta: Weight of the new sample in ssvr-mv and dvr, in (0, 1].
        momentum: Weight of the past in local averages, in [0, 1), of the votes and ssdm; by default 0.9 for ssdm and
            mv-sto-signsgd-sim, else 0. With it, majority-vote is Signum.
        init_batches: B_0, batches averaged before the first move of ssvr-mv and dvr.
        radius: R of the random signs that carry no scale; at least the largest entry, (2/beta - 1) times the
            largest gradient for ssvr-mv. Beyond it the sign is certain.
        ball: Euclidean radius onto which ssvr-mv projects its estimates; None for none.
        server: "sign" or "random", options 1 and 2 of ssvr-mv.
        block_size: Coordinates that share a scale, a multiple of 8.
        tie: What a zero or a tie becomes: "parity" of step and coordinate (no drift), "random", or "ternary" (ties
            stay, for one more bit on the way back; a worker's own zeros go by parity).
        seed: Seed of the random signs; streams are private to rank, step and bucket.
        batch_size: Rows behind a local gradient. Unequal ones are weights; methods that vote refuse them. May be set
            before every step.
        full_gradient: For the finite-sum versions: `FullGradient` over the local rows, or a closure.
        period: Steps between two full gradients.
        timeout: Seconds after which a missing worker is an error; None leaves it to the process group.
        max_scale: Largest scale of a message that is believed; larger ones are clipped and counted.
        checksum_every: Steps between comparisons of the parameters across ranks; 0 for the first step alone.
        check_messages: Compare every message with a sum that travels beside it (8 bytes), so that a damaged one is an
            error; without it a flipped bit is a vote.
        bucket_size: Coordinates of a flat buffer; many small tensors travel together. Plain votes of one buffer travel
            while the next is packed: on slow links several smaller ones hide each other, on fast ones they cost calls.
        weight_decay: Decoupled weight decay, per unit of ``lr``.
        maximize: Climb instead of descend.
        master_weights: Keep float32 copies of half-precision weights and update those (4 bytes per weight).
        model: Module(s) whose buffers are guarded; ``None`` finds the modules called in the closure.
        check_every: Steps between tests that the closure is replayable; 0: only the first, ``None``: never.
        max_grad_norm: Clips the gradients of the two-gradient methods by one common factor per rank.
        loss_scale: ``None``, a number or ``"dynamic"``; the closure then calls ``opt.scale(loss).backward()``.
        allow_changes: Accept parameters that something else changed between two steps.

    Raises:
        InvalidInput: No process group, a wrong option, or ranks that differ.
        WorkerLost: At a step, when another worker died or hangs.
        MessageDamaged: At a step with ``check_messages``, when a message did not arrive as it was sent.
    """

    carried = (*TwoPointOptimizer.carried, "method")

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        *,
        method: str = "majority-vote",
        process_group: Any = None,
        beta: float = 0.1,
        momentum: float | None = None,
        init_batches: int = 1,
        radius: float = 1.0,
        ball: float | None = None,
        server: str = "sign",
        block_size: int = 256,
        tie: Tie = "parity",
        seed: int = 0,
        batch_size: int = 1,
        full_gradient: FullGradient | Callable[[], Any] | None = None,
        period: int | None = None,
        timeout: float | None = None,
        max_scale: float | None = None,
        checksum_every: int = 0,
        check_messages: bool = False,
        bucket_size: int = 2**25,
        weight_decay: float = 0.0,
        maximize: bool = False,
        master_weights: bool = False,
        model: Modules = None,
        check_every: int | None = 0,
        max_grad_norm: float | None = None,
        loss_scale: float | str | None = None,
        allow_changes: bool = False,
    ) -> None:
        who = self._who
        kind = METHODS[checks.one_of(who, "method", method, METHODS)]
        self.method = kind()
        refuse_unused_scaling(who, kind, max_grad_norm=max_grad_norm, loss_scale=loss_scale)
        points = ("x_prev",) if kind.two_points else ()
        vars(self).update(buffers=points, points=points, always_state=kind.two_points)  # of the class, elsewhere
        common = common_options(
            lr=lr, weight_decay=weight_decay, maximize=maximize, foreach=None, master_weights=master_weights
        )
        super().__init__(
            params,
            common,
            model=model,
            check_every=check_every,
            max_grad_norm=max_grad_norm,
            loss_scale=loss_scale,
            allow_changes=allow_changes,
        )
        given = {
            "beta": beta,
            "momentum": momentum,
            "radius": radius,
            "ball": ball,
            "server": server,
            "tie": tie,
            "seed": seed,
            "max_scale": max_scale,
            "init_batches": init_batches,
            "checksum_every": checksum_every,
            "check_messages": check_messages,
        }
        self.rounds = Rounds(
            who,
            self.method,
            replace(checked_options(who, kind, given), period=checked_period(who, kind, full_gradient, period)),
            self.param_groups,
            group=process_group,
            timeout=None if timeout is None else checks.positive(who, "timeout", timeout),
            block_size=checks.integer(who, "block_size", block_size, minimum=8),
            bucket_size=checks.integer(who, "bucket_size", bucket_size, minimum=1),
        )
        self.batch_size, self.full_gradient = batch_size, full_gradient

    # --- public ---------------------------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """Rows behind the local gradient; may be set before every step."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        self._batch_size = checks.integer(self._who, "batch_size", value, minimum=1)

    @property
    def payload_bytes(self) -> int:
        """Bytes of bits and scales that this rank has sent so far."""
        return self.rounds.wire.payload_bytes

    @property
    def mended_scales(self) -> int:
        """Scales that arrived NaN, infinite, negative or above ``max_scale``, and were set to 0 or clipped.

        Numbers of uncompressed first and full gradients that arrived NaN or infinite, and were set to 0, count too,
        and counts of ssdm beyond the number of workers, which were clipped.
        """
        return self.counters.get("mended_scales", 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | Sequence[Callable[[], Any]] | None = None) -> Any:
        """Takes one step, together with all workers of the group.

        Args:
            closure: As for `SSVR` where the method compares gradients at two points; optional elsewhere.

        Returns:
            The local loss of the closure, or None.

        Raises:
            WorkerLost: Another worker died, hangs or left.
            InvalidInput: The ranks differ, or the closure is missing or not replayable.
        """
        if self.method.two_points:
            return super().step(closure)
        if closure is not None and not callable(closure):
            raise InvalidInput(f"{self._who}: step() takes a function, got {closure!r}.")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad.detach() for g in self.param_groups for p in g["params"]
        ]
        if any(grad.is_sparse for grad in grads):
            raise InvalidInput(f"{self._who}: sparse gradients are not covered; use sparse=False in the embedding.")
        if self.rounds.can_stream():
            taken = self._stream(grads)
        elif taken := self._agreed(all_finite(grads)):
            self._take({"grad": grads})
        self.counters["gradient_calls" if taken else "skipped_steps"] += 1
        return loss

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group while the optimizer is built; later the flat buffers are laid out."""
        if hasattr(self, "rounds"):
            raise InvalidInput(f"{self._who}: parameter groups must all be given at the start.")
        super().add_param_group(param_group)

    def restart(self) -> None:
        """Forgets the past; call it on every rank."""
        super().restart()
        self.rounds.forget()

    def state_dict(self) -> dict[str, Any]:
        """State of this rank, with its private averages and its slice; every rank saves its own."""
        return {**super().state_dict(), "distributed": self.rounds.state_dict()}

    def load_state_dict(self, state_dict: Any) -> None:
        """Continues bit for bit with the same number of workers, and starts the estimates anew with another.

        Options come back as they were saved, whatever this optimizer was built with; the method must be the same.

        Raises:
            InvalidInput: The state is of another rank, method or optimizer.
        """
        if "distributed" not in state_dict:
            raise InvalidInput(f"{self._who}: the checkpoint has no part `distributed`; was it saved by {self._who}?")
        same = self.rounds.load_state_dict(state_dict["distributed"])
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "distributed"})
        if not same:
            self.counters["initial_batches"] = 0
            self.counters["new_groups"] = self.counters.get("new_groups", 0) + 1

    # --- machinery ------------------------------------------------------------------------------------------------

    def _advance(self, closures: Sequence[Closure]) -> Any:
        wanted, period = self.rounds.options.init_batches, self.rounds.options.period
        if self.method.finite_sum and (self.counters["steps"] % period == 0 or not self._started):
            loss, grads = self._full()
            if grads is not None:
                self.counters["initial_batches"] = wanted
                self._take(grads, refresh=True)
            return loss
        starting = self.counters["initial_batches"] < wanted
        loss, grads = self._sweep(closures, () if starting else self.points)
        if grads is None:
            return loss
        if not starting:
            self._take(grads)
            return loss
        self.counters["initial_batches"] += 1
        self.rounds.collect(self._signed(grads), share=1 / wanted)
        if self.counters["initial_batches"] == wanted:
            self._take({}, refresh=True)
        else:
            self._create_points()
        return loss

    @property
    def _started(self) -> bool:
        return self.counters["initial_batches"] > 0

    def _usable(self, grads: dict[str, list[Tensor]]) -> bool:
        finite = all_finite([grad for row in grads.values() for grad in row])
        if not self._agreed(finite) and finite:  # another rank's gradient is not
            self.loss_scale.update(self.counters, finite=False)
            self.counters["skipped_steps"] += 1
            return False
        return super()._usable(grads)

    def _agreed(self, finite: bool) -> bool:
        return self.rounds.agree(self.counters["steps"], finite=finite, batch_size=self.batch_size)

    def _full(self) -> tuple[Any, dict[str, list[Tensor]] | None]:
        """Mean loss and full gradient of the local rows."""
        random, full = RandomState({p.device for p in self._params()}), self.full_gradient
        assert full is not None
        parts = full.parts(self.scale) if isinstance(full, FullGradient) else [(1.0, full)]
        with self._guard.hold(), full_precision():
            loss, grads = mean_gradient(self._who, self._params(), parts)
        random.restore()
        self.counters["full_gradients"] = self.counters.get("full_gradients", 0) + 1
        row = {"grad": grads}
        return loss, row if self._usable(row) else None

    def _signed(self, grads: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """Gradients of what is to be made smaller."""
        if not any(group["maximize"] for group in self.param_groups):
            return grads
        signs = [-1.0 if group["maximize"] else 1.0 for group in self.param_groups for _ in group["params"]]
        return {name: [s * grad for s, grad in zip(signs, row, strict=True)] for name, row in grads.items()}

    def _take(self, grads: dict[str, list[Tensor]], *, refresh: bool = False) -> None:
        """One round with all workers, then the move."""
        if refresh and grads:
            self.rounds.collect(self._signed(grads), share=1.0)
        rates = [float(group["lr"]) for group in self.param_groups for _ in group["params"]]
        common = rates[0] if len(set(rates)) == 1 else None
        length = 1.0 if common is None or self.method.lr_inside else common
        updates, mended = self.rounds.run(
            {} if refresh else self._signed(grads), rates if self.method.lr_inside else None, length=length
        )
        if common is None and not self.method.lr_inside:
            for rate, update in zip(rates, updates, strict=True):
                update.mul_(rate)
        if mended:
            self.counters["mended_scales"] = self.mended_scales + mended
        self._apply(updates)
        self.counters["steps"] += 1

    def _stream(self, grads: list[Tensor]) -> bool:
        """The plain vote without flat copies; nothing moves before all answers are here. False: it was skipped."""
        step, finite = self.counters["steps"], None
        if self.rounds.is_due(step) or self.rounds.options.momentum > 0:  # averages take nothing back
            finite = self._agreed(all_finite(grads))
        if finite is False:
            return False
        answers = self.rounds.stream(grads, step=step, batch_size=self.batch_size, finite=finite)
        if answers is None:
            return False
        kept: list[float] = []
        for group in self.param_groups:
            self._look_at_precision(group)
            kept += [1 - float(group["lr"]) * group["weight_decay"]] * len(group["params"])
        self.rounds.apply_stream(answers, length=float(self.param_groups[0]["lr"]), kept=kept)
        self.counters["steps"] += 1
        return True

    def _create_points(self) -> None:
        for group in self.param_groups:
            self._table(group, group["params"], {"grad": group["params"]})

    def _apply(self, updates: list[Tensor]) -> None:
        first = 0
        for group in self.param_groups:
            params = group["params"]
            self._look_at_precision(group)
            table = self._table(group, params, {"grad": updates[first : first + len(params)]})
            first += len(params)
            free = [index for index, param in enumerate(params) if param.requires_grad]
            table = {name: [column[index] for index in free] for name, column in table.items()}
            if "x_prev" in table:
                lists.copy_(table["x_prev"], table["param"])
            if group["weight_decay"] != 0:
                lists.mul_(table["param"], 1 - float(group["lr"]) * group["weight_decay"])
            lists.sub_(table["param"], table["grad"])
            self._publish(group, params)
