"""The verdict on the four effects: who descends faster and when, and what every effect is worth."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

from signscope.curves import Curve

_SAME = 1e-6  # psi this close to 1 throughout is 1: Gaussian noise, or none
_WORDS = {
    "effective_rate": "effective rate",
    "compression": "noise compression",
    "preconditioner": "preconditioner",
    "reshaping": "noise reshaping",
}


def verdict_text(curves: Sequence[Curve], psi: Curve, passed: Mapping[str, Sequence[float]]) -> str:
    """Sentences on psi against 1 and pi/2, and the factor of each effect on the final risk.

    Args:
        curves: The five curves.
        psi: Noise compression along signSGD's curve, at many times.
        passed: Times at which psi crosses 1 (``"one"``) and pi/2 (``"half_pi"``).
    """
    if curves[0].status == "undefined" and bool(torch.isinf(psi.value).any()):
        return (
            "The noise has infinite variance: psi is infinite, SGD has no curve to compare with, and signSGD descends "
            f"to {curves[-1].final:.4g}."
        )
    said = [_faster(psi, passed["one"]), _better(psi, passed["half_pi"])]
    if all(not curve.failed for curve in curves) and curves[0].final > 0:
        said.append(_shares(curves))
    return " ".join(said)


def _faster(psi: Curve, times: Sequence[float]) -> str:
    if bool(((psi.value - 1).abs() <= _SAME).all()):
        return "Noise compression: psi is 1 throughout, so at equal effective rate it neither helps nor hurts signSGD."
    where = [(f"{'faster' if above else 'slower'}", begin, end) for begin, end, above in _spans(psi, times, 1.0)]
    parts = ", ".join(f"{speed} {_when(begin, end)}" for speed, begin, end in where)
    seen = f"psi goes from {float(psi.value[0]):.4g} to {psi.final:.4g}"
    return f"Noise compression: at equal effective rate it makes signSGD descend {parts} ({seen})."


def _better(psi: Curve, times: Sequence[float]) -> str:
    spans = _spans(psi, times, math.pi / 2)
    parts = ", ".join(f"{'signSGD' if above else 'SGD'} {_when(begin, end)}" for begin, end, above in spans)
    side = "" if times else f" (psi stays {'above' if spans[0][2] else 'below'} pi/2)"
    return f"With each at its own best rate, were K a multiple of I, the faster one would be {parts}{side}."


def _spans(psi: Curve, times: Sequence[float], level: float) -> list[tuple[float, float, bool]]:
    """(begin, end, above the level) of every stretch between crossings; the ends of the curve are 0 and inf."""
    edges = [0.0, *times, float(psi.time[-1])]
    spans: list[tuple[float, float, bool]] = []
    for index, (begin, end) in enumerate(pairwise(edges)):
        above = bool(psi.at(0.5 * (begin + end)) > level)
        spans.append((begin, math.inf if index == len(edges) - 2 else end, above))
    return spans


def _when(begin: float, end: float) -> str:
    if begin == 0 and math.isinf(end):
        return "throughout"
    if begin == 0:
        return f"until t = {end:.3g}"
    return f"from t = {begin:.3g} on" if math.isinf(end) else f"from t = {begin:.3g} to {end:.3g}"


def _shares(curves: Sequence[Curve]) -> str:
    parts = [f"{_WORDS[b.optimizer]} {b.final / a.final:.3g}" for a, b in pairwise(curves)]
    total = curves[-1].final / curves[0].final
    end = float(curves[-1].time[-1])
    return (
        f"At t = {end:g} signSGD's risk is {total:.3g} times that of SGD at a frozen rate: "
        f"{', '.join(parts[:-1])} and {parts[-1]} (factors, in this order)."
    )
