"""Integrators: the exponential collocation method behind every risk curve."""

from signscope.integrate.collocation import ModeSystem, Step
from signscope.integrate.exponential import Solution, solve
from signscope.integrate.moments import exponential_moments

__all__ = ["ModeSystem", "Solution", "Step", "exponential_moments", "solve"]
