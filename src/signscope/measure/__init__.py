"""Noise and smoothness of real models, measured on their own batches."""

from signscope.measure.curving import smoothness
from signscope.measure.measuring import ShortLoader, gradient_noise
from signscope.measure.noise_report import NoiseReport
from signscope.measure.probe import Probe
from signscope.measure.smoothness_report import SmoothnessReport

__all__ = ["NoiseReport", "Probe", "ShortLoader", "SmoothnessReport", "gradient_noise", "smoothness"]
