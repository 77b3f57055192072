"""One optimizer step as a pure function: tensors in, tensors out, nothing changed in place."""

from signscope.rules.adaptive import adam
from signscope.rules.feedback import ef_signsgd
from signscope.rules.momentum import lion, signum
from signscope.rules.plain import sgd, signsgd
from signscope.rules.spectral import muon, newton_schulz, polar_factor
from signscope.rules.variance_reduced import signsvrg, spider_sign, ssvr, ssvr_fs

__all__ = [
    "adam",
    "ef_signsgd",
    "lion",
    "muon",
    "newton_schulz",
    "polar_factor",
    "sgd",
    "signsgd",
    "signsvrg",
    "signum",
    "spider_sign",
    "ssvr",
    "ssvr_fs",
]
