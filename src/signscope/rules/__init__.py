"""One optimizer step as a pure function: tensors in, tensors out, nothing changed in place."""

from signscope.rules.adaptive import adam
from signscope.rules.plain import sgd, signsgd

__all__ = ["adam", "sgd", "signsgd"]
