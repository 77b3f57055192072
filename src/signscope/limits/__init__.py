"""High-dimensional limits and data-driven flows: risk curves before the run, limit risks, stability, rates."""

from signscope.limits.batch import predict_many
from signscope.limits.effects import effect_curve
from signscope.limits.greedy import greedy_schedule
from signscope.limits.homogenized import homogenized_paths
from signscope.limits.optimal import Design, optimal_schedule
from signscope.limits.optimal_batches import best_batch_size, optimal_batch_plan
from signscope.limits.optimal_plan import predict_plan
from signscope.limits.optimal_shapes import compare_schedules
from signscope.limits.prediction import predict
from signscope.limits.rows_bias import bias_floor
from signscope.limits.stationary import Limit, limit, max_lr

__all__ = [
    "Design",
    "Limit",
    "best_batch_size",
    "bias_floor",
    "compare_schedules",
    "effect_curve",
    "greedy_schedule",
    "homogenized_paths",
    "limit",
    "max_lr",
    "optimal_batch_plan",
    "optimal_schedule",
    "predict",
    "predict_many",
    "predict_plan",
]
