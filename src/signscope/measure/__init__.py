"""Noise and smoothness of real models, measured on their own batches."""

from signscope.measure.measuring import gradient_noise
from signscope.measure.noise_report import NoiseReport

__all__ = ["NoiseReport", "gradient_noise"]
