"""Upper bounds on the mean loss of signSGD and SGD along their SDEs, each with the conditions it needs."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput
from signscope.sdes.phases import CERTAIN, RANDOM, phase_two_line

WHO = "loss_bounds"
STATED_SLOPE = math.sqrt(2 / math.pi)
_ROOT_TWO = math.sqrt(2)
_AT_REST = 1e-9  # mean sign of noise alone that is rounding


@dataclass(frozen=True)
class Requirement:
    """What a bound needs; ``met`` is None where the numbers given cannot tell."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        return f"{'assumed' if self.met is None else 'met' if self.met else 'NOT met'}: {self.text}"


@dataclass(frozen=True)
class BoundedLoss:
    """Constants of a loss, its noise and the rate.

    Attributes:
        gap: S_0 = f(x_0) - f*.
        mu: Strong convexity (or PL constant).
        trace: L_tau, at least tr H along the path.
        std_max: Largest noise standard deviation of a coordinate; for SGD the root of the largest eigenvalue of Sigma.
        lr: eta.
        dim: d.
        smoothness: Largest eigenvalue of H; only the discrete bound of SGD needs it.
        is_diagonal: Whether the noise is uncorrelated; None: not known.
    """

    gap: float
    mu: float
    trace: float
    std_max: float
    lr: float
    dim: int = 1
    smoothness: float | None = None
    is_diagonal: bool | None = None

    def __post_init__(self) -> None:
        checks.non_negative(WHO, "gap", self.gap)
        checks.integer(WHO, "dim", self.dim, minimum=1)
        for name in ("mu", "trace", "std_max", "lr"):
            checks.positive(WHO, name, getattr(self, name))
        if not self.trace >= self.mu * self.dim * (1 - 1e-12):
            raise InvalidInput(
                f"{WHO}: `trace` is {self.trace:g}, below dim * mu = {self.dim * self.mu:g}; it bounds tr H from above."
            )
        if self.smoothness is not None and not self.smoothness >= self.mu * (1 - 1e-12):
            raise InvalidInput(f"{WHO}: `smoothness` is {self.smoothness:g}, below `mu` = {self.mu:g}.")

    @classmethod
    def of_quadratic(cls, hessian: Tensor, cov: Tensor, start: Tensor, *, lr: float) -> "BoundedLoss":
        """The constants of f = x'Hx/2 under noise of covariance ``cov``, both (d, d), from ``start`` (d,)."""
        values = torch.linalg.eigvalsh(hessian)
        off = (cov - torch.diag(cov.diagonal())).abs().max()
        return cls(
            gap=float(0.5 * start @ hessian @ start), mu=float(values[0]), trace=float(hessian.trace()),
            std_max=float(torch.linalg.eigvalsh(cov)[-1].sqrt()), lr=lr, dim=len(start), smoothness=float(values[-1]),
            is_diagonal=bool(off <= 1e-12 * cov.diagonal().max()),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LossBound:
    """A bound as a function of time, and whether it is one here.

    Attributes:
        time: t = lr * steps, shape (n,).
        value: Bound on the mean of f - f*, shape (n,).
        name: Which bound.
        requirements: What it needs, each met, not met or assumed.
    """

    time: Tensor
    value: Tensor
    name: str
    requirements: tuple[Requirement, ...]

    @property
    def holds(self) -> bool | None:
        """False where a requirement is not met, None where one is assumed."""
        states = [each.met for each in self.requirements]
        return False if False in states else None if None in states else True

    def __str__(self) -> str:
        head = {True: "a bound", False: "NOT a bound here", None: "a bound if what is assumed holds"}[self.holds]
        return "\n".join([f"{self.name}: {head}.", *(f"  {each}" for each in self.requirements)])


@equation("signscope", "chord constant of the drift of SignSGD")
def chord_slope(largest_ratio: float) -> float:
    r"""Largest kappa with $\mathrm{erf}(z/\sqrt2) \ge \kappa z$ up to ``largest_ratio`` (in z): 0.5959 at |Y| = 1.

    erf is concave, so the chord decides; the slope at 0, $\sqrt{2/\pi} = 0.798$, overestimates the drift everywhere.
    """
    z = checks.non_negative("chord_slope", "largest_ratio", largest_ratio)
    return STATED_SLOPE if z == 0 else math.erf(z / _ROOT_TWO) / z


def law_chord(law: Any, largest_ratio: float, *, points: int = 2001) -> float:
    """The same for any noise law: the least (1 - 2F(-y)) / y over 0 < |y| <= ``largest_ratio``, y in the law's unit.

    Args:
        law: A `NoiseLaw`, a scipy law or text, as elsewhere; its median must be 0.
        largest_ratio: Above 0.
        points: Grid; for a symmetric, unimodal law the last point decides.

    Raises:
        InvalidInput: The median is not 0: around 0 the mean sign then points the wrong way, and there is no kappa > 0.
    """
    from signscope.noise import as_noise

    found = as_noise(law)
    reach = checks.positive("law_chord", "largest_ratio", largest_ratio)
    zero = torch.zeros(1, dtype=torch.float64)
    at_rest = 1 - float(found.cdf(zero)) - float(found.cdf(torch.nextafter(zero, zero - 1)))
    if not abs(at_rest) <= _AT_REST:
        raise InvalidInput(
            f"law_chord: the median of `law` must be 0, but noise {found.spec} has a mean sign of {at_rest:.3g} where "
            "the gradient is 0: signSGD settles where the gradient is minus the median, and no chord bounds its loss. "
            "Shift the law."
        )
    half = torch.linspace(0, reach, points, dtype=torch.float64)[1:]
    slopes = [(1 - 2 * found.cdf(-y)) / y for y in (half, -half)]
    return float(torch.cat(slopes).min())


@equation("compagnoni2024", "loss bound of SignSGD in phase 1")
def phase_one_bound(
    problem: BoundedLoss, time: Any, *, form: Literal["sharp", "stated"] = "sharp", smallest_ratio: float | None = None
) -> LossBound:
    r"""$S_t \le (\sqrt{S_0} - \sqrt{\mu/2}\,t)^2$ until $t_* = \sqrt{2S_0/\mu}$, then 0: the flow of signs.

    Args:
        problem: Constants.
        time: lr * steps, 0 or more, one or many.
        form: "sharp", or "stated": $\tfrac14(\sqrt\mu\,t - 2\sqrt{S_0})^2$ until $2\sqrt{S_0/\mu}$, true and weaker.
        smallest_ratio: Least |Y| of a coordinate up to the last time, if known.
    """
    checks.one_of(WHO, "form", form, ("sharp", "stated"))
    t, root = _times(time), math.sqrt(problem.gap)
    speed = math.sqrt(problem.mu) * (_ROOT_TWO / 2 if form == "sharp" else 0.5)
    phase = None if smallest_ratio is None else bool(smallest_ratio > CERTAIN)
    return LossBound(
        t, (root - speed * t).clamp(min=0).square(), f"phase 1, {form}",
        (
            Requirement("mu-PL loss", None),
            Requirement(f"every |Y| above {CERTAIN} up to the last time ({_said(smallest_ratio)})", phase),
            Requirement("signs without noise: the SDE keeps 3.4% less drift and lr * 0.067 of variance", None),
        ),
    )  # fmt: skip


@equation("signscope", "loss bound of the SDE of SignSGD in phase 1")
def noisy_phase_one_bound(problem: BoundedLoss, time: Any, *, floor: float) -> LossBound:
    r"""Bound on $(E\sqrt{S_t})^2$ of the true SDE while every $|Y_i| > 3/2$ and $S \ge$ ``floor``.

    $$ E\sqrt{S_t} \le \sqrt{S_0} - \Bigl[\mathrm{erf}(\tfrac32)\sqrt{\mu/2}
       - \frac{\eta L_\tau(1 - \mathrm{erf}(\tfrac32)^2)}{4\sqrt{S_{min}}}\Bigr]\,t $$
    """
    t, sure = _times(time), math.erf(CERTAIN)
    least = checks.positive(WHO, "floor", floor)
    speed = sure * math.sqrt(problem.mu / 2) - problem.lr * problem.trace * (1 - sure**2) / (4 * math.sqrt(least))
    root = math.sqrt(problem.gap) - speed * t
    return LossBound(
        t, root.clamp(min=0).square(), "phase 1, with noise, on the squared mean root",
        (Requirement(f"every |Y| above {CERTAIN} and f - f* above {least:g} up to the last time", None),),
    )  # fmt: skip


@equation("signscope", "loss bound of SignSGD with the chord of erf")
def sign_loss_bound(
    problem: BoundedLoss,
    time: Any,
    *,
    largest_ratio: float | None = None,
    form: Literal["corrected", "stated phase 3", "stated phase 2"] = "corrected",
    slope: float | None = None,
) -> LossBound:
    r"""Exponential bound on the mean loss of the SDE of signSGD.

    $$ E S_t \le S_0e^{-2\mu\Delta t} + \frac\eta2\frac{L_\tau}{2\mu\Delta}(1 - e^{-2\mu\Delta t}), \quad
       \Delta = \frac{\kappa}{\sigma_{max}} + \frac{\eta\mu\kappa^2}{2\sigma_{max}^2} $$

    with $|\mathrm{erf}(z/\sqrt2)| \ge \kappa|z|$ for every z visited.

    Args:
        problem: Constants.
        time: lr * steps, 0 or more, one or many.
        largest_ratio: Largest |Y| = |z| / sqrt 2 of a coordinate visited up to the last time; it fixes kappa.
        form: "corrected" (the chord), "stated phase 3" (kappa = sqrt(2/pi), violated by up to 27% from |Y| near 1) or
            "stated phase 2" (right and weak).
        slope: kappa itself, for noise that is not Gaussian (`law_chord`), in the place of ``largest_ratio``.

    Returns:
        The bound; ``holds`` is False where a requirement is not met.

    Raises:
        InvalidInput: The corrected form knows neither ``largest_ratio`` nor ``slope``.
    """
    checks.one_of(WHO, "form", form, ("corrected", "stated phase 3", "stated phase 2"))
    if form == "corrected" and largest_ratio is None and slope is None:
        raise InvalidInput(
            f"{WHO}: the corrected bound needs `largest_ratio`, the largest |Y| = |grad f|/(sqrt 2 sigma) visited, or "
            "`slope`; it holds on that range only."
        )
    if form == "stated phase 2":
        line = phase_two_line()
        kappa = line.slope / _ROOT_TWO
        numerator = problem.trace - problem.mu * problem.dim * line.secant**2
    else:
        kappa, numerator = (STATED_SLOPE if form == "stated phase 3" else slope), problem.trace
    if kappa is None:
        kappa = chord_slope(_ROOT_TWO * (largest_ratio or 0.0))
    checks.positive(WHO, "slope", kappa)
    ratio = kappa / problem.std_max
    value = _relaxing(problem, time, rate=ratio + 0.5 * problem.lr * problem.mu * ratio**2, numerator=numerator)
    return LossBound(_times(time), value, f"signSGD, {form}", _needed(problem, form, largest_ratio, slope))


@equation("compagnoni2024", "loss bound of SGD")
def sgd_loss_bound(problem: BoundedLoss, time: Any, *, form: Literal["sde", "discrete"] = "discrete") -> LossBound:
    r"""Bound on the mean loss of SGD.

    "sde": $S_0e^{-2\mu t} + \tfrac\eta2L_\tau\sigma_{max}^2(1 - e^{-2\mu t})/(2\mu)$, violated by the algorithm by up
    to 19% at lr L = 0.3. "discrete", which holds for it:

    $$ E S_{k+1} \le (1 - 2\mu\eta(1 - \eta L/2))E S_k + \tfrac{\eta^2}2L_\tau\sigma_{max}^2 $$

    Raises:
        InvalidInput: The discrete form without ``smoothness``.
    """
    checks.one_of(WHO, "form", form, ("sde", "discrete"))
    t, variance = _times(time), problem.std_max**2
    if form == "sde":
        value = _relaxing(problem, time, rate=1.0, numerator=problem.trace * variance)
        return LossBound(t, value, "SGD, its SDE", (Requirement("the SDE, not the algorithm", None), _convex()))
    if problem.smoothness is None:
        raise InvalidInput(f"{WHO}: the discrete bound of SGD needs `smoothness`, the largest eigenvalue of H.")
    size = problem.lr * problem.smoothness
    keep = 1 - 2 * problem.mu * problem.lr * (1 - size / 2)
    level = 0.5 * problem.lr**2 * problem.trace * variance / (1 - keep) if keep != 1 else math.inf
    value = level + (problem.gap - level) * keep ** (t / problem.lr)
    stable = Requirement(f"lr times the largest curvature, {size:.3g}, below 2", size < 2)
    return LossBound(t, value, "SGD, the algorithm", (stable, _convex()))


def _needed(problem: BoundedLoss, form: str, largest: float | None, slope: float | None) -> tuple[Requirement, ...]:
    common = (_convex(), Requirement("uncorrelated noise", problem.is_diagonal))
    if slope is not None and form == "corrected":
        return (*common, Requirement(f"mean signs of at least {slope:.4g} z wherever the path comes", None))
    if form == "corrected":
        return (*common, Requirement(f"every |Y| at most {largest:.4g} up to the last time", None))
    if form == "stated phase 2":
        inside = None if largest is None else largest <= CERTAIN
        return (*common, Requirement(f"every |Y| in [{RANDOM:g}, {CERTAIN:g}] up to the last time", inside))
    # erf lies below its tangent at 0: the stated constant overestimates the drift of the true process everywhere
    return (*common, Requirement("mean signs of at least sqrt(2/pi) z: true of the linearised SDE alone", False))


def _relaxing(problem: BoundedLoss, time: Any, *, rate: float, numerator: float) -> Tensor:
    t, speed = _times(time), 2 * problem.mu * rate
    return problem.gap * torch.exp(-speed * t) - 0.5 * problem.lr * numerator / speed * torch.expm1(-speed * t)


def _convex() -> Requirement:
    return Requirement("mu-strong convexity and tr H <= `trace` along the path", None)


def _times(time: Any) -> Tensor:
    t = torch.as_tensor(time, dtype=torch.float64).reshape(-1)
    if not bool((t >= 0).all()) or not bool(torch.isfinite(t).all()):
        raise InvalidInput(f"{WHO}: `time` = lr * steps must be finite and 0 or more, got {time!r}.")
    return t


def _said(ratio: float | None) -> str:
    return "not given" if ratio is None else f"{ratio:.3g}"
