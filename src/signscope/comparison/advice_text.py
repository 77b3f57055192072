"""The sentences of `advise`."""

import math
from typing import TYPE_CHECKING

from signscope.measure.noise_report import NoiseReport
from signscope.measure.smoothness_report import SmoothnessReport

if TYPE_CHECKING:
    from signscope.comparison.advice import Advice

_PHASES = {
    1: "phase 1: signs are nearly certain, a step does not depend on the noise",
    2: "phase 2, between certain and random signs",
    3: "phase 3: signs are mostly noise, the mean step is proportional to gradient / noise",
}


def ratio_reasons(report: NoiseReport, phase: int, aligned: float, level: str, graded: float) -> list[str]:
    """What the ratios say, each with its status."""
    phi = report.overall.density
    said = [
        f"Noise density {phi:.3g} (95%: {report.overall.density_low:.3g} to {report.overall.density_high:.3g}): by "
        f"worst-case bounds SGD needs between {1 / (128 * phi):.2g} and {8 / phi:.3g} times the gradients of signSGD "
        "(separable losses; a bound, not a forecast; an advantage is guaranteed only below a density of 1/128)."
    ]
    if math.isnan(aligned):
        said.append(
            f"Without the smoothness only the most that alignment can give is known, 1/density = {1 / phi:.3g}; run "
            "measure.smoothness on the same model."
        )
        return said
    said.append(
        f"Where noise and curvature sit (paired by {level}) the ratio of the bounds is {aligned:.3g} under noise"
        + (
            "; such a small ratio has been wrong by up to 27 times, since signs adapt to every coordinate."
            if aligned < 0.5
            else "; ratios below 4 decide nothing."
        )
    )
    used = (
        "that is the regime of this run" if phase == 1 else "not the regime of this run" if phase == 3 else "half of it"
    )
    said.append(f"Without noise the ratio is at most {graded:.3g} at this gradient ({used}).")
    return said


def noise_reasons(report: NoiseReport, smoothness: SmoothnessReport | None) -> list[str]:
    """What limits the measurement."""
    whole, said = report.overall, []
    rare = (whole.never_seen + whole.seen_once) / whole.dim
    if rare > 0.05:
        body = "" if report.body is None else f" Without embeddings it is {report.body.density:.3g}."
        said.append(f"{100 * rare:.0f}% of the coordinates had at most one gradient, so the density is too low.{body}")
    if whole.tails.asymmetry > 0.05:
        said.append("The noise is not symmetric: signSGD with small batches stops short of the minimum; use momentum.")
    if smoothness is not None and smoothness.diagonal_reliability < 0.5:
        said.append(
            f"The diagonal of the Hessian is unreliable entry by entry ({smoothness.diagonal_reliability:.2f}): its "
            "layer sums were used; more num_probes would help."
        )
    return said


def calls_sentence(advice: "Advice") -> list[str]:
    """The two predicted complexities, where the smoothness is known."""
    calls = advice.calls
    if math.isnan(calls.sign):
        asked = not math.isnan(advice.noiseless_ratio) and advice.gap == 0
        return ["The loss is not above 0: bounds on gradients need `gap`, how far it can fall."] if asked else []
    return [
        f"Bounds on gradients until the l1 norm is {advice.accuracy:.3g}: signSGD {calls.sign:.2g}, SGD "
        f"{calls.sgd:.2g} (separable loss) to {calls.sgd_any:.2g} (any loss). Guarantees, not "
        "forecasts: real runs need far fewer."
    ]


def phase_sentence(advice: "Advice") -> str:
    """Which phase the run is in."""
    one, two, three = (f"{100 * share:.0f}%" for share in advice.phases)
    return (
        f"At batch {advice.batch_size:.4g} most coordinates are in {_PHASES[advice.phase]} (phase 1/2/3: "
        f"{one}/{two}/{three})."
    )


def rate_rule(report: NoiseReport, phase: int, new_batch_size: float) -> str:
    """How to move the learning rate to another batch size, and whether the rule still holds there."""
    factor = new_batch_size / report.batch_size
    there = report.phases_at(new_batch_size)
    sizes = f"from batch {report.batch_size:.4g} to {new_batch_size:.4g}"
    if phase == 1:
        return (
            f"{sizes} leave the rate of a sign method as it is (its steps do not depend on the noise); SGD's may grow "
            "until stability limits it."
        )
    root = math.sqrt(factor)
    rule = (
        f"{sizes} multiply the rate and decoupled weight decay of a sign method or Adam by sqrt({factor:.3g}) = "
        f"{root:.3g} (Adam: 1 - beta times {factor:.3g} too), the rate of SGD by {factor:.3g}."
    )
    if not there.three >= 0.75:
        rule += (
            f" At the new batch only {100 * there.three:.0f}% of the coordinates are left in phase 3, where this "
            "holds: the rate of a sign method should grow less."
        )
    return rule
