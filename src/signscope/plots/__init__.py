"""Pictures of curves; matplotlib is loaded when the first one is drawn."""

from signscope.plots.panels import Panel, plot_panels
from signscope.plots.risk import plot_risk

__all__ = ["Panel", "plot_panels", "plot_risk"]
