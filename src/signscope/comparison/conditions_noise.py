"""What the theory assumes of the label noise: moments, and values near zero."""

import math
from collections.abc import Sequence

from signscope.comparison.assumption import Assumption
from signscope.noise import NoiseLaw

NEAR = 0.05  # of the noise's root mean square: a gap around 0 that does no harm
SHORT_WINDOW = 0.1  # of dim steps: Adam's second moment under noise without variance
TAIL = 2.5  # order of the moment that SGD's average over runs needs: at Student's t with 2.2 degrees it is 20% off


def noise_conditions(law: NoiseLaw, names: Sequence[str], *, dim: int, betas: tuple[float, float]) -> list[Assumption]:
    """Conditions on the law of eps, for the optimizers ``names``."""
    found = [_variance(law, names)]
    if "sgd" in names and math.isfinite(law.second_moment):
        found.append(_tails(law))
    if "adam" in names and math.isinf(law.second_moment):
        found.append(_adam_window(law, dim, betas))
    if any(name != "sgd" for name in names):
        found.append(_near_zero(law))
    return found


def _variance(law: NoiseLaw, names: Sequence[str]) -> Assumption:
    second = law.second_moment
    if math.isfinite(second):
        text = "the label noise has a finite variance, so every optimizer has a risk curve"
        return Assumption("noise variance", second, True, text)
    text = f"{law.spec} noise has infinite variance: SGD has no risk curve, sign methods do"
    advice = "Use signSGD, Adam with a short second moment, or clipped gradients; leave SGD out."
    return Assumption("noise variance", None, "sgd" not in names, text, None, advice)


def _tails(law: NoiseLaw) -> Assumption:
    """SGD follows the mean of eps^2, which finitely many steps do not see where tails are heavy."""
    ok = law.has_moment(TAIL)
    text = "tails of the label noise are light enough for averages over runs of SGD"
    if not ok:
        text = (
            f"{law.spec} noise has a variance but no moment of order {TAIL:g}: the mean of SGD's runs is ruled by rare "
            "large errors, which most averages miss; they fall below the prediction, with error bars that are too small"
        )
    advice = "Read the band and the median of SGD's runs instead of their mean, or use many runs; signs do not care."
    return Assumption("noise tails", None, ok, text, None, advice)


def _adam_window(law: NoiseLaw, dim: int, betas: tuple[float, float]) -> Assumption:
    window = 1 / (1 - betas[1])
    share = window / dim
    text = (
        f"Adam's second moment averages {window:.4g} steps, {share:.2g} units of time; under {law.spec} "
        "noise, which has no variance, its lag is not modelled and must be short"
    )
    advice = f"Use beta2 of at most {max(0.0, 1 - 1 / (SHORT_WINDOW * dim)):.3g}, or trust Adam's simulation."
    return Assumption("adam second moment", share, share <= SHORT_WINDOW, text, SHORT_WINDOW, advice)


def _near_zero(law: NoiseLaw) -> Assumption:
    if law.atom_at_zero > 0:
        share = law.atom_at_zero
        text = f"a share {share:.3g} of the labels has no noise; sign methods keep their pace near the optimum"
        return Assumption("noise near zero", share, True, text)
    gap, scale = law.gap, math.sqrt(law.second_moment)
    harmless = gap <= NEAR * scale and not (math.isinf(scale) and gap > 0)
    text = "label noise takes values near 0, so signs carry information down to small risks"
    if not harmless:
        text = (
            f"label noise stays {gap:.3g} away from 0: below a risk of about {gap**2 / 4:.2g} single-row signs carry "
            "almost no information (a risk floor); larger batches soften it"
        )
    advice = "Use batches of a few rows (--batch-size 4), or end with SGD or Adam."
    return Assumption("noise near zero", gap, harmless, text, NEAR * scale if math.isfinite(scale) else None, advice)
