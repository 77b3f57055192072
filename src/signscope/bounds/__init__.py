"""Complexity bounds with constants, the parameters that attain them, and the problems that nearly reach them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from signscope.bounds.constants import Constants
from signscope.bounds.euclidean import sgd, sgd_bound, sgd_separable, sgd_separable_bound
from signscope.bounds.finite_sum import signsvrg, spider_sign, ssvr_fs
from signscope.bounds.lower import sgd_lower, sgd_lower_at, signsgd_lower
from signscope.bounds.matrices import muon, muon_bound
from signscope.bounds.momentum import signum, signum_bound
from signscope.bounds.overview import Overview, Row, compare_bounds
from signscope.bounds.plain import signsgd, signsgd_bound, signsgd_calls, signsgd_steps
from signscope.bounds.plan import Condition, LowerBound, Plan
from signscope.bounds.ratios import aligned_ratio, noiseless_ratio, speedup_range
from signscope.bounds.recursive import ssvr, ssvr_bound
from signscope.bounds.symmetric import signsgd_symmetric, signsgd_symmetric_bound

if TYPE_CHECKING:
    from signscope.bounds import instances as instances
    from signscope.bounds.geometry import bregman_constant, density, lipschitz_constant

_GEOMETRY = ("bregman_constant", "density", "lipschitz_constant")

__all__ = [
    "Condition",
    "Constants",
    "LowerBound",
    "Overview",
    "Plan",
    "Row",
    "aligned_ratio",
    "bregman_constant",
    "compare_bounds",
    "density",
    "instances",
    "lipschitz_constant",
    "muon",
    "muon_bound",
    "noiseless_ratio",
    "sgd",
    "sgd_bound",
    "sgd_lower",
    "sgd_lower_at",
    "sgd_separable",
    "sgd_separable_bound",
    "signsgd",
    "signsgd_bound",
    "signsgd_calls",
    "signsgd_lower",
    "signsgd_steps",
    "signsgd_symmetric",
    "signsgd_symmetric_bound",
    "signsvrg",
    "signum",
    "signum_bound",
    "speedup_range",
    "spider_sign",
    "ssvr",
    "ssvr_bound",
    "ssvr_fs",
]


def __getattr__(name: str) -> Any:
    """What needs numpy or torch is imported on first use."""
    if name == "instances":
        return import_module("signscope.bounds.instances")
    if name in _GEOMETRY:
        return getattr(import_module("signscope.bounds.geometry"), name)
    raise AttributeError(f"module 'signscope.bounds' has no attribute {name!r}")
