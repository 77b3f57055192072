"""Colours, line styles and markers: the same for an optimizer in every picture, told apart in grey too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from signscope.curves import Curve


@dataclass(frozen=True)
class Style:
    """How one optimizer (at one rate) is drawn.

    Attributes:
        color: Out of the colour-blind safe palette of Okabe and Ito, one out of Tol's.
        dash: Matplotlib line style of the prediction.
        marker: Marker of the simulated mean.
    """

    color: str
    dash: Literal["-"] | tuple[int, tuple[float, ...]]
    marker: str


Dash = Literal["-"] | tuple[int, tuple[float, ...]]
_SOLID: Dash = "-"
_DASHES: tuple[Dash, ...] = (
    _SOLID,
    (0, (6, 1.6)),
    (0, (7, 1.6, 1.4, 1.6)),
    (0, (1.4, 1.4)),
    (0, (4, 1.2, 1.2, 1.2, 1.2, 1.2)),
)
FIXED = {
    "sgd": Style("#0072B2", _DASHES[0], "o"),
    "signsgd": Style("#D55E00", _DASHES[1], "s"),
    "adam": Style("#009E73", _DASHES[2], "^"),
    "signum": Style("#882255", _DASHES[3], "p"),
}
SPARE = (
    Style("#CC79A7", _DASHES[3], "D"),
    Style("#56B4E9", _DASHES[4], "v"),
    Style("#E69F00", _DASHES[0], "P"),
    Style("#000000", _DASHES[1], "X"),
)
NAMES = {"sgd": "SGD", "signsgd": "signSGD", "adam": "Adam", "signum": "Signum"}

Key = tuple[str, float]


def key_of(curve: Curve) -> Key:
    """What makes two curves share a style: the optimizer and its rate."""
    return curve.optimizer, float(f"{curve.lr:.6g}")


def styles_for(curves: Sequence[Curve]) -> dict[Key, Style]:
    """A style for every optimizer and rate; the first rate of an optimizer gets its own colour."""
    found: dict[Key, Style] = {}
    taken: set[str] = set()
    for curve in curves:
        key = key_of(curve)
        if key in found:
            continue
        if curve.optimizer in FIXED and curve.optimizer not in taken:
            found[key] = FIXED[curve.optimizer]
            taken.add(curve.optimizer)
        else:
            found[key] = SPARE[(len(found) - len(taken)) % len(SPARE)]
    return found


def label_of(curve: Curve) -> str:
    """``signSGD, lr 0.5``."""
    name = NAMES.get(curve.optimizer, curve.optimizer or curve.quantity)
    return f"{name}, lr {curve.lr:.3g}" if curve.lr == curve.lr else name
