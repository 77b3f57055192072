"""What all optimizers of the room share: options, non-finite gradients, the decoupled sign step, checkpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope.optim import checkpoint, lists
from signscope.optim.blocks import PIECE, SMALL, Columns, all_finite, blocks, lots
from signscope.optim.precision import HALF, state_dtype, warn_if_stuck

Group = dict[str, Any]
LABELS = {"params", "param_names", "counters", "initial_lr", "name"}
"""Keys of a parameter group that are no options."""


class SignOptimizer(Optimizer):
    """Base class: one gradient per step, turned into a direction by `_directions`.

    Subclasses name their per-parameter tensors in ``buffers`` and say in ``elementwise`` whether a large tensor
    may be updated piece by piece. A step with a NaN or infinite gradient changes nothing and is counted.
    """

    buffers: ClassVar[tuple[str, ...]] = ()
    elementwise: ClassVar[bool] = True
    always_state: ClassVar[bool] = False
    carried: ClassVar[tuple[str, ...]] = ("_lr_looked_at",)

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self.param_groups[0]["counters"] = self._fresh_counters()
        self._lr_looked_at: dict[int, float] = {}
        self._forget_layout()

    # --- what a subclass supplies ---------------------------------------------------------------------------------

    def _check_options(self, group: Group) -> None:
        """Refuses wrong values of the options the subclass adds."""

    def _directions(self, group: Group, columns: Columns) -> list[Tensor]:
        """New directions for a list of parameters; updates the buffers among ``columns`` in place."""
        raise NotImplementedError

    def _new_buffer(self, name: str, param: Tensor, grad: Tensor, group: Group) -> Tensor:
        """First value of buffer ``name``: zeros in the precision of the state."""
        return torch.zeros_like(param, dtype=state_dtype(param), memory_format=torch.preserve_format)

    def _move(self, group: Group, columns: Columns, directions: Sequence[Tensor]) -> None:
        """``theta = (1 - lr wd) theta - lr direction`` (plus for ``maximize``)."""
        params, lr = columns["param"], float(group["lr"])
        if group["weight_decay"] != 0:
            lists.mul_(params, 1 - lr * group["weight_decay"])
        lists.add_(params, directions, alpha=self._length(group) * (1 if group["maximize"] else -1))

    def _length(self, group: Group) -> float:
        """Length of the step along a direction."""
        return float(group["lr"])

    def _signs(self, tensors: list[Tensor]) -> list[Tensor]:
        """Signs of tensors, in reused memory for a piece of a large one."""
        room = self._room(tensors)
        return list(lists.sign(tensors)) if room is None else [torch.sign(tensors[0], out=room)]

    def _room(self, tensors: list[Tensor]) -> Tensor | None:
        """Scratch memory for a single contiguous piece: fresh pages would cost more than the arithmetic."""
        first = tensors[0]
        if len(tensors) > 1 or not SMALL < first.numel() <= PIECE or not first.is_cpu or not first.is_contiguous():
            return None
        key = (first.dtype, first.shape)
        room = self._rooms.get(key)
        if room is None:
            if first.dtype not in self._scratch:
                self._scratch[first.dtype] = torch.empty(PIECE, dtype=first.dtype)
            room = self._rooms[key] = self._scratch[first.dtype][: first.numel()].view(first.shape)
        return room

    def _fresh_counters(self) -> dict[str, Any]:
        return {"optimizer": self._who, "steps": 0, "initial_batches": 0, "skipped_steps": 0, "gradient_calls": 0}

    # --- public ---------------------------------------------------------------------------------------------------

    @property
    def counters(self) -> dict[str, Any]:
        """Steps done, steps skipped and gradient calls; saved with the first parameter group."""
        return self.param_groups[0]["counters"]

    @property
    def skipped_steps(self) -> int:
        """Number of steps not taken because a gradient was NaN or infinite."""
        return self.counters["skipped_steps"]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Takes one step along the gradients in ``.grad``.

        Args:
            closure: Optional function that evaluates the loss, calls backward and returns the loss.

        Returns:
            The loss of the closure, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [(group, *self._gradients(group)) for group in self.param_groups]
        if not all_finite([grad for _, _, grads in work for grad in grads]):
            self.counters["skipped_steps"] += 1
            return loss
        for group, params, grads in work:
            self._update(group, self._table(group, params, {"grad": grads}))
            self._publish(group, params)
        self.counters["steps"] += 1
        self.counters["gradient_calls"] += 1
        return loss

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group of parameters; unknown options and wrong values are refused."""
        if isinstance(param_group, dict):
            unknown = sorted(set(param_group) - set(self.defaults) - LABELS)
            if unknown:
                raise InvalidInput(
                    f"{self._who}: unknown option `{unknown[0]}` = {param_group[unknown[0]]!r} in a parameter group; "
                    f"the options are {', '.join(sorted(self.defaults))}."
                )
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check_group(group)
        except Exception:
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """State of the run: buffers, options and counters. Loading it continues the run bit for bit."""
        saved = super().state_dict()
        saved["param_groups"][0]["counters"] = dict(self.counters)
        return saved

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Continues from a saved state; a missing buffer is an error that names it.

        Raises:
            InvalidInput: Something is missing, of another optimizer, or of the wrong shape.
        """
        saved = dict(state_dict)
        checkpoint.check(self._who, saved, self.param_groups, needed=self._needed, every=self.always_state)
        super().load_state_dict(saved)
        for _, _, param, entry in checkpoint.pairs(saved, self.param_groups):
            for name, value in entry.items():
                self.state[param][name] = checkpoint.restored(param, value)
        self._lr_looked_at = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget_layout()

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles carry: torch's own part and the attributes in ``carried``."""
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self.carried}}

    # --- machinery ------------------------------------------------------------------------------------------------

    @property
    def _who(self) -> str:
        return type(self).__name__

    def _check_group(self, group: Group) -> None:
        for name in ("lr", "weight_decay"):
            checks.non_negative(self._who, name, group[name])
        for param in group["params"]:
            if param.is_complex():
                raise Unsupported(f"{self._who}: complex parameters have no sign; got one of {param.dtype}.")
        self._check_options(group)

    def _needed(self, group: Mapping[str, Any], param: Tensor) -> list[str]:
        has_master = group.get("master_weights", False) and state_dtype(param) != param.dtype
        return [*self.buffers, *(["master"] if has_master else [])]

    def _forget_layout(self) -> None:
        """Drops what is remembered for speed alone."""
        self._scratch: dict[torch.dtype, Tensor] = {}
        self._rooms: dict[tuple[torch.dtype, torch.Size], Tensor] = {}
        self._lots: dict[tuple[int, ...], list[list[int]]] = {}

    def _gradients(self, group: Group) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters with a gradient or a memory; a missing gradient counts as zeros where there is a memory."""
        params: list[Tensor] = group["params"]
        grads = [param.grad for param in params if param.grad is not None]
        if len(grads) < len(params):
            params = [param for param in params if param.grad is not None or param in self.state]
            grads = [torch.zeros_like(param) if param.grad is None else param.grad for param in params]
        if True in [grad.is_sparse for grad in grads]:
            raise Unsupported(f"{self._who}: sparse gradients are not covered; use sparse=False in the embedding.")
        return params, grads

    def _table(self, group: Group, params: list[Tensor], columns: Columns) -> Columns:
        """Columns of a list of parameters: what moves, the given ones, and the buffers, created where missing."""
        if not self.buffers and not group["master_weights"]:
            return {"param": params, **columns}
        states = [self.state[param] for param in params]
        try:
            kept = {name: [state[name] for state in states] for name in self.buffers}
            targets = [state["master"] for state in states] if group["master_weights"] else params
        except KeyError:  # the first step of a parameter
            for index, (param, state) in enumerate(zip(params, states, strict=True)):
                self._create(group, param, state, columns["grad"][index])
            kept = {name: [state[name] for state in states] for name in self.buffers}
            if group["master_weights"]:
                targets = [s.get("master", p) for p, s in zip(params, states, strict=True)]
            else:
                targets = params
        return {"param": targets, **columns, **kept}

    def _create(self, group: Group, param: Tensor, state: dict[str, Tensor], grad: Tensor) -> None:
        """Adds the tensors that the state of a parameter lacks."""
        if group["master_weights"] and state_dtype(param) != param.dtype and "master" not in state:
            state["master"] = param.detach().float()
        for name in self.buffers:
            if name not in state:
                state[name] = self._new_buffer(name, param, grad, group)

    def _update(self, group: Group, table: Columns) -> None:
        self._look_at_precision(group)
        for columns in self._blocks(group, table):
            self._move(group, columns, self._directions(group, columns))

    def _blocks(self, group: Group, table: Columns) -> Iterator[Columns]:
        """The table in blocks, with gradients in the precision of the state."""
        params, foreach = table["param"], group["foreach"]
        key = (*map(id, params), foreach)
        if key not in self._lots:
            if len(self._lots) > 2 * len(self.param_groups):  # parameters without a gradient come and go
                self._lots.clear()
            self._lots[key] = lots(params, foreach)
        found = blocks(table, self._lots[key], cut=self.elementwise and foreach is None)
        if not self.buffers or HALF.isdisjoint([grad.dtype for grad in table["grad"]]):
            return found
        return (
            {**columns, "grad": [g.float() if g.dtype in HALF else g for g in columns["grad"]]} for columns in found
        )

    def _publish(self, group: Group, params: Sequence[Tensor]) -> None:
        """Rounds the master weights into the half-precision parameters."""
        if group["master_weights"]:
            for param in params:
                if "master" in self.state[param]:
                    param.copy_(self.state[param]["master"])

    def _look_at_precision(self, group: Group) -> None:
        """Warns about stuck weights at the first step and whenever the rate has halved since the last look."""
        lr, index = float(group["lr"]), id(group)
        if group["master_weights"] or not 0 < lr <= self._lr_looked_at.get(index, float("inf")) / 2:
            return
        self._lr_looked_at[index] = lr
        warn_if_stuck(self._who, group["params"], self._length(group))


def common_options(*, lr: float, weight_decay: float, maximize: bool, foreach: bool | None, master_weights: bool):
    """The options that every optimizer of the room has."""
    return {
        "lr": lr,
        "weight_decay": weight_decay,
        "maximize": maximize,
        "foreach": foreach,
        "master_weights": master_weights,
    }
