"""The sentences of `rescale` and `translate`."""

import math
from typing import TYPE_CHECKING

from signscope.sdes.scaling import Hyperparameters

if TYPE_CHECKING:
    from signscope.comparison.translation import Rescaled, Translation

_FAST = 0.1


def rescaling_cautions(rule: str, old: Hyperparameters, new: Hyperparameters, delta: float) -> tuple[str, ...]:
    """What to look out for, with the numbers at hand."""
    said = [_size(rule, delta)]
    fast = [f"beta{k + 1}' = {b:.3g}" for k, b in enumerate(new.betas) if b != old.betas[k] and 1 - b > _FAST]
    if fast:
        what = {"adam": "betas", "rmsprop": "beta2"}.get(rule, "momentum")
        tail = (
            " For the loss in the long run alone the old ones do as well: betas matter for speed and memory."
            if rule in ("adam", "rmsprop")
            else ""
        )
        said.append(
            f"{', '.join(fast)}: a memory of a few batches, where the rule for {what} is only roughly right.{tail}"
        )
    if rule == "adam" and old.betas[0] < 1 and old.weight_decay:
        said += _short_memory(new)
    if delta < 1:
        said.append("To a smaller batch the regime has to hold at the old one, where noise is weakest.")
    return tuple(said)


def translation_cautions(
    names: list[str], old: Hyperparameters, lr: float, decay: float, *, std: float | None, noise_given: bool = False
) -> tuple[str, ...]:
    """What to look out for."""
    said: list[str] = []
    if names[0] == "adam" and old.weight_decay:
        said += _short_memory(old)
    if "signum" in names and names[0] != names[1]:
        said.append(
            "The average of Signum must be short against the descent: 1 / (1 - momentum) steps have to be few beside "
            "the time the loss takes to fall."
        )
    if "sgd" in names and names[0] != names[1]:
        said.append(
            f"SGD without momentum; with torch's undampened momentum its lr counts 1 / (1 - momentum) times. One "
            f"effective noise std, {std:.3g}, stands for all coordinates."
        )
    if noise_given and std is None:
        said.append(f"The noise std was not needed: it cancels between {names[0]} and {names[1]}.")
    said.append("Equal curvature and noise are assumed to stay as they are; warm-up and schedules are taken over.")
    return tuple(said)


def _short_memory(values: Hyperparameters) -> list[str]:
    lag = values.lr * values.weight_decay / (1 - values.betas[0])
    if lag <= 0.02:
        return []
    return [f"lr * weight_decay / (1 - beta1) = {lag:.2g}: decay within the memory lowers the variance by that share."]


def _size(rule: str, delta: float) -> str:
    if rule == "sgd":
        return f"lr' times the largest curvature is {delta:.3g} times what it was; it has to stay well below 2."
    return (
        f"lr times curvature over noise is {delta:.3g} times what it was; it has to stay small, or the optimizer jumps "
        "over minima."
    )


def rescaling_text(result: "Rescaled") -> str:
    """What `rescale` prints."""
    rows = [("lr", result.old.lr, result.new.lr)]
    kind = "momentum" if result.optimizer.startswith("signum") else "beta1"
    for index, label in ((0, kind), (1, "beta2")):
        if result.old.betas[index]:
            rows.append((label, result.old.betas[index], result.new.betas[index]))
    rows.append(("weight decay", result.old.weight_decay, result.new.weight_decay))
    if result.old.eps:
        rows.append(("eps", result.old.eps, result.new.eps))
    head = f"{result.optimizer}, batch {result.old_batch_size:g} -> {result.batch_size:g}"
    lines = [head, *(f"  {label:<13}{old:>10.5g} -> {new:.5g}" for label, old, new in rows), ""]
    lines += [
        f"Rule: {result.rule}; delta = {result.batch_size / result.old_batch_size:.4g}.",
        f"Valid: {result.needs}.",
    ]
    lines += [f"Outside: {result.fails}.", f"Here: {result.regime.status}. {result.regime.text}"]
    if not math.isnan(result.speed):
        lines.append(f"Progress per sample at the measured ratio: {100 * result.speed:.0f}% of the old.")
    return "\n".join([*lines, *(f"Note: {c}" for c in result.cautions)])


def translation_text(result: "Translation") -> str:
    """What `translate` prints."""
    other = "progress per step" if result.at == "loss" else "long-run loss"
    lines = [f"{result.old_optimizer} -> {result.optimizer}", f"  {'lr':<13}{result.lr:.5g}"]
    if not math.isnan(result.other_lr):
        lines[-1] += f"   (equal {other}: {result.other_lr:.5g})"
    if result.momentum:
        lines.append(f"  {'momentum':<13}{result.momentum:.5g}")
    lines += [f"  {'weight decay':<13}{result.weight_decay:.5g}", ""]
    lines += [f"Rule: {result.rule}.", f"Valid: {result.needs}.", f"Outside: {result.fails}."]
    lines.append(f"Here: {result.regime.status}. {result.regime.text}")
    if not math.isnan(result.speed):
        lines.append(f"Progress per step at the measured ratio: {100 * result.speed:.0f}% of the old.")
    return "\n".join([*lines, *(f"Note: {c}" for c in result.cautions)])
