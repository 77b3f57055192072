"""One file per figure or table of a paper, run by `signscope reproduce NAME`."""

from signscope.reproduce.registry import FIGURES, Figure, run_figure
from signscope.reproduce.report import Report

__all__ = ["FIGURES", "Figure", "Report", "run_figure"]
