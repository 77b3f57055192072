"""Pictures of curves; matplotlib is loaded when the first one is drawn."""

from signscope.plots.panels import Panel, plot_panels
from signscope.plots.risk import plot_risk
from signscope.plots.schedules import plot_schedules

__all__ = ["Panel", "plot_panels", "plot_risk", "plot_schedules"]
