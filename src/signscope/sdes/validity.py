"""Where an SDE can be trusted: moments that must exist, the step limit, the size of lr against noise and curvature."""

import math

import torch
from torch import Tensor

from signscope._core.errors import InvalidInput, Unsupported
from signscope.problems.landscapes import Quadratic
from signscope.problems.oracle_noise import GaussianNoise, LawNoise
from signscope.sdes.setting import Setting

_LARGE, _OUTSIDE = 0.1, 1.0  # r = lr h / sigma: from here on notes, and from here on no SDE
_UNSTABLE = 2.0  # lr h from which the optimizer SGD runs away
_FAST = 0.1  # 1 - beta2 from which V noise can explode


def check_noise(who: str, optimizer: str, setting: Setting, start: Tensor) -> None:
    """Raise `InvalidInput` where the equation has no meaning under this noise."""
    noise, signs = setting.noise, optimizer == "signsgd"
    if not signs and not noise.has_moment(2):
        law = noise.law.spec if isinstance(noise, LawNoise) else "this"
        raise InvalidInput(
            f"{who}: the SDE of {optimizer} needs a finite second moment E Z^2 of the noise, which {law} does not "
            "have. signSGD has an SDE under any noise."
        )
    if isinstance(noise, LawNoise) and not signs and not abs(noise.law.mean) <= 1e-3 * math.sqrt(noise.law.variance):
        raise InvalidInput(
            f"{who}: the noise of a gradient must have mean 0, {noise.law.spec} has {noise.law.mean:.3g}. Shift it."
        )
    if isinstance(noise, GaussianNoise):
        least = noise.variance(start[None], 0.0).min()
        if not bool(least >= 0):
            raise InvalidInput(f"{who}: the noise has variance {float(least):.3g} at the start.")
        if optimizer != "sgd" and not bool(least > 0):
            raise InvalidInput(
                f"{who}: the SDE of {optimizer} divides by the noise, and a coordinate has none at the start. Give "
                "every coordinate some, or run the optimizer itself (signscope.simulation.descent.descend)."
            )
    if setting.v_noise and not noise.is_gaussian:
        raise Unsupported(f"{who}: noise in V is worked out for Gaussian gradient noise. Use v_noise=False.")
    if setting.order == 2 and setting.form != "recommended":
        raise Unsupported(f"{who}: order 2 is worked out for the recommended form.")
    if setting.order == 2 and signs and not noise.is_gaussian:
        raise Unsupported(f"{who}: order 2 of signSGD is worked out for Gaussian noise.")
    if setting.order == 2 and optimizer.startswith("adam") and setting.bias_correction:
        raise Unsupported(f"{who}: order 2 of Adam is worked out without bias correction (bias_correction=False).")


def step_ratio(setting: Setting, start: Tensor) -> float:
    """Largest eigenvalue of lr D^-1 H at the start, D the effective noise std: lr h / sigma in one dimension."""
    std = setting.noise.effective_std(start[None], 0.0).reshape(-1, setting.loss.dim)[0]
    usable = torch.where((std > 0) & torch.isfinite(std), std, torch.ones_like(std))
    return setting.lr * setting.loss.curvature(start, usable)


def step_limit(optimizer: str, setting: Setting, start: Tensor) -> float:
    """Largest stable ``dt`` of an explicit step near the minimum, from the curvature at the start.

    2/h for SGD, 2 sigma / (sqrt(2/pi) h) for signSGD, 2 sigma / h for RMSprop (V is at least sigma^2). For Adam the
    averages relax within a step of the optimizer and the position follows as in RMSprop.
    """
    if optimizer == "sgd":
        largest = setting.loss.curvature(start, torch.ones_like(start))
        return 2 / largest if largest > 0 else math.inf
    ratio = step_ratio(setting, start)
    slope = math.sqrt(2 / math.pi) if optimizer == "signsgd" else 1.0
    return 2 * setting.lr / (slope * ratio) if ratio > 0 else math.inf


def check_step(who: str, optimizer: str, setting: Setting, start: Tensor, *, substeps: int) -> list[str]:
    """A note where the step is too large at the start of a general loss; `InvalidInput` on a quadratic."""
    dt, limit = setting.lr / substeps, step_limit(optimizer, setting, start)
    if not dt >= limit:
        return []
    text = (
        f"dt = lr/{substeps} = {dt:.3g} is above the stability limit {limit:.3g} of explicit steps. "
        f"Use substeps of at least {math.ceil(1.01 * setting.lr / limit)}, or a smaller lr."
    )
    if isinstance(setting.loss, Quadratic):
        raise InvalidInput(f"{who}: {text}")
    return [f"At the start {text}"]


def notes_on(optimizer: str, setting: Setting, start: Tensor) -> list[str]:
    """Where the model is not to be trusted, one sentence each; empty inside its range."""
    said: list[str] = []
    kind = optimizer.removesuffix("w")
    if kind == "sgd":
        size = setting.lr * setting.loss.curvature(start, torch.ones_like(start))
        if size >= _UNSTABLE:
            said.append(f"lr times the largest curvature is {size:.2g}: from 2 on SGD itself is unstable; no SDE.")
        elif size > _LARGE:
            said.append(f"lr times the largest curvature is {size:.2g}: variances are about {50 * size:.0f}% low.")
    else:
        ratio = step_ratio(setting, start)
        if ratio > _OUTSIDE:
            said.append(
                f"lr h / sigma is {ratio:.2g} at the start: above 1 the optimizer jumps over the minimum; no SDE."
            )
        elif ratio > _LARGE:
            said.append(
                f"lr h / sigma is {ratio:.2g} at the start: the stationary variance is about {40 * ratio:.0f}% off."
            )
    if kind == "adam" and setting.bias_correction:
        said.append(
            "The first updates of a bias-corrected Adam average too few gradients for an SDE: up to some 10 lr^2 of "
            "each coordinate's variance come from them and are wrong."
        )
    if kind in ("adam", "rmsprop"):
        if setting.v_noise and 1 - setting.betas[1] >= _FAST:
            said.append(
                f"1 - beta2 = {1 - setting.betas[1]:.2g}: V noise this fast can drive V below 0; read `floored`."
            )
        if not setting.v_noise:
            said.append("V has no noise here: read the mean loss, not Var(X) where the gradient is not small.")
        if setting.form == "published" and kind == "adam":
            said.append(
                f"This form has a stationary variance of beta1^2 = {setting.betas[0] ** 2:.2g} of the right one."
            )
        if setting.form == "older":
            said.append("This form leaves the gradient out of V: wrong until noise dominates.")
    said.append("Rare events are too rare: do not read escape rates or tails from an SDE.")
    return said
