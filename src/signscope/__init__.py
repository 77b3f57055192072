"""Predict, measure and run sign-based optimization.

The public names are resolved on first use, so that ``import signscope`` loads neither torch nor scipy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from signscope._version import __version__

if TYPE_CHECKING:
    from signscope import measure as measure
    from signscope import optim as optim
    from signscope import plots as plots
    from signscope import sdes as sdes
    from signscope._core.errors import Diverged, InvalidInput, SignscopeError, Unsupported
    from signscope.comparison import (
        BestLr,
        Comparison,
        Effects,
        Examination,
        Gap,
        best_lr,
        check,
        compare,
        five_effects,
        gap,
    )
    from signscope.comparison.advice import advise
    from signscope.comparison.translation import rescale, translate
    from signscope.curves import Curve
    from signscope.limits import Limit, best_batch_size, bias_floor, limit, optimal_schedule, predict, predict_many
    from signscope.noise import NoiseLaw, as_noise
    from signscope.problems import LeastSquares
    from signscope.schedules import Schedule
    from signscope.simulation import simulate

_HOMES = {
    "BestLr": "signscope.comparison",
    "Comparison": "signscope.comparison",
    "Curve": "signscope.curves",
    "Diverged": "signscope._core.errors",
    "Effects": "signscope.comparison",
    "Examination": "signscope.comparison",
    "Gap": "signscope.comparison",
    "InvalidInput": "signscope._core.errors",
    "LeastSquares": "signscope.problems",
    "Limit": "signscope.limits",
    "NoiseLaw": "signscope.noise",
    "Schedule": "signscope.schedules",
    "SignscopeError": "signscope._core.errors",
    "Unsupported": "signscope._core.errors",
    "as_noise": "signscope.noise",
    "best_lr": "signscope.comparison",
    "advise": "signscope.comparison.advice",
    "best_batch_size": "signscope.limits",
    "bias_floor": "signscope.limits",
    "check": "signscope.comparison",
    "compare": "signscope.comparison",
    "five_effects": "signscope.comparison",
    "gap": "signscope.comparison",
    "limit": "signscope.limits",
    "optimal_schedule": "signscope.limits",
    "predict": "signscope.limits",
    "predict_many": "signscope.limits",
    "rescale": "signscope.comparison.translation",
    "simulate": "signscope.simulation",
    "translate": "signscope.comparison.translation",
}
_ROOMS = (
    "bounds",
    "comparison",
    "curves",
    "limits",
    "measure",
    "noise",
    "optim",
    "plots",
    "problems",
    "reproduce",
    "rules",
    "schedules",
    "sdes",
    "simulation",
)

__all__ = [
    "BestLr",
    "Comparison",
    "Curve",
    "Diverged",
    "Effects",
    "Examination",
    "Gap",
    "InvalidInput",
    "LeastSquares",
    "Limit",
    "NoiseLaw",
    "Schedule",
    "SignscopeError",
    "Unsupported",
    "__version__",
    "advise",
    "as_noise",
    "best_batch_size",
    "best_lr",
    "bias_floor",
    "check",
    "compare",
    "five_effects",
    "gap",
    "limit",
    "measure",
    "optim",
    "optimal_schedule",
    "plots",
    "predict",
    "predict_many",
    "rescale",
    "sdes",
    "simulate",
    "translate",
]


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first asked for (PEP 562)."""
    if name in _ROOMS:
        return import_module(f"signscope.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'signscope' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
