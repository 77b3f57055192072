"""High-dimensional limits and data-driven flows: risk curves before the run, limit risks, stability, rates."""

from signscope.limits.batch import predict_many
from signscope.limits.effects import effect_curve
from signscope.limits.homogenized import homogenized_paths
from signscope.limits.prediction import predict
from signscope.limits.stationary import Limit, limit, max_lr

__all__ = ["Limit", "effect_curve", "homogenized_paths", "limit", "max_lr", "predict", "predict_many"]
