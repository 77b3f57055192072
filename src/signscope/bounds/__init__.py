"""Complexity bounds with constants, and the parameters that attain them."""

from signscope.bounds.finite_sum import signsvrg, spider_sign, ssvr_fs
from signscope.bounds.momentum import signum, signum_bound
from signscope.bounds.plain import signsgd, signsgd_bound, signsgd_steps
from signscope.bounds.plan import Condition, Constants, Plan
from signscope.bounds.recursive import ssvr, ssvr_bound

__all__ = [
    "Condition",
    "Constants",
    "Plan",
    "signsgd",
    "signsgd_bound",
    "signsgd_steps",
    "signsvrg",
    "signum",
    "signum_bound",
    "spider_sign",
    "ssvr",
    "ssvr_bound",
    "ssvr_fs",
]
