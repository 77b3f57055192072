"""The algorithms themselves on least squares, many runs at once."""

from signscope.simulation.effects import simulate_effect
from signscope.simulation.run import simulate

__all__ = ["simulate", "simulate_effect"]
