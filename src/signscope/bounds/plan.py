"""What a bound needs to know about a problem, and what it answers."""

import math
from dataclasses import dataclass

from signscope._core import checks


@dataclass(frozen=True)
class Constants:
    r"""The constants of a problem in the l-infinity geometry.

    Attributes:
        initial_gap: $\Delta = f(x_0) - \inf f$, above 0.
        smoothness: $L$ with $\lVert\nabla f(x) - \nabla f(y)\rVert_1 \le L \lVert x - y\rVert_\infty$, above 0. Bounds
            that use descent alone hold with the (up to twice) smaller Bregman constant as well.
        noise_l1: $\sigma_1 = \sum_i \sigma_i$ with $E|g_i - \partial_i f|^2 \le \sigma_i^2$ per sample, 0 or more.
        sample_smoothness: $M = \sum_i M_i$ with $E|g_i(x;\xi) - g_i(y;\xi)|^2 \le M_i^2\lVert x - y\rVert_\infty^2$;
            ``smoothness`` when None (no multiplicative noise).
    """

    initial_gap: float
    smoothness: float
    noise_l1: float = 0.0
    sample_smoothness: float | None = None

    def __post_init__(self) -> None:
        checks.positive("Constants", "initial_gap", self.initial_gap)
        checks.positive("Constants", "smoothness", self.smoothness)
        checks.non_negative("Constants", "noise_l1", self.noise_l1)
        if self.sample_smoothness is not None:
            checks.positive("Constants", "sample_smoothness", self.sample_smoothness)

    @property
    def mean_squared(self) -> float:
        """M, which is L where it was not given."""
        return self.smoothness if self.sample_smoothness is None else self.sample_smoothness

    @property
    def ceiling(self) -> float:
        r"""$\sqrt{2 L \Delta}$, the largest l1 norm the gradient can have at the start."""
        return math.sqrt(2 * self.smoothness * self.initial_gap)


@dataclass(frozen=True)
class Condition:
    """One thing the closed form asks for.

    Attributes:
        name: Short name.
        text: The condition with its numbers.
        ok: Whether it holds here.
    """

    name: str
    text: str
    ok: bool


@dataclass(frozen=True)
class Plan:
    r"""Parameters of a method and the bound they come with.

    Attributes:
        method: Name of the rule in `signscope.rules`.
        num_steps: Updates T.
        lr: Length of the step of every coordinate, constant over the run.
        value: Bound on $\frac1T\sum_t E\lVert\nabla f(x_t)\rVert_1$ at exactly these (rounded) parameters.
        leading: The closed form of its leading term, for comparison with the literature.
        beta: Weight of the new sample; 1 without memory.
        batch_size: Samples per gradient.
        init_batch: Samples averaged before the first move (B_0).
        period: Steps between two full gradients (I); 0 where none is taken.
        gradient_calls: Per-sample gradients of the whole run, full gradients included.
        conditions: What the closed form ``leading`` needs. ``value`` holds without them.
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

    @property
    def holds(self) -> bool:
        """Whether every condition holds."""
        return all(c.ok for c in self.conditions)


def drift(constants: Constants, lr: float, num_steps: int) -> float:
    r"""$\Delta/(\eta T) + \eta L/2$: what descent along exact signs costs."""
    return constants.initial_gap / (lr * num_steps) + lr * constants.smoothness / 2
