"""``xiao2024-fig6``: concentration, how fast single runs close in on the risk equation as the dimension grows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, Rows, near, shown
from signscope.reproduce.drawing import COLORS, MARKERS, curve_rows, draw_pair, finish_curves, legend, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.pairs import Pair, far_problem, run_pair

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LR, NOISE, SPECTRUM = 0.5, "gaussian:0.5", "log:0.1,1"
MEASURES = {
    "spread": "standard deviation over runs / risk",
    "worst": "largest distance of a run / start risk (median)",
    "bias": "|mean of runs - theory| / risk",
}


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        dims: Dimensions.
        num_runs: Simulated runs per dimension.
        horizon: Length in steps/dim.
        slope_room: Accepted distance of the fitted exponents from -1/2.
    """

    dims: tuple[int, ...] = (50, 100, 200, 400, 800, 1600)
    num_runs: int = 64
    horizon: float = 6.0
    slope_room: float = 0.1


SIZES = {"full": Size(), "small": Size(dims=(25, 50, 100, 200), num_runs=32, horizon=3.0, slope_room=0.25)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """One problem per dimension, its runs against its risk equation."""
    pairs: list[Pair] = []
    work = np.cumsum([0.0, *(float(d) ** 2 for d in size.dims)])
    for index, dim in enumerate(size.dims):
        meter.update(work[index] / work[-1], f"d = {dim}")
        problem = far_problem(dim, spectrum=SPECTRUM, noise=NOISE, seed=seed, distance=3.0)
        setting = {"lr": LR, "horizon": size.horizon, "num_runs": size.num_runs, "seed": seed}
        pairs.append(run_pair(f"d = {dim}", problem, "signsgd", **setting))
    rows = [{"dim": dim, **distances(pair)} for dim, pair in zip(size.dims, pairs, strict=True)]
    numbers = [*curve_rows([c for pair in pairs for c in pair.curves])]
    return Findings(_claims(rows, size), [*numbers, *rows], lambda: draw(pairs, rows, size))


def distances(pair: Pair) -> dict[str, float]:
    """Spread of the runs, largest distance of one run from the theory, distance of their mean."""
    runs = pair.simulation.runs
    assert runs is not None
    theory = pair.prediction.value
    late = pair.simulation.time > 0
    spread = (runs.std(0) / theory)[late].mean()
    worst = ((runs - theory).abs().max(1).values / theory[0]).median()
    return {"spread": float(spread), "worst": float(worst), "bias": pair.mean_gap}


def exponent(rows: Rows, name: str) -> float:
    """Slope of log(measure) against log(dim)."""
    return float(np.polyfit(np.log([row["dim"] for row in rows]), np.log([row[name] for row in rows]), 1)[0])


def _claims(rows: Rows, size: Size) -> list[Claim]:
    return [
        near(f"exponent in d of the {MEASURES['spread']}", exponent(rows, "spread"), -0.5, atol=size.slope_room),
        near(f"exponent in d of the {MEASURES['worst']}", exponent(rows, "worst"), -0.5, atol=size.slope_room),
        shown(f"{MEASURES['bias']} at d = {size.dims[-1]}", rows[-1]["bias"]),
    ]


def draw(pairs: list[Pair], rows: Rows, size: Size) -> "Picture":
    """Bands of three dimensions left; distances against d right."""
    caption = (
        f"Left: risk equation at the largest d (line), mean and central 80% of {size.num_runs} runs. "
        "Right: dotted lines have slope -1/2."
    )
    picture, (left, right) = panels(2, caption=caption)
    few = [0, len(pairs) // 2, len(pairs) - 1]
    for index, k in enumerate(few):
        theory = pairs[k].prediction if k == few[-1] else None
        draw_pair(left, theory, pairs[k].simulation, label=pairs[k].label, index=index)
    finish_curves(left, pairs[-1].prediction, title=f"signSGD, lr {LR:g}")
    dims = np.array([row["dim"] for row in rows], dtype=float)
    for index, (name, label) in enumerate(MEASURES.items()):
        values = np.array([row[name] for row in rows])
        shape = {"color": COLORS[index], "marker": MARKERS[index], "mfc": "white", "ms": 5}
        right.plot(dims, values, label=f"{label}: {exponent(rows, name):+.2f}", **shape)
        if name != "bias":
            right.plot(dims, values[-1] * (dims / dims[-1]) ** -0.5, color=COLORS[index], ls=":", lw=1.2)
    right.set(yscale="log", xlabel="dimension d", ylabel="relative distance from the risk equation")
    right.set_xscale("log", base=2)
    right.set_title("Distance against dimension, fitted exponent", fontsize=10.5)
    legend(right)
    return picture


run = Experiment(
    "xiao2024-fig6",
    SIZES,
    measure,
    "Chosen here: independent coordinates with variances from 0.1 to 1, Gaussian noise of standard deviation 0.5, "
    "lr 0.5, start at distance about 3.",
)
