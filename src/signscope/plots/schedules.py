"""`plot_schedules`: learning rates against time, and the risk that each of them leads to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from signscope._core.errors import InvalidInput
from signscope.curves import Curve
from signscope.plots.risk import TIMES, dress
from signscope.plots.styles import FIXED, SPARE, Style
from signscope.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = (SPARE[3], SPARE[2], SPARE[1], SPARE[0], FIXED["adam"], FIXED["sgd"])
_BEST = FIXED["signsgd"]
_POINTS = 401


def plot_schedules(
    schedules: Mapping[str, Schedule], curves: Mapping[str, Curve], *, best: str = "optimal", title: str = ""
) -> "Figure":
    """Rates on the left, risks on the right, one colour and line style per schedule.

    Args:
        schedules: By name.
        curves: The predicted (or simulated) risk of each, by the same names.
        best: The name drawn with the thickest line.
        title: What the problem is.

    Returns:
        A figure of its own (not known to pyplot), ready for ``savefig``.

    Raises:
        InvalidInput: There is no schedule, or a schedule has no curve.
    """
    from matplotlib.figure import Figure

    missing = [name for name in schedules if name not in curves]
    if not schedules or missing:
        what = f"`curves` has none for {missing[0]!r}" if missing else "`schedules` is empty"
        raise InvalidInput(f"plot_schedules: {what}.")
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    rates, risks = figure.subplots(1, 2)
    first = next(iter(curves.values()))
    horizon = float(first.time[-1])
    time = torch.linspace(0, horizon, _POINTS, dtype=torch.float64)[:-1]
    for (name, schedule), style in zip(schedules.items(), _styles(list(schedules), best), strict=False):
        look = {"color": style.color, "linestyle": style.dash, "lw": 2.6 if name == best else 1.6}
        curve = curves[name]
        label = f"{name}: {curve.final:.4g}"
        rates.plot(time.numpy(), schedule(time).detach().numpy(), label=name, **look)
        risks.plot(curve.time.numpy(), curve.value.detach().numpy(), label=label, **look)
    for ax in (rates, risks):
        dress(ax, first)
    shown = schedules.get(best)
    if shown is not None:  # decays to 0 would take all of a logarithmic axis
        rates.set_ylim(bottom=0.3 * float(shown(time).detach().min()))
    rates.set_ylabel("learning rate (theory's; one update moves by lr / dim)")
    rates.set_xlabel(TIMES["steps/dim"])
    risks.legend(title=f"risk at {horizon:g}", fontsize=9, title_fontsize=9, edgecolor="none", handlelength=3.6)
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def _styles(names: list[str], best: str) -> list[Style]:
    """One style each; the best one always the same."""
    spare = iter(_STYLES * (1 + len(names) // len(_STYLES)))
    return [_BEST if name == best else next(spare) for name in names]
