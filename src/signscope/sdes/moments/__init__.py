"""Moments of optimizers and of their SDEs without Monte Carlo."""
