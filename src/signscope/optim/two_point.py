"""What the variance-reduced methods share: the stored batch evaluated at several points under equal conditions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.optim import lists
from signscope.optim.base import Group, SignOptimizer
from signscope.optim.blocks import Columns, all_finite
from signscope.optim.coarse import DifferenceWatch
from signscope.optim.gradients import Closure, as_closures, mean_gradient
from signscope.optim.loss_scale import LossScale
from signscope.optim.replay import (
    BufferGuard,
    RandomState,
    full_precision,
    refuse_if_different,
)

Modules = nn.Module | Iterable[nn.Module] | None
STARTED = ("steps", "initial_batches")
"""Counters that are above 0 once the run has begun."""


class TwoPointOptimizer(SignOptimizer):
    """Base class: ``step(closure)`` evaluates the same batch at earlier points and at the current one.

    The contract of the closure: it uses the stored current batch, calls backward and returns the loss; it may be
    called again. Gradients are emptied before each call. Every call sees the same random state (Python, numpy,
    torch on every device of the parameters), and module buffers move once per step. Earlier points come first,
    so ``.grad`` ends as the gradient at the current point.

    Args:
        params: Parameters or parameter groups.
        defaults: Options of a group.
        model: Module(s) whose buffers are guarded; ``None`` finds the modules called in the closure.
        check_every: Steps between tests that the closure is replayable, one more evaluation each; 0 tests the first
            step that needs it, ``None`` never.
        max_grad_norm: Clips the gradients of a step by one common factor, from the norm at the current point.
        loss_scale: ``None``, a number or ``"dynamic"``; the closure then calls ``scale(loss).backward()``.
        allow_changes: Accept parameters that something else changed between two steps.
    """

    points: ClassVar[tuple[str, ...]] = ()
    always_state = True
    stepped_outside = False  # set by a trainer that has stepped already, and will call step() once more
    carried = (
        *SignOptimizer.carried,
        "model",
        "check_every",
        "max_grad_norm",
        "loss_scale",
        "allow_changes",
        "_left",
    )  # guard and watch are made anew

    def __init__(
        self,
        params: ParamsT,
        defaults: dict[str, Any],
        *,
        model: Modules,
        check_every: int | None,
        max_grad_norm: float | None,
        loss_scale: float | str | None,
        allow_changes: bool,
    ) -> None:
        super().__init__(params, defaults)
        self.model = [model] if isinstance(model, nn.Module) else None if model is None else list(model)
        self._guard, self._coarse = BufferGuard(self.model), DifferenceWatch(self._who)
        self.check_every = check_every
        if check_every is not None:
            checks.integer(self._who, "check_every", check_every, minimum=0)
        self.max_grad_norm = max_grad_norm
        if max_grad_norm is not None:
            checks.positive(self._who, "max_grad_norm", max_grad_norm)
        self.loss_scale = LossScale(self._who, loss_scale)
        self.allow_changes = allow_changes
        self._left: list[Tensor] | None = None

    # --- what a subclass supplies ---------------------------------------------------------------------------------

    def _advance(self, closures: Sequence[Closure]) -> Any:
        """One step of the method; returns the loss."""
        raise NotImplementedError

    # --- public ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | Sequence[Callable[[], Any]] | None = None) -> Any:
        """Takes one step; ``closure`` is called several times, on the same batch.

        Args:
            closure: Evaluates the loss on the stored batch, calls backward and returns the loss. A list holds one
                function per micro-batch of equal size; their mean counts.

        Returns:
            The loss at the current point, before the step.

        Raises:
            InvalidInput: No closure, one without backward, one that is not replayable, or parameters that changed
                since the last step.
            Unsupported: Half precision with a rate at which gradient differences drown in rounding, from the start.
        """
        if closure is None and self.stepped_outside:
            self.stepped_outside = False
            return None
        closures = as_closures(self._who, closure)
        self._coarse.look(self.param_groups, self.counters, refuse=not any(map(self.counters.get, STARTED)))
        self._refuse_changes()
        loss = self._advance(closures)
        self._left = None if self.allow_changes else self._sums()
        return loss

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the loss scale, for ``optimizer.scale(loss).backward()`` in the closure."""
        return loss * self.loss_scale.current(self.counters)

    def restart(self) -> None:
        """Forgets the past, as after a jump of the parameters: the next step starts the estimate anew."""
        kept = {k: v for k, v in self.counters.items() if k not in (*STARTED, "checked_at")}
        for param in self._params():
            for name in self.buffers:
                self.state[param].pop(name, None)
        self.param_groups[0]["counters"] = {**self._fresh_counters(), **kept}
        self._left = None

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group before the first step; later the new parameters would have no past."""
        if any(group.get("counters", {}).get(name) for group in self.param_groups for name in STARTED):
            raise InvalidInput(
                f"{self._who}: a parameter group was added after {self.counters['steps']} steps; its parameters "
                "have no previous point. Call restart() first, or give them an optimizer of their own."
            )
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._guard, self._coarse = BufferGuard(getattr(self, "model", None)), DifferenceWatch(self._who)

    def load_state_dict(self, state_dict: Any) -> None:
        """Continues from a saved state; a missing buffer is an error that names it."""
        super().load_state_dict(state_dict)
        self._left = None

    # --- machinery ------------------------------------------------------------------------------------------------

    def _params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    def _evaluate(self, closures: Iterable[Closure]) -> tuple[Any, list[Tensor]]:
        with full_precision():
            loss, grads = mean_gradient(self._who, self._params(), ((1, closure) for closure in closures))
        self.counters["gradient_calls"] += 1
        return loss, grads

    def _sweep(self, closures: Sequence[Closure], points: Sequence[str]) -> tuple[Any, dict[str, list[Tensor]] | None]:
        """Loss at the current point and gradients by point; None instead of gradients that are not finite."""
        random = RandomState({p.device for p in self._params()})
        trial = self._trial(closures) if points and self._is_check_due() else None
        grads: dict[str, list[Tensor]] = {}
        for point in points:
            random.restore()
            with self._exchanged(point), self._guard.hold(), self._coarse.watching(self.param_groups, self.counters):
                grads[f"grad@{point}"] = self._evaluate(closures)[1]
        random.restore()
        loss, grads["grad"] = self._evaluate(closures)
        if trial is not None:
            refuse_if_different(self._who, trial, (loss, grads["grad"]))
            self.counters["checked_at"] = self.counters["steps"]
        return loss, grads if self._usable(grads) else None

    def _trial(self, closures: Sequence[Closure]) -> tuple[Any, list[Tensor]]:
        """Evaluates at the current point without lasting effect, to be compared."""
        calls = self.counters["gradient_calls"]
        with self._guard.hold():
            result = self._evaluate(closures)
        self.counters["gradient_calls"] = calls
        return result

    def _usable(self, grads: dict[str, list[Tensor]]) -> bool:
        """Unscales and clips in place, by common factors; counts a step that must be skipped."""
        finite = all_finite([grad for row in grads.values() for grad in row])
        scale = self.loss_scale.current(self.counters)
        self.loss_scale.update(self.counters, finite=finite)
        if not finite:
            self.counters["skipped_steps"] += 1
            return False
        factor = 1 / scale
        if self.max_grad_norm is not None:
            norm = float(torch.nn.utils.get_total_norm(grads["grad"])) * factor
            factor *= min(1.0, self.max_grad_norm / (norm + 1e-6))
        if factor != 1:
            for row in grads.values():
                lists.mul_(row, factor)
        return True

    def _commit(self, grads: dict[str, list[Tensor]], *, moving: bool = True) -> None:
        """Updates estimates and, when ``moving``, the parameters."""
        first = 0
        for group in self.param_groups:
            params = group["params"]
            end = first + len(params)
            table = self._table(group, params, {name: column[first:end] for name, column in grads.items()})
            first = end
            free = [index for index, param in enumerate(params) if param.requires_grad]
            if len(free) < len(params):  # a frozen parameter has state, should it be freed, but stays where it is
                table = {name: [column[index] for index in free] for name, column in table.items()}
            if moving:
                self._update(group, table)
                self._publish(group, params)
            else:
                self._gather(group, table)
        self.counters["steps"] += moving

    def _gather(self, group: Group, table: Columns) -> None:
        """Takes gradients in without moving."""
        raise NotImplementedError

    def _move(self, group: Group, columns: Columns, directions: Sequence[Tensor]) -> None:
        if "x_prev" in columns:
            lists.copy_(columns["x_prev"], columns["param"])
        super()._move(group, columns, directions)

    def _new_buffer(self, name: str, param: Tensor, grad: Tensor, group: Group) -> Tensor:
        if name.startswith("x_"):  # a point is kept in the precision of the parameter
            return param.detach().clone(memory_format=torch.preserve_format)
        return super()._new_buffer(name, param, grad, group)

    @contextmanager
    def _exchanged(self, point: str) -> Iterator[None]:
        """Inside, the parameters hold the point ``point``, and its buffer holds the parameters."""
        self._exchange(point)
        try:
            yield
        finally:
            self._exchange(point)

    def _exchange(self, point: str) -> None:
        for param in self._params():
            other = self.state[param][point]
            kept = param.detach().clone(memory_format=torch.preserve_format)
            param.copy_(other)
            other.copy_(kept)

    # --- refusals -------------------------------------------------------------------------------------------------

    def _is_check_due(self) -> bool:
        if self.check_every is None:
            return False
        last = self.counters.get("checked_at")
        return last is None or (self.check_every > 0 and self.counters["steps"] - last >= self.check_every)

    def _sums(self) -> list[Tensor]:
        return [param.detach().sum() for param in self._params()]

    def _refuse_changes(self) -> None:
        if self._left is None or all(torch.equal(a, b) for a, b in zip(self._left, self._sums(), strict=True)):
            return
        raise InvalidInput(
            f"{self._who}: the parameters changed between steps {self.counters['steps']} and "
            f"{self.counters['steps'] + 1}; the estimate belongs to where they were. Call restart() after loading or "
            "resetting weights, or pass allow_changes=True if something projects them at every step."
        )
