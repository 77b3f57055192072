"""Moving hyperparameters to another batch size, or to another optimizer."""

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any, Literal

from signscope._core import checks
from signscope._core.errors import InvalidInput, Unsupported
from signscope.comparison.noise_regime import Regime, noise_regime, pair_of, positive_ratio
from signscope.comparison.translation_text import (
    rescaling_cautions,
    rescaling_text,
    translation_cautions,
    translation_text,
)
from signscope.sdes.effective_steps import averaged_noise, effective_step, mean_step
from signscope.sdes.scaling import RULES, Hyperparameters, rule_name, scaled

At = Literal["loss", "slope"]
MOMENTUM, BETAS, EPS = 0.9, (0.9, 0.999), 1e-8
_KEPT = "signum, memory kept"


@dataclass(frozen=True)
class Rescaled:
    """Hyperparameters for another batch size.

    Attributes:
        optimizer: As asked for.
        old: At ``old_batch_size``.
        new: At ``batch_size``.
        old_batch_size: Before.
        batch_size: After.
        rule: What was done.
        needs: The regime in which that keeps the loss as a function of samples.
        fails: What goes wrong outside.
        regime: What is known of the regime; never more than was measured.
        speed: Predicted progress per sample over the old one's, from the measured ratio; NaN where not measured.
        cautions: Further limits that these numbers meet.
    """

    optimizer: str
    old: Hyperparameters
    new: Hyperparameters
    old_batch_size: float
    batch_size: float
    rule: str
    needs: str
    fails: str
    regime: Regime
    speed: float
    cautions: tuple[str, ...]

    @property
    def lr(self) -> float:
        """New learning rate."""
        return self.new.lr

    @property
    def betas(self) -> tuple[float, float]:
        """New averages; Signum's momentum is the first."""
        return self.new.betas

    @property
    def momentum(self) -> float:
        """New momentum of Signum; 0 for others."""
        return self.new.betas[0] if rule_name(self.optimizer) == "signum" else 0.0

    @property
    def weight_decay(self) -> float:
        """New decoupled decay."""
        return self.new.weight_decay

    @property
    def eps(self) -> float:
        """New eps."""
        return self.new.eps

    def __str__(self) -> str:
        return rescaling_text(self)

    def summary(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return _plain(asdict(self))


@dataclass(frozen=True)
class Translation:
    """Hyperparameters of another optimizer.

    Attributes:
        old_optimizer: Before.
        optimizer: After.
        lr: Rate by the criterion ``at``.
        other_lr: Rate by the other criterion; the two differ by what the optimizers differ in. NaN if there is none.
        at: "loss" (equal loss in the long run) or "slope" (equal progress per step).
        weight_decay: Decoupled; the ratio of slope to decay, and so where decay moves the minimum to, is kept.
        momentum: Of Signum; 0 for others.
        rule: What was done, with the factor.
        needs: The regime.
        fails: What goes wrong outside.
        regime: What is known of it.
        speed: Predicted progress per step over the old one's, from the measured ratio; NaN where not measured.
        cautions: Further limits.
    """

    old_optimizer: str
    optimizer: str
    lr: float
    other_lr: float
    at: At
    weight_decay: float
    momentum: float
    rule: str
    needs: str
    fails: str
    regime: Regime
    speed: float
    cautions: tuple[str, ...]

    def __str__(self) -> str:
        return translation_text(self)

    def summary(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return _plain(asdict(self))


def rescale(
    optimizer: str,
    *,
    lr: float,
    batch_size: float,
    to_batch_size: float,
    betas: tuple[float, float] | None = None,
    momentum: float | None = None,
    weight_decay: float = 0.0,
    eps: float | None = None,
    keep_memory: bool = False,
    signal_to_noise: Any = None,
) -> Rescaled:
    """Hyperparameters that keep the loss as a function of samples seen at another batch size.

    Args:
        optimizer: sgd, signsgd, signum, rmsprop(w) or adam(w).
        lr: Learning rate at ``batch_size``, as in torch.
        batch_size: Old.
        to_batch_size: New.
        betas: Adam's averages; RMSprop uses the second. (0.9, 0.999) by default.
        momentum: Of Signum; 0.9 by default.
        weight_decay: Decoupled, per unit of lr.
        eps: Of RMSprop and Adam; 1e-8 by default.
        keep_memory: Signum alone: lr and 1 - momentum linearly, in the place of the square root for lr.
        signal_to_noise: |gradient| over noise std of a typical coordinate at ``batch_size``: a number, or a
            `NoiseReport`. Without it the regime is assumed.

    Returns:
        New hyperparameters with the rule, its regime and what is known of it.

    Raises:
        InvalidInput: A number is out of range, an option does not belong to the optimizer, or the batch is longer than
            a memory.
    """
    who = "rescale"
    name = _options(who, optimizer, betas=betas, momentum=momentum, eps=eps)
    if keep_memory and name != "signum":
        raise InvalidInput(f"{who}: `keep_memory` is a choice for signum; {optimizer} has one rule.")
    rule_key = _KEPT if keep_memory else name
    before, after = (
        checks.positive(who, n, v) for n, v in (("batch_size", batch_size), ("to_batch_size", to_batch_size))
    )
    old = _hyperparameters(who, name, lr=lr, betas=betas, momentum=momentum, weight_decay=weight_decay, eps=eps)
    delta, rule = after / before, RULES[rule_key]
    if not 0 < delta < math.inf:
        raise InvalidInput(f"{who}: `to_batch_size` {after:g} over `batch_size` {before:g} is no number above 0.")
    try:
        new = scaled(rule_key, old, delta)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("scaled:", f"{who}:", 1)) from None
    where = f"at `to_batch_size` {after:g}"
    _within(who, where, *((n, getattr(old, n), getattr(new, n)) for n in ("lr", "weight_decay", "eps")))
    _forgets(who, where, old, new)
    quiet = averaged_noise(old.betas[0]) if name == "signum" else 1.0
    needs_noise = rule.lr == 0.5
    regime = noise_regime(who, signal_to_noise, batch_size=before, factor=max(math.sqrt(delta), 1.0), averaging=quiet)
    if not needs_noise:
        regime = Regime("assumed", regime.ratio, regime.resolution, "This rule holds at any signal-to-noise ratio.")
    speed = _per_sample(rule_key, regime, old, new, delta) if positive_ratio(regime) else math.nan
    cautions = rescaling_cautions(rule_key, old, new, delta)
    return Rescaled(
        optimizer, old, new, before, after, rule.text, rule.needs, rule.fails, regime, speed, cautions
    )  # fmt: skip


def translate(
    from_optimizer: str,
    *,
    to: str,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] | None = None,
    momentum: float | None = None,
    noise: Any = None,
    batch_size: float | None = None,
    at: At = "loss",
    signal_to_noise: Any = None,
) -> Translation:
    """Rate and decay of another optimizer at the same batch size.

    Args:
        from_optimizer: sgd, signsgd, signum, rmsprop(w) or adam(w).
        to: The same names.
        lr: Rate of the first, as in torch.
        weight_decay: Its decoupled decay.
        betas: Its averages if it is Adam or RMSprop; only a caution depends on them.
        momentum: Of Signum, on whichever side it is; 0.9 by default.
        noise: Needed from or to SGD: noise std of a coordinate of a batch gradient, or a `NoiseReport`. It cancels
            between others.
        batch_size: Of the run, where ``noise`` or ``signal_to_noise`` is a report measured at another one.
        at: "loss": equal mean loss in the long run; "slope": equal progress per step.
        signal_to_noise: As in `rescale`; without it that of a report given as ``noise``.

    Raises:
        InvalidInput: A number is out of range, or ``noise`` is missing.
        Unsupported: Equal slope between SGD and another when coordinates have unequal noise: there is no such rate.
    """
    who = "translate"
    checks.one_of(who, "at", at, ("loss", "slope"))
    batch_size = None if batch_size is None else checks.positive(who, "batch_size", batch_size)
    names = [_options(who, o) for o in (from_optimizer, to)]
    if momentum is not None and "signum" not in names:
        raise InvalidInput(f"{who}: `momentum` belongs to signum; {from_optimizer} and {to} have none here.")
    if betas is not None and names[0] not in ("adam", "rmsprop"):
        raise InvalidInput(f"{who}: `betas` are those of Adam or RMSprop; {from_optimizer} has none.")
    beta, _ = checks.betas(who, (MOMENTUM if momentum is None else momentum, 0.0))
    old = _hyperparameters(who, names[0], lr=lr, betas=betas, momentum=beta, weight_decay=weight_decay, eps=None)
    sums = _sums(who, names, noise, batch_size)
    std = 1.0 if sums is None else sums[2]
    first, second = (effective_step(name, momentum=beta, std=std) for name in names)
    factors = {"slope": first.slope / second.slope, "loss": first.loss / second.loss}
    if "sgd" in names and names[0] != names[1] and hasattr(noise, "sigma1"):
        if at == "slope":
            raise Unsupported(
                f"{who}: SGD moves quiet and noisy coordinates alike, {names[0 if names[1] == 'sgd' else 1]} does not, "
                "so no rate gives equal progress in all of them. Use at='loss'."
            )
        factors["slope"] = math.nan
    quiet = averaged_noise(beta) if "signum" in names else 1.0
    measured = noise if signal_to_noise is None and hasattr(noise, "phases_at") else signal_to_noise
    regime = noise_regime(who, measured, batch_size=batch_size, factor=1.0, averaging=quiet)
    rate, other = old.lr * factors[at], old.lr * factors["loss" if at == "slope" else "slope"]
    decay = old.weight_decay * second.slope / first.slope
    rates = [("lr", old.lr, value) for value in (rate, other) if not math.isnan(value)]
    _within(who, f"for {to}", *rates, ("weight_decay", old.weight_decay, decay))
    speed = math.nan
    if positive_ratio(regime):
        steps = [mean_step(name, regime.ratio, momentum=beta, std=std) for name in names]
        speed = factors[at] * steps[1] / steps[0]
    what = "mean loss in the long run" if at == "loss" else "progress per step"
    kept = f"; weight decay times {second.slope / first.slope:.4g}" if old.weight_decay else ""
    return Translation(
        from_optimizer, to, rate, other, at, decay, beta if names[1] == "signum" else 0.0,
        f"equal {what}: lr times {factors[at]:.4g}{kept}", _NEEDS, _FAILS, regime, speed,
        translation_cautions(names, old, rate, decay, std=None if sums is None else std, noise_given=noise is not None),
    )  # fmt: skip


_NEEDS = (
    "noise dominates every batch (every running average, for Signum), and lr times curvature is small against the noise"
)
_FAILS = (
    "where the gradient is as large as the noise, signs and normalised steps all move by lr per step, so that equal "
    "rates make equal progress and the factor is not needed; SGD moves in proportion to the gradient instead"
)


def _per_sample(rule: str, regime: Regime, old: Hyperparameters, new: Hyperparameters, delta: float) -> float:
    before = mean_step(rule, regime.ratio, momentum=old.betas[0])
    std = 1 / math.sqrt(delta)
    after = mean_step(rule, regime.ratio / std, momentum=new.betas[0], std=std)
    return new.lr / old.lr / delta * after / before


def _within(who: str, where: str, *moves: tuple[str, float, float]) -> None:
    """Refuse what floating-point numbers cannot hold; ``moves`` are (name, old value, new value)."""
    for name, before, after in moves:
        if before > 0 and not sys.float_info.min <= after < math.inf:
            raise InvalidInput(
                f"{who}: `{name}` {before:g} would become {after:g} {where}, outside the range of floating-point "
                f"numbers ({sys.float_info.min:.1e} to {sys.float_info.max:.1e}); use numbers nearer to 1."
            )


def _forgets(who: str, where: str, old: Hyperparameters, new: Hyperparameters) -> None:
    """Refuse averages whose weight of the new gradient is lost in rounding."""
    for index, beta in enumerate(new.betas):
        if beta >= 1:
            raise InvalidInput(
                f"{who}: `betas[{index}]` {old.betas[index]:g} (a momentum is betas[0]) would become 1 {where}: the "
                "average would never forget. Use batch sizes that differ less."
            )


def _options(who: str, optimizer: str, **given: Any) -> str:
    """The rule's name, and that no option of another optimizer was given."""
    try:
        name = rule_name(optimizer)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("scaling:", f"{who}:", 1)) from None
    if name == _KEPT:
        raise InvalidInput(f"{who}: that rule is optimizer 'signum' with `keep_memory`.")
    owners = {"betas": ("adam", "rmsprop"), "momentum": ("signum",), "eps": ("adam", "rmsprop")}
    for option, value in given.items():
        if value is not None and name not in owners[option]:
            raise InvalidInput(f"{who}: `{option}` is not an option of {optimizer}'s rule; leave it out.")
    return name


def _hyperparameters(
    who: str, name: str, *, lr: Any, betas: Any, momentum: Any, weight_decay: Any, eps: Any
) -> Hyperparameters:
    pair = (0.0, 0.0)
    if name in ("adam", "rmsprop"):
        pair = checks.betas(who, BETAS if betas is None else betas)
    elif name == "signum":
        value = checks.finite(who, "momentum", MOMENTUM if momentum is None else momentum)
        if not 0 <= value < 1:
            raise InvalidInput(f"{who}: `momentum` must lie in [0, 1), got {value:g}.")
        pair = (value, 0.0)
    damp = (EPS if eps is None else checks.non_negative(who, "eps", eps)) if name in ("adam", "rmsprop") else 0.0
    decay = checks.non_negative(who, "weight_decay", weight_decay)
    return Hyperparameters(checks.positive(who, "lr", lr), pair, decay, damp)


def _sums(who: str, names: list[str], noise: Any, batch_size: float | None) -> tuple[float, float, float] | None:
    if names[0] == names[1] or "sgd" not in names:
        pair_of(who, noise, batch_size)  # wrong input is refused where the noise cancels, too
        return None
    found = pair_of(who, noise, batch_size)
    if found is None:
        raise InvalidInput(
            f"{who}: SGD's steps grow with the gradient and the others' do not, so `noise` is needed: the noise std of "
            "a coordinate of a batch gradient, or the report of measure.gradient_noise."
        )
    return found


def _plain(value: Any) -> Any:
    """Ready for JSON: no tuples, NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
