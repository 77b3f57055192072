"""One optimizer step as a pure function: tensors in, tensors out, nothing changed in place."""

from signscope.rules.adaptive import adam
from signscope.rules.compression import (
    block_mean_sign,
    block_stochastic_sign,
    dvr_estimate,
    dvr_message,
    stochastic_sign,
)
from signscope.rules.feedback import ef_signsgd
from signscope.rules.momentum import lion, signum
from signscope.rules.plain import sgd, signsgd
from signscope.rules.spectral import muon, newton_schulz, polar_factor
from signscope.rules.variance_reduced import signsvrg, spider_sign, ssvr, ssvr_fs

__all__ = [
    "adam",
    "block_mean_sign",
    "block_stochastic_sign",
    "dvr_estimate",
    "dvr_message",
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
    "stochastic_sign",
]
