"""Closed stationary variances of one coordinate, by optimizer; the forms usually stated go by name."""

import math
from typing import Any, Literal

from signscope._core import checks
from signscope._core.equations import equation

_SLOPE = math.sqrt(2 / math.pi)
SignForm = Literal["corrected", "leading", "stated", "sde"]
AdamForm = Literal["exact", "leading", "recommended", "augmented", "published"]


@equation("signscope", "stationary variance of SignSGD, corrected")
def sign_variance(
    curvature: float, std: float, *, lr: float, weight_decay: float = 0.0, form: SignForm = "corrected"
) -> float:
    r"""Stationary variance of signSGD on $hx^2/2$ under Gaussian noise.

    "corrected": $v = b + \sqrt{b^2 + \tfrac\pi8\eta^2\sigma^2/h^2}$, $b = \pi\eta^2/16$, that is
    $v_0(1 + 0.313\,r)$ with $r = \eta h/\sigma$, 1.8e-4 off at r = 0.1 and 1.8% at 1. "leading":
    $v_0 = \tfrac\eta2\sqrt{\pi/2}\,\sigma/h$. "stated": $v_0(1 - 0.40\,r)$, its correction has the wrong sign. "sde":
    $v_0(1 - 0.086\,r)$, that of the nonlinear SDE to first order.

    Args:
        curvature: h.
        std: sigma.
        lr: eta.
        weight_decay: theta, towards the minimum. With it "corrected" solves the closure's equation; "leading" is
            known, the other two are not.
        form: Which.

    Raises:
        InvalidInput: A number is out of range, or there is no such form with weight decay.
    """
    h, sigma, eta = _checked("sign_variance", curvature, std, lr)
    theta = checks.non_negative("sign_variance", "weight_decay", weight_decay)
    allowed = ("corrected", "leading") if theta else ("corrected", "leading", "stated", "sde")
    checks.one_of("sign_variance", "form", form, allowed)
    leading = 0.5 * eta / (_SLOPE * h / sigma + theta)
    if form == "corrected":
        return _with_decay(h / sigma, eta, theta) if theta else _closed(h / sigma, eta)
    if form == "stated":
        return 0.5 * eta * (sigma / h) / (_SLOPE + eta / math.pi * h / sigma)
    # E x erf(a x) = (eta/2) E(1 - erf^2) puts -(2/pi) (h/sigma)^2 v into the source: -0.4 r + 0.313 r
    return leading if form == "leading" else leading * (1 + (_CLOSED - _STATED) * eta * h / sigma)


_CLOSED = math.sqrt(math.pi / 8) / 2  # 0.3133
_STATED = 1 / math.sqrt(2 * math.pi)  # 0.3989


def _closed(alpha: float, eta: float) -> float:
    shift = math.pi * eta**2 / 16
    return shift + math.sqrt(shift**2 + math.pi / 8 * (eta / alpha) ** 2)


def _with_decay(alpha: float, eta: float, theta: float) -> float:
    """The root of v = q^2 v - 2 eta q sqrt(2/pi) alpha v / sqrt(1 + alpha^2 v) + eta^2, q = 1 - eta theta."""
    from scipy.optimize import brentq

    q = 1 - eta * theta

    def rest(v: float) -> float:
        return (q * q - 1) * v - 2 * eta * q * _SLOPE * alpha * v / math.sqrt(1 + alpha**2 * v) + eta**2

    top = eta**2 / (1 - q * q) if q * q < 1 else math.inf
    if not math.isfinite(top) or q <= 0:
        checks.positive("sign_variance", "1 - lr * weight_decay", q)
    return float(brentq(rest, 0.0, top, xtol=1e-300, rtol=1e-13))  # pyright: ignore[reportArgumentType]


@equation("compagnoni2024", "mean and variance of SignSGD in phase 3, as stated")
def stated_sign_law(curvature: float, std: float, start: float, *, lr: float, time: float) -> tuple[float, float]:
    r"""Mean and variance at t = lr * steps of the linearised SDE of signSGD, one coordinate, no decay.

    $$ M_t = e^{-2(a + \frac\eta\pi\alpha^2)t}, \quad a = \sqrt{2/\pi}\,\alpha,\ \alpha = h/\sigma, \qquad
       \mathrm{Var} = (M_t - e^{-2at})x_0^2 + v_\infty(1 - M_t) $$

    For the algorithm: its variance is good to 4% for $|z_0| \le 0.5$, 12-18% off at 1 and 7 times at 1.5.
    """
    h, sigma, eta = _checked("stated_sign_law", curvature, std, lr)
    t, alpha = checks.non_negative("stated_sign_law", "time", time), h / sigma
    slow, fast = math.exp(-2 * (_SLOPE * alpha + eta / math.pi * alpha**2) * t), math.exp(-2 * _SLOPE * alpha * t)
    late = sign_variance(h, sigma, lr=eta, form="stated")
    return math.sqrt(fast) * start, (slow - fast) * start**2 + late * (1 - slow)


@equation("signscope", "stationary variance of SignSGD under any noise")
def law_variance(law: Any, curvature: float, *, lr: float, scale: float = 1.0) -> tuple[float, float]:
    r"""Centre and variance of signSGD on $hx^2/2$ to leading order: $-\mathrm{med}/h$ and $\eta/(4p(\mathrm{med})h)$.

    Skewed noise moves the centre off the minimum, though its mean be 0. A kink of the density at the median (Laplace)
    makes the next term as large as sqrt(lr).

    Args:
        law: A `NoiseLaw`, a scipy law or text, with a density at its median.
        curvature: h.
        lr: eta.
        scale: Multiplies the noise.
    """
    import torch

    from signscope.noise import as_noise

    found = as_noise(law)
    h, s, eta = _checked("law_variance", curvature, scale, lr)
    median = _median(found)
    density = float(found.pdf(torch.tensor([median], dtype=torch.float64))[0]) / s
    checks.positive("law_variance", "density of the noise at its median", density)
    return -s * median / h, eta / (4 * density * h)


def _median(law: Any) -> float:
    import torch
    from scipy.optimize import brentq

    def above(x: float) -> float:
        return float(law.cdf(torch.tensor([x], dtype=torch.float64))[0]) - 0.5

    if above(0.0) == 0:
        return 0.0
    reach = 1.0
    while above(-reach) > 0 or above(reach) < 0:
        reach *= 2
    return float(brentq(above, -reach, reach, xtol=1e-13))  # pyright: ignore[reportArgumentType]


@equation("signscope", "stationary variance of AdamW and of its SDEs, V frozen")
def adam_variance(
    curvature: float, std: float, *, lr: float, beta1: float = 0.9, weight_decay: float = 0.0, form: AdamForm = "exact"
) -> float:
    r"""Stationary variance of Adam(W) (RMSprop(W) with ``beta1`` = 0) on $hx^2/2$, V frozen at $\sigma^2$.

    "exact" is the algorithm's, with $\alpha = h/\sigma$, $c = 1 - \beta_1$:

    $$ \frac{\eta c(1 + \beta_1 - \beta_1\eta\theta)}
            {(\alpha+\theta)(c + \beta_1\eta\theta)[2(1+\beta_1) - \eta\alpha c - \eta\theta(1+\beta_1)]} $$

    "leading" leaves the factor $1 + \eta\theta/c$ out, "recommended" keeps it. "augmented" is the SDE with the
    correction of the drift and its noise, "published" without that noise: $\beta_1^2$ of the right value.

    Args:
        curvature: h.
        std: sigma.
        lr: eta.
        beta1: In [0, 1).
        weight_decay: theta, towards the minimum.
        form: Which.
    """
    h, sigma, eta = _checked("adam_variance", curvature, std, lr)
    theta = checks.non_negative("adam_variance", "weight_decay", weight_decay)
    checks.one_of("adam_variance", "form", form, ("exact", "leading", "recommended", "augmented", "published"))
    beta1, _ = checks.betas("adam_variance", (beta1, 0.0))
    c, alpha = 1 - beta1, h / sigma
    rate = alpha + theta
    if form == "leading":
        return 0.5 * eta / rate
    if form == "recommended":
        return 0.5 * eta / (rate * (1 + eta * theta / c))
    if form == "exact":
        room = 2 * (1 + beta1) - eta * alpha * c - eta * theta * (1 + beta1)
        checks.positive("adam_variance", "stability margin 2(1+b1) - lr (alpha (1-b1) + theta (1+b1))", room)
        return eta * c * (1 + beta1 - beta1 * eta * theta) / (rate * (c + beta1 * eta * theta) * room)
    kept = beta1**2 if form == "published" else 1 + eta * c * rate
    return 0.5 * eta * kept / (rate * (1 + (c * alpha + theta) * eta / c))


@equation("signscope", "effect of a finite beta2 on the stationary variance of RMSprop")
def forgetting_factor(beta2: float, *, updated: Literal["before", "after"] = "before") -> float:
    """What noise in V does to the stationary variance: 1 - 0.375 (1 - b2) if V is updated before the step.

    As in torch; 1 + 0.625 (1 - b2) if after. First order in 1 - b2; 0.5% off at b2 = 0.9.
    """
    _, beta2 = checks.betas("forgetting_factor", (0.0, beta2))
    checks.one_of("forgetting_factor", "updated", updated, ("before", "after"))
    return 1 + (-0.375 if updated == "before" else 0.625) * (1 - beta2)


def _checked(who: str, curvature: float, std: float, lr: float) -> tuple[float, float, float]:
    return (
        checks.positive(who, "curvature", curvature),
        checks.positive(who, "std", std),
        checks.positive(who, "lr", lr),
    )
