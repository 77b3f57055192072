"""Weak-approximation SDEs of SGD, signSGD, RMSprop(W) and Adam(W), and their moments without Monte Carlo."""

from signscope.sdes.moments.oracle import expected
from signscope.sdes.solving import solve
from signscope.sdes.streaming import streaming_paths

__all__ = ["expected", "solve", "streaming_paths"]
