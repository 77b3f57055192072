"""One loss scale for all gradients of a step, for methods that GradScaler cannot serve."""

from collections.abc import MutableMapping
from typing import Any

from signscope._core import checks

GROWTH_INTERVAL = 2000
START = 2.0**16


class LossScale:
    """A constant or self-adjusting factor on the loss; gradients are divided by it before use.

    It halves when a gradient is not finite and doubles after 2000 finite steps in a row. Its two numbers live in
    the optimizer's counters, so that they are saved with them.

    Args:
        who: Name of the optimizer, for messages.
        value: ``None`` (no scaling), a positive number, or ``"dynamic"``.
    """

    def __init__(self, who: str, value: float | str | None) -> None:
        self.dynamic = value == "dynamic"
        self.start = START if self.dynamic else 1.0 if value is None else checks.positive(who, "loss_scale", value)

    def current(self, counters: MutableMapping[str, Any]) -> float:
        """The factor in force."""
        return counters.get("loss_scale", self.start) if self.dynamic else self.start

    def update(self, counters: MutableMapping[str, Any], *, finite: bool) -> None:
        """Learns from one step."""
        if not self.dynamic:
            return
        scale, good = self.current(counters), counters.get("finite_steps", 0) + 1
        if not finite:
            scale, good = scale / 2, 0
        elif good >= GROWTH_INTERVAL:
            scale, good = scale * 2, 0
        counters["loss_scale"], counters["finite_steps"] = scale, good
