"""What a bound answers: parameters, its value, the formula behind it, and the conditions it was asked under."""

import math
from dataclasses import dataclass
from typing import Literal

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import Constants

Norm = Literal["l1", "nuclear"]


@dataclass(frozen=True)
class Condition:
    """One thing a bound or its closed form asks for.

    Attributes:
        name: Short name.
        text: The condition with its numbers.
        ok: Whether it holds here; None where the constants cannot tell, so that the reader has to know.
    """

    name: str
    text: str
    ok: bool | None

    @property
    def verdict(self) -> str:
        """Met, NOT met or assumed, as a word."""
        return "assumed" if self.ok is None else "met" if self.ok else "NOT met"

    def __str__(self) -> str:
        return f"{self.verdict}: {self.name} ({self.text})"


@dataclass(frozen=True)
class Plan:
    r"""Parameters of a method and the upper bound they come with.

    Attributes:
        method: Name of the rule in `signscope.rules`.
        num_steps: Updates T.
        lr: Length of the step of every coordinate (of every singular value for Muon; what multiplies the gradient
            for SGD), constant over the run.
        value: Bound on $\frac1T\sum_t E\lVert\nabla f(x_t)\rVert$ at exactly these (rounded) parameters.
        leading: The closed form of its leading term, for comparison with the literature.
        beta: Weight of the new sample; 1 without memory.
        batch_size: Samples per gradient.
        init_batch: Samples averaged before the first move (B_0).
        period: Steps between two full gradients (I); 0 where none is taken.
        gradient_calls: Per-sample gradients of the whole run, full gradients included.
        conditions: What the closed form ``leading`` needs. ``value`` needs those that are "assumed" alone.
        equation: The formula of ``value``, as text.
        norm: Norm of the gradient that is bounded.
    """

    method: str
    num_steps: int
    lr: float
    value: float
    leading: float
    beta: float = 1.0
    batch_size: int = 1
    init_batch: int = 1
    period: int = 0
    gradient_calls: int = 0
    conditions: tuple[Condition, ...] = ()
    equation: str = ""
    norm: Norm = "l1"

    @property
    def holds(self) -> bool:
        """Whether no condition is violated."""
        return all(c.ok is not False for c in self.conditions)

    def __str__(self) -> str:
        settings = [f"lr {self.lr:.4g}", f"T {self.num_steps}", f"batch {self.batch_size}"]
        settings += [f"beta {self.beta:.4g}"] if self.beta != 1 else []
        settings += [f"B_0 {self.init_batch}"] if self.init_batch != 1 else []
        settings += [f"I {self.period}"] if self.period else []
        first = (
            f"{self.method}: mean {self.norm} norm of the gradient <= {self.value:.4g} in {self.gradient_calls} calls"
        )
        return "\n  ".join([first, ", ".join(settings), self.equation, *(str(c) for c in self.conditions)])


@dataclass(frozen=True)
class LowerBound:
    r"""What no choice of step size and batch can beat on every problem with these constants.

    Attributes:
        method: Name of the rule.
        value: There is a problem in the class with $E\min_t\lVert\nabla f(x_t)\rVert$ at least this.
        num_calls: Per-sample gradients N.
        conditions: What the terms of ``value`` rest on; a term that asks for more calls than N has its value at those.
        equation: The formula of ``value``, as text.
        norm: Norm of the gradient that is bounded.
    """

    method: str
    value: float
    num_calls: int
    conditions: tuple[Condition, ...]
    equation: str
    norm: Norm = "l1"

    @property
    def holds(self) -> bool:
        """Whether every term has reached its closed form."""
        return all(c.ok is not False for c in self.conditions)

    def __str__(self) -> str:
        first = f"{self.method}: on some problem {self.norm} norm of the gradient >= {self.value:.4g}"
        return "\n  ".join([f"{first} after {self.num_calls} calls", self.equation, *(str(c) for c in self.conditions)])


def check_run(
    who: str, *, lr: float, num_steps: int, batch_size: int = 1, beta: float = 1.0, init_batch: int = 1
) -> None:
    """Raise unless these can be the parameters of a run."""
    checks.positive(who, "lr", lr)
    checks.integer(who, "num_steps", num_steps, minimum=1)
    checks.integer(who, "batch_size", batch_size, minimum=1)
    checks.integer(who, "init_batch", init_batch, minimum=1)
    if not 0 < checks.finite(who, "beta", beta) <= 1:
        raise InvalidInput(f"{who}: `beta`, the weight of the new sample, must lie in (0, 1], got {beta:g}.")


def drift(constants: Constants, lr: float, num_steps: int) -> float:
    r"""$\Delta/(\eta T) + \eta L/2$: what descent along exact signs costs; the Bregman constant is enough for L."""
    return constants.initial_gap / (lr * num_steps) + lr * constants.descent / 2


def best_drift_lr(constants: Constants, num_steps: int) -> float:
    r"""$\sqrt{2\Delta/(LT)}$, the step that minimises `drift`."""
    return math.sqrt(2 * constants.initial_gap / (constants.descent * num_steps))
