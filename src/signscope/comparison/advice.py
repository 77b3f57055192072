"""`advise`: would a sign method help on this model? Measurements and bounds put together."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope.bounds.constants import moderate
from signscope.bounds.ratios import aligned_ratio, curvature_ratio, noisy_range
from signscope.comparison.advice_text import calls_sentence, noise_reasons, phase_sentence, rate_rule, ratio_reasons
from signscope.comparison.lr_moves import matching_lr
from signscope.comparison.speed_ratios import Calls, predicted_calls
from signscope.measure.noise_report import NoiseReport
from signscope.measure.smoothness_report import SmoothnessReport
from signscope.measure.snr import Phases
from signscope.measure.storage import plain

WHO = "advise"
CLEAR = 4.0
"""Ratios of bounds were off by up to this factor against tuned runs; what lies below decides nothing."""
_RELIABLE, _RARE = 0.5, 0.2
Verdict = Literal["advantage expected", "no advantage expected", "undecided"]


@dataclass(frozen=True)
class Advice:
    """Whether signs should help, and how to move the learning rate. Ratios are N_SGD / N_sign: above 1 favours signs.

    Attributes:
        verdict: "advantage expected", "no advantage expected" or "undecided".
        reasons: Why, one sentence each.
        noise_range: Range of the ratio between worst cases under noise, 1/(128 phi) to 8/phi (separable losses).
        largest_ratio: 1/phi, the most that alignment can give.
        aligned_ratio: Alignment-aware ratio under noise; NaN without a smoothness report.
        alignment: "coordinates" or "layers": the level at which noise and curvature were paired; "" without.
        noiseless_ratio: d L_2 / L; NaN without a smoothness report. L is a lower bound, so this is an upper one.
        gradient_ratio: The same times the density of the gradient.
        calls: Bounds on the gradient calls to ``accuracy``; NaN without a smoothness report, and with a gap or an
            accuracy of 0.
        accuracy: l1 norm of the gradient that is asked for.
        gap: Delta, how far the loss can still fall; it cancels in ratios.
        status: "bound, not forecast".
        phase: 1, 2 or 3: where most coordinates are at the measured batch size.
        phases: Their shares.
        rule: How to move the learning rate.
        batch_size: Of the measurement.
        sigma1: As measured.
        sigma2: As measured.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    noise_range: tuple[float, float]
    largest_ratio: float
    aligned_ratio: float
    alignment: str
    noiseless_ratio: float
    gradient_ratio: float
    calls: Calls
    accuracy: float
    gap: float
    status: str
    phase: int
    phases: Phases
    rule: str
    batch_size: float
    sigma1: float
    sigma2: float

    @property
    def predicted_ratio(self) -> float:
        """N_SGD / N_sign by the upper bounds with their constants, the loss taken as separable; NaN without smoothness.

        The bound of signSGD takes no such liberty: where L is far above the sum of |H_ii| this favours SGD.
        """
        return self.calls.sgd / self.calls.sign if self.calls.sign > 0 else math.nan

    @property
    def text(self) -> str:
        """Verdict, reasons, phase and rule."""
        head = f"Would a sign method help? {self.verdict[0].upper()}{self.verdict[1:]}."
        reasons = [*self.reasons, *calls_sentence(self)]
        return "\n".join([head, *(f"- {reason}" for reason in reasons), phase_sentence(self), f"Rule: {self.rule}"])

    def __str__(self) -> str:
        return self.text

    def matching_lr(self, sgd_lr: float, *, momentum: float = 0.0) -> float:
        """SignSGD's rate for a known rate of SGD at the measured batch size, see `lr_moves.matching_lr`."""
        return matching_lr(
            sgd_lr, sigma1=self.sigma1, sigma2=self.sigma2, batch_size=self.batch_size, momentum=momentum
        )

    def summary(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**plain(self), "predicted_ratio": plain(self.predicted_ratio), "text": self.text}


def advise(
    report: NoiseReport,
    smoothness: SmoothnessReport | None = None,
    *,
    accuracy: float | None = None,
    gap: float | None = None,
    new_batch_size: float | None = None,
) -> Advice:
    """Judge from measurements whether signSGD needs fewer gradients than SGD, and say how to move the learning rate.

    Args:
        report: Of `gradient_noise`.
        smoothness: Of `measure.smoothness` at the same point, with the same ``seed`` and ``num_tracked``; without it
            only what the noise excludes can be said.
        accuracy: l1 norm of the gradient to reach, for the bounds on gradient calls; a tenth of the measured one by
            default.
        gap: How far the loss can fall; the loss itself by default (an infimum of 0). It is needed where that is not
            above 0, and only for the bounds on gradient calls.
        new_batch_size: The batch size to move to, for the rule; four times the measured one by default.

    Returns:
        An `Advice`; print it. A ratio decides only beyond a factor of 4, by which such ratios were off against tuned
        runs; they are bounds, not forecasts.

    Raises:
        InvalidInput: The report has no noise, the two reports are of different models, or an argument is out of range.
    """
    whole = report.overall
    if not whole.density > 0:
        raise InvalidInput(f"{WHO}: the report has no noise (sigma1 = {whole.sigma1:g}); there is nothing to compare.")
    target = 0.1 * whole.grad_l1 if accuracy is None else moderate(WHO, "accuracy", accuracy)
    left = max(report.loss, 0.0) if gap is None else checks.positive(WHO, "gap", gap)
    bigger = 4 * report.batch_size if new_batch_size is None else checks.positive(WHO, "new_batch_size", new_batch_size)
    aligned, root, level = math.nan, math.nan, ""
    plain_ratio, calls = math.nan, Calls()
    if smoothness is not None:
        aligned, root, level = _paired(report, smoothness)
        plain_ratio = curvature_ratio(smoothness.dim, l2=smoothness.largest_eigenvalue, linf=smoothness.linf)
    if smoothness is not None and left > 0 and target > 0:
        calls = predicted_calls(
            accuracy=target,
            gap=left,
            linf=smoothness.linf,
            l2=smoothness.largest_eigenvalue,
            dim=smoothness.dim,
            sigma1=whole.sigma1,
            sigma2=whole.sigma2,
            sigma_root_l=root,
        )
    phase = max((1, 2, 3), key=lambda number: whole.phases[number - 1])
    graded = whole.grad_density * plain_ratio
    verdict = _verdict(report, phase, aligned, graded)
    return Advice(
        verdict=verdict,
        reasons=(*ratio_reasons(report, phase, aligned, level, graded), *noise_reasons(report, smoothness)),
        noise_range=noisy_range(whole.density),
        largest_ratio=1 / whole.density,
        aligned_ratio=aligned,
        alignment=level,
        noiseless_ratio=plain_ratio,
        gradient_ratio=graded,
        calls=calls,
        accuracy=target,
        gap=left,
        status="bound, not forecast",
        phase=phase,
        phases=whole.phases,
        rule=rate_rule(report, phase, bigger),
        batch_size=report.batch_size,
        sigma1=whole.sigma1,
        sigma2=whole.sigma2,
    )


def _paired(report: NoiseReport, smoothness: SmoothnessReport) -> tuple[float, float, str]:
    """Aligned ratio, sum of sigma_i sqrt(L_i), level: coordinates where the diagonal is reliable, else layers."""
    if [t.name for t in report.tracked] != [layer.name for layer in smoothness.layers] or any(
        layer.dim != curved.dim for layer, curved in zip(report.layers, smoothness.layers, strict=True)
    ):
        raise InvalidInput(f"{WHO}: `report` and `smoothness` are of different models: their layers differ.")
    same = report.seed == smoothness.seed and all(
        len(t.sigma) == len(layer.diagonal) for t, layer in zip(report.tracked, smoothness.layers, strict=True)
    )
    if same and smoothness.diagonal_reliability >= _RELIABLE:
        sigma = torch.cat([torch.tensor(t.sigma, dtype=torch.float64) for t in report.tracked])
        curved = torch.cat([torch.tensor(layer.diagonal, dtype=torch.float64) for layer in smoothness.layers]).abs()
        weight = torch.cat([torch.full((len(t.sigma),), t.scale, dtype=torch.float64) for t in report.tracked])
        level = "coordinates"
    else:
        sizes = [(noise.dim, noise.sigma1 / noise.dim) for noise in report.layers]
        sigma = torch.tensor([mean for _, mean in sizes], dtype=torch.float64)
        curved = torch.tensor([layer.diagonal_l1 / layer.dim for layer in smoothness.layers], dtype=torch.float64)
        weight = torch.tensor([float(dim) for dim, _ in sizes], dtype=torch.float64)
        level = "layers"
    known = float((weight * sigma).sum()) > 0 and float((weight * curved).sum()) > 0
    ratio = aligned_ratio(sigma.tolist(), curved.tolist(), weight=weight.tolist()) if known else math.nan
    return ratio, float((weight * sigma * curved.sqrt()).sum()), level


def _verdict(report: NoiseReport, phase: int, aligned: float, graded: float) -> Verdict:
    """Clear ratios decide; in phase 3 that under noise, in phase 1 that without, between them both."""
    whole = report.overall
    judged = {3: [aligned], 2: [aligned, graded], 1: [graded]}[phase]
    if any(math.isnan(ratio) for ratio in judged):
        bounded = phase == 3 and 1 / whole.density_low <= CLEAR and _rare(report) <= _RARE
        return "no advantage expected" if bounded else "undecided"
    if max(judged) <= CLEAR:
        return "no advantage expected"
    if min(judged) <= CLEAR or (phase > 1 and _rare(report) > _RARE):
        return "undecided"
    return "advantage expected"


def _rare(report: NoiseReport) -> float:
    return (report.overall.never_seen + report.overall.seen_once) / report.overall.dim
