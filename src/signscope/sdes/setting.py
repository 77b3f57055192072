"""`Setting`: what every SDE of an optimizer knows, and the names of the forms."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.problems.oracle import Loss
from signscope.problems.oracle_noise import GaussianNoise, GradientNoise

FORMS = ("recommended", "published", "older", "augmented")
FLOOR = 0.1  # of the noise variance: V noise may not take a second moment lower


@dataclass(frozen=True)
class Setting:
    """Loss, noise and hyperparameters of one optimizer, after all checks.

    Attributes:
        loss: f.
        noise: Z in g = grad f + Z.
        lr: eta; SDE time is lr*steps.
        betas: Adam's two averages; RMSprop uses the second.
        weight_decay: Decoupled decay theta.
        eps: Added to the root of V.
        factor: u(t), the schedule relative to lr; None is 1.
        form: Which equation.
        order: 1, or 2 with the correction of the drift.
        v_noise: Whether V fluctuates.
        bias_correction: Adam starts from zero averages and corrects them; else from their stationary means.
    """

    loss: Loss
    noise: GradientNoise
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    eps: float = 1e-8
    factor: Callable[[float], float] | None = None
    form: str = "recommended"
    order: int = 1
    v_noise: bool = False
    bias_correction: bool = True

    @property
    def rho1(self) -> float:
        """(1 - beta1) / lr."""
        return (1 - self.betas[0]) / self.lr

    @property
    def rho2(self) -> float:
        """(1 - beta2) / lr."""
        return (1 - self.betas[1]) / self.lr

    def u(self, time: float) -> float:
        """The schedule's factor at ``time``, checked."""
        if self.factor is None:
            return 1.0
        value = float(self.factor(time))
        if not (value >= 0 and value < float("inf")):
            raise InvalidInput(f"solve: `schedule` must be 0 or more and finite, but it is {value:g} at time {time:g}.")
        return value

    def gaussian_noise(self) -> GaussianNoise:
        """The noise, known to be Gaussian."""
        assert isinstance(self.noise, GaussianNoise)
        return self.noise

    def decayed(self, drift: Tensor, points: Tensor) -> Tensor:
        """``drift - theta x``, in place."""
        return drift.add_(points, alpha=-self.weight_decay) if self.weight_decay else drift


def along_flow(drift: Callable[[Tensor], Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    """``b(y)`` and ``(grad b) b`` at ``state``: how the drift changes along its own flow.

    Two reverse passes: torch's forward mode would do with one, but compiles scripts that torch itself deprecates.
    """
    value, pull = torch.func.vjp(drift, state)[:2]
    push = torch.func.vjp(lambda weights: pull(weights)[0], torch.zeros_like(value))[1]
    return value, push(value.detach())[0]


@equation("signscope", "second-order correction of the drift, rate and noise changing in time")
def second_order_drift(
    setting: Setting, drift: Callable[[Tensor, float], Tensor], state: Tensor, time: float
) -> Tensor:
    r"""$b - \tfrac\eta2(\partial_t b + (\nabla b)\,b)$ for the drift $b(y, t)$, schedule included.

    The optimizer holds the rate and the noise of t from t to t + lr, so at time t those of half a step ago are in
    force on average: $b - \tfrac\eta2\partial_t b$ is $b(y, t - \eta/2)$. Before t = lr/2 the line through 0 is
    continued. The diffusion stays as it is: what its change would add to the second moment of a step is of third order.

    Notes:
        Order 2 for schedules that are continuous; each jump leaves an error of order lr.
    """
    value, turned = along_flow(lambda y: drift(y, time), state)
    if setting.factor is not None or setting.noise.scale is not None:
        half = 0.5 * setting.lr
        value = drift(state, time - half) if time >= half else 2 * drift(state, 0.0) - drift(state, half - time)
    return torch.add(value, turned, alpha=-0.5 * setting.lr)
