"""The picture of the page on schedules: ``python docs/pictures_schedules.py [FOLDER]``."""

import math
import sys
from pathlib import Path

import torch

import signscope as ss
from signscope.limits.optimal_shapes import compare_schedules
from signscope.plots.schedules import plot_schedules

HERE = Path(__file__).parent / "pictures"
DPI = 130
DIM, HORIZON, NUM_RUNS = 500, 10.0, 32


def schedules(path: Path) -> None:
    """The best schedule of every shape for signSGD, and real runs of the constant and the optimal one."""
    variances = torch.logspace(-3, 0, DIM, dtype=torch.float64)
    start = torch.full((DIM,), math.sqrt(2 / DIM))
    problem = ss.LeastSquares(variances, start=start, target=torch.zeros(DIM), noise=0.1)
    designs = compare_schedules(problem, "signsgd", horizon=HORIZON)
    found = {name: design.schedule for name, design in designs.items()}
    curves = {name: ss.predict(problem, "signsgd", lr=lr, horizon=HORIZON, rtol=1e-4) for name, lr in found.items()}
    figure = plot_schedules(found, curves, title="signSGD, 500 coordinates, condition number 1,000, 10 steps/dim")
    risks = figure.axes[1]
    for name in ("constant", "optimal"):
        options = {"horizon": HORIZON, "num_runs": NUM_RUNS, "seed": 0, "dtype": "float32"}
        runs = ss.simulate(problem, "signsgd", lr=found[name], **options)
        line = next(line for line in risks.lines if line.get_label().startswith(name))
        look = {"color": line.get_color(), "marker": "o", "ls": "", "markersize": 4.5, "markerfacecolor": "white"}
        risks.plot(runs.time[10::16].numpy(), runs.value[10::16].numpy(), zorder=5, **look)
    caption = f"Lines: prediction. Markers: mean of {NUM_RUNS} runs at the constant and the optimal rate."
    figure.supxlabel(caption, fontsize=8.5, color="#555555")
    figure.savefig(path, dpi=DPI)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    folder.mkdir(parents=True, exist_ok=True)
    schedules(folder / "schedules.png")
