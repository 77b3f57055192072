"""What one step of an optimizer is worth: mean step per gradient, and noise, to leading order."""

import math
from dataclasses import dataclass

from signscope._core import checks
from signscope._core.equations import equation
from signscope.sdes.scaling import rule_name

_SLOPE = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class EffectiveStep:
    r"""Over many steps, x moves by $-\eta(a\nabla f + \theta x)$ a step with variance $\eta^2n$ a step.

    Attributes:
        slope: a times sigma, the mean step over lr per unit of z = gradient over sigma.
        noise: n.
    """

    slope: float
    noise: float

    @property
    def loss(self) -> float:
        r"""Long-run loss of one coordinate over $\eta\sigma/4$ without decay: n / (a sigma)."""
        return self.noise / self.slope


@equation("signscope", "effective slope and noise of one step, Signum's momentum included")
def effective_step(optimizer: str, *, momentum: float = 0.0, std: float = 1.0) -> EffectiveStep:
    r"""Effective slope $a\sigma$ and noise n of one coordinate where noise dominates.

    SGD: $\sigma$ and $\sigma^2$. SignSGD: $\sqrt{2/\pi}$ and 1. RMSprop, Adam: 1 and 1, whatever their averages are.
    Signum takes signs of an average whose noise is $g\sigma$, $g^2 = (1-\beta)/(1+\beta)$, and its signs agree for as
    long as the average lasts:

    $$ a\sigma = \sqrt{2/\pi}\,/g, \qquad n = 1 + \tfrac4\pi\sum_{k\ge1}\arcsin\beta^k $$

    so that its long-run loss at a given slope is $g^2n \to \ln 2$ of signSGD's.

    Args:
        optimizer: Any with a rule in `scaling.RULES`.
        momentum: beta of Signum, in [0, 1); ignored by the others.
        std: sigma of one stochastic gradient; SGD alone depends on it.
    """
    rule = rule_name(optimizer)
    sigma = checks.positive("effective_step", "std", std)
    if rule == "sgd":
        return EffectiveStep(sigma, sigma**2)
    if rule in ("rmsprop", "adam"):
        return EffectiveStep(1.0, 1.0)
    if rule == "signsgd":
        return EffectiveStep(_SLOPE, 1.0)
    beta, _ = checks.betas("effective_step", (momentum, 0.0))
    return EffectiveStep(_SLOPE / averaged_noise(beta), _agreeing(beta))


def averaged_noise(momentum: float) -> float:
    """Noise of the running average over that of one gradient: sqrt((1 - beta) / (1 + beta))."""
    return math.sqrt((1 - momentum) / (1 + momentum))


def mean_step(optimizer: str, ratio: float, *, momentum: float = 0.0, std: float = 1.0) -> float:
    r"""Mean step over lr of one coordinate at a steady signal-to-noise ratio z, not only a small one.

    SGD: $z\sigma$. SignSGD: $\mathrm{erf}(z/\sqrt2)$. Signum: the same at z / g. RMSprop, Adam:
    $z/\sqrt{1+z^2}$.
    """
    rule = rule_name(optimizer)
    if rule == "sgd":
        return ratio * std
    if rule in ("rmsprop", "adam"):
        return ratio / math.hypot(1.0, ratio)
    spread = 1.0 if rule == "signsgd" else averaged_noise(momentum)
    return math.erf(ratio / (spread * math.sqrt(2)))


def _agreeing(beta: float) -> float:
    """1 + 2 sum over k >= 1 of (2/pi) arcsin beta^k, to 1e-12."""
    import numpy as np

    if beta == 0:
        return 1.0
    last = min(math.ceil(-30 / math.log(beta)), 10_000_000)
    return 1 + 4 / math.pi * float(np.arcsin(beta ** np.arange(1, last + 1)).sum())
