"""Batch-size rules: what keeps the loss as a function of samples seen, as data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from signscope._core import checks
from signscope._core.equations import equation
from signscope._core.errors import InvalidInput


@dataclass(frozen=True)
class Hyperparameters:
    """What a rule moves.

    Attributes:
        lr: eta, as in torch.
        betas: Adam's two averages; RMSprop uses the second, Signum the first (its momentum).
        weight_decay: Decoupled, per unit of lr.
        eps: Added to the root of V.
    """

    lr: float
    betas: tuple[float, float] = (0.0, 0.0)
    weight_decay: float = 0.0
    eps: float = 0.0


@dataclass(frozen=True)
class Rule:
    r"""Powers of $\delta$ = new over old batch size.

    Attributes:
        lr: $\eta' = \delta^{lr}\eta$.
        forgetting: $1 - \beta_j' = \delta^{forgetting}(1 - \beta_j)$ of the averages in ``averages``.
        weight_decay: $\theta' = \delta^{weight\_decay}\theta$.
        eps: $\epsilon' = \delta^{eps}\epsilon$.
        averages: Which of the two betas the optimizer has.
        text: The rule in words.
        needs: The regime it was derived in.
        fails: What goes wrong outside.
    """

    lr: float
    forgetting: float
    weight_decay: float
    eps: float
    averages: tuple[int, ...]
    text: str
    needs: str
    fails: str


_ROOT = "square-root rule: lr and weight decay times sqrt(delta)"
_NOISE = "noise dominates every batch, |z| sqrt(delta) << 1 with z = gradient over noise std at the old batch"
_SLOWER = (
    "where the gradient is not small against the noise of the new batch, less is covered per sample: signs and "
    "normalised steps saturate at lr. The level in the long run is still kept"
)
_ADAPTIVE = f"{_ROOT}, 1 - beta times delta, eps over sqrt(delta)"
RULES: Mapping[str, Rule] = {
    "sgd": Rule(
        1.0, 0.0, 0.0, 0.0, (), "linear rule: lr times delta, weight decay kept",
        "lr' times the largest curvature well below 2; any signal-to-noise ratio",
        "variances grow by 1 / (1 - lr' h / 2) and diverge at lr' h = 2",
    ),
    "signsgd": Rule(0.5, 0.0, 0.5, 0.0, (), _ROOT, _NOISE, _SLOWER),
    "signum": Rule(
        0.5, 0.0, 0.5, 0.0, (0,), f"{_ROOT}, momentum kept",
        "noise dominates the averaged gradient, |z| sqrt(delta (1 + momentum) / (1 - momentum)) << 1, and the memory "
        "is short against the motion",
        f"{_SLOWER}; the memory is delta times longer in samples and overshoots once it lasts as long as the descent",
    ),
    "signum, memory kept": Rule(
        1.0, 1.0, 0.0, 0.0, (0,), "linear rule: lr and 1 - momentum times delta, weight decay kept",
        "delta (1 - momentum) << 1; any signal-to-noise ratio of the averaged gradient",
        "with delta (1 - momentum) near 1 the average holds few batches and its noise no longer matches",
    ),
    "rmsprop": Rule(0.5, 1.0, 0.5, -0.5, (1,), _ADAPTIVE, _NOISE, _SLOWER),
    "adam": Rule(0.5, 1.0, 0.5, -0.5, (0, 1), _ADAPTIVE, _NOISE, _SLOWER),
}  # fmt: skip
PARTS = ("lr", "betas", "weight_decay", "eps")


def rule_name(optimizer: str) -> str:
    """Name in `RULES` of an optimizer as it is usually called: adamw is adam, rmspropw is rmsprop, signsgdw is signsgd.

    Raises:
        InvalidInput: There is no rule.
    """
    known = {**{n: n for n in RULES}, **{f"{n}w": n for n in ("sgd", "signsgd", "signum", "rmsprop", "adam")}}
    if optimizer not in known:
        names = ", ".join(name for name in known if "," not in name)
        raise InvalidInput(f"scaling: no rule for optimizer {optimizer!r}; there are rules for {names}.")
    return known[optimizer]


@equation("compagnoni2024", "batch-size scaling rules")
def scaled(optimizer: str, old: Hyperparameters, delta: float, *, leave: tuple[str, ...] = ()) -> Hyperparameters:
    r"""Hyperparameters for a batch ``delta`` times as large.

    Per sample seen the drift is $\eta a/\delta$, the noise $\eta^2n/\delta$, decay $\eta\theta/\delta$ and forgetting
    $(1-\beta)/\delta$, with slope a and noise n of one step; the rule keeps all of them.

    Args:
        optimizer: Name, see `rule_name`; "signum, memory kept" for the other rule of Signum.
        old: At the old batch.
        delta: New over old batch size, above 0.
        leave: Names out of `PARTS` to leave as they are (to see what they are good for). A beta of 0 stays 0.

    Raises:
        InvalidInput: 1 - beta would exceed 1: the batch is too large for the rule.
    """
    rule = RULES[rule_name(optimizer)]
    checks.positive("scaled", "delta", delta)
    for name in leave:
        checks.one_of("scaled", "leave", name, PARTS)
    betas = list(old.betas)
    for index in () if "betas" in leave else rule.averages:
        if betas[index] == 0 and rule.lr == 0.5:  # no average: nothing to keep
            continue
        forgetting = delta**rule.forgetting * (1 - betas[index])
        if not forgetting <= 1:
            raise InvalidInput(
                f"scaled: 1 - beta{index + 1} = {1 - betas[index]:g} would become {forgetting:.3g}, above 1: one batch "
                f"would be longer than the memory. The batch can grow {1 / (1 - betas[index]):.4g} times at most."
            )
        betas[index] = 1 - forgetting
    return Hyperparameters(
        lr=old.lr * (1 if "lr" in leave else delta**rule.lr),
        betas=(betas[0], betas[1]),
        weight_decay=old.weight_decay * (1 if "weight_decay" in leave else delta**rule.weight_decay),
        eps=old.eps * (1 if "eps" in leave else delta**rule.eps),
    )


@equation("signscope", "decay that keeps the long-run loss at any learning rate, equal curvatures")
def matching_decay(curvature: float, std: float, *, weight_decay: float, delta: float, lr_factor: float) -> float:
    r"""Factor $\xi$ on the decay that keeps the long-run loss of RMSpropW and AdamW when lr moves by any $\kappa$.

    $$ \xi = \frac{\sqrt\delta}{\theta\sigma}\Bigl[\frac{\kappa}{\sqrt\delta}(h + \theta\sigma) - h\Bigr] $$

    For equal curvatures h alone, and the speed per sample is not kept. For every H only
    $\kappa = \xi = \sqrt\delta$ will do.

    Args:
        curvature: h.
        std: sigma at the old batch.
        weight_decay: theta, above 0.
        delta: New over old batch size.
        lr_factor: kappa.

    Raises:
        InvalidInput: The factor would be negative.
    """
    who = "matching_decay"
    h, sigma = checks.positive(who, "curvature", curvature), checks.positive(who, "std", std)
    theta, root = checks.positive(who, "weight_decay", weight_decay), math.sqrt(checks.positive(who, "delta", delta))
    kappa = checks.positive(who, "lr_factor", lr_factor)
    return checks.non_negative(who, "factor", root / (theta * sigma) * (kappa / root * (h + theta * sigma) - h))
