"""Predictions against simulations: gaps, best rates, and the comparison of whole optimizers."""

from signscope.comparison.agreement import Gap, gap
from signscope.comparison.assumption import Assumption
from signscope.comparison.entries import CurveSet, Entry
from signscope.comparison.examination import Examination, check
from signscope.comparison.four_effects import Effects, five_effects
from signscope.comparison.judgement import Verdict
from signscope.comparison.result import Comparison
from signscope.comparison.running import compare
from signscope.comparison.storage import check_output, save_results
from signscope.comparison.sweeping import run_sweep
from signscope.comparison.tuning import BestLr, best_lr

__all__ = [
    "Assumption",
    "BestLr",
    "Comparison",
    "CurveSet",
    "Effects",
    "Entry",
    "Examination",
    "Gap",
    "Verdict",
    "best_lr",
    "check",
    "check_output",
    "compare",
    "five_effects",
    "gap",
    "run_sweep",
    "save_results",
]
