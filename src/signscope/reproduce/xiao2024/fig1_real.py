"""``xiao2024-fig1-cifar10`` and ``-imdb``: risk curves of signSGD on real data, random features."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signscope._core.progress import Meter
from signscope.comparison import gap
from signscope.curves import Curve
from signscope.limits import predict
from signscope.reproduce.claims import at_most, shown
from signscope.reproduce.drawing import curve_rows, draw_pair, finish_curves, panels
from signscope.reproduce.experiment import Findings
from signscope.reproduce.xiao2024.pairs import Pair, run_pair
from signscope.reproduce.xiao2024.real import DataExperiment, real_problem
from signscope.simulation import simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

GAUSSIAN_LIMIT = 0.10  # a reader of the logarithmic axis sees two curves beyond that
FLOW_LIMIT = 0.15


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        kind: Data set.
        lr: The theory's rate.
        num_steps: Updates.
        num_runs: Simulated runs.
        is_small: Few features and rows.
    """

    kind: str
    lr: float
    num_steps: int
    num_runs: int = 16
    is_small: bool = False


TITLES = {"cifar10": "CIFAR-10, animals against vehicles", "imdb": "IMDB reviews"}


def measure(chosen: tuple[Size, dict[str, str]], seed: int, meter: Meter) -> Findings:
    """Runs on the data's own rows against the equation for Gaussian rows and the flow driven by the rows."""
    size, places = chosen
    meter.update(0.01, "features")
    problem = real_problem(places[size.kind], seed=seed, is_small=size.is_small)
    horizon = size.num_steps / problem.dim
    setting: dict[str, Any] = {"lr": size.lr, "horizon": horizon}
    meter.update(0.2, "simulation")
    runs: dict[str, Any] = {"num_runs": size.num_runs, "seed": seed}
    pair = run_pair("Gaussian rows", problem, "signsgd", rows="replace", **setting, **runs)
    times = pair.simulation.time
    once: Curve | None = None
    assert problem.rows is not None
    if problem.rows.num_rows >= size.num_steps:
        meter.update(0.5, "one pass")
        once = simulate(problem, "signsgd", rows="once", times=times, dtype="float32", **setting, **runs)
    meter.update(0.7, "flow on the rows")
    flow = predict(problem, "signsgd", times=times, method="rows", **setting)
    name = TITLES[size.kind]
    claims = [
        at_most(f"{name}: mean relative gap of the risk equation (Gaussian rows)", pair.mean_gap, GAUSSIAN_LIMIT),
        at_most(
            f"{name}: mean relative gap of the flow on the data's rows", gap(flow, pair.simulation).mean, FLOW_LIMIT
        ),
        shown(f"{name}: share of time of the risk equation in the 80% band", pair.in_band),
    ]
    curves = [*pair.curves, ("flow on the rows", flow)]
    if once is not None:
        claims.append(shown(f"{name}: final risk of one pass / with replacement", once.final / pair.simulation.final))
        curves.append(("one pass", once))
    notes = [
        f"{problem.rows.num_rows} rows drawn with replacement, {problem.dim} features, noise: {problem.noise.name}."
    ]
    return Findings(claims, curve_rows(curves), lambda: draw(size, pair, flow, once), notes)


def draw(size: Size, pair: Pair, flow: Curve, once: Curve | None) -> "Picture":
    """Both predictions, runs with replacement and in one pass."""
    dim = round(pair.simulation.lr / pair.simulation.step_size)
    caption = (
        f"Markers and bands: mean and central 80% of {size.num_runs} runs, {size.num_steps:,} steps, d = {dim}. "
        "Flow: driven by the data's own rows instead of Gaussian ones."
    )
    picture, (ax,) = panels(1, caption=caption, width=7.2)
    draw_pair(ax, None, pair.simulation, label="signSGD, rows with replacement", index=0)
    if once is not None:
        draw_pair(ax, None, once, label="signSGD, one pass", index=2)
    draw_pair(ax, pair.prediction, None, label="risk equation, Gaussian rows", index=1)
    draw_pair(ax, flow, None, label="flow on the data's rows", index=6)
    finish_curves(ax, pair.prediction, title=f"{TITLES[size.kind]}, signSGD, lr {size.lr:g}")
    return picture


def _experiment(kind: str, lr: float, num_steps: int, chosen: str) -> DataExperiment:
    small = Size(kind, lr, num_steps=1_000, num_runs=4, is_small=True)
    sizes = {"full": Size(kind, lr, num_steps), "small": small}
    return DataExperiment(f"xiao2024-fig1-{kind}", sizes, measure, chosen, kinds=(kind,))


cifar10 = _experiment(
    "cifar10",
    0.9,
    40_000,
    "Chosen here: tanh features of standardised pixels, centred, one global scale; accepted gap 10%.",
)
imdb = _experiment(
    "imdb",
    0.2,
    25_000,
    "Chosen here: tanh features of standardised word vectors plus independent Gaussian features of standard deviation "
    "0.3, centred, one global scale; accepted gap 10%.",
)
