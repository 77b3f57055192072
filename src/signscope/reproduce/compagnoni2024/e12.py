"""``compagnoni2024-e12``: SignSGD on streaming least squares, its SDEs and the limit of high dimension."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from signscope._core.progress import Meter
from signscope.curves import Curve
from signscope.limits import homogenized_paths, predict
from signscope.problems import LeastSquares
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near
from signscope.reproduce.drawing import curve_rows, finish_curves, legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.schedules import Constant
from signscope.sdes.streaming import StreamingSigns, streaming_paths
from signscope.simulation import simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

LR, HORIZON, NOISE = 0.7, 4.0, 0.5
MODELS = {
    "limit": "limit, risk equation",
    "finite": "limit with 1/d terms",
    "homogenized": "homogenized SDE, paths",
    "exact": "SDE, exact moments",
    "gaussian": "SDE, Gaussian gradient",
}
ONE_STEP = {20: (1.013, 1.033), 200: (1.003, 1.011)}  # slope of the mean signs over phi, from the specification


@dataclass(frozen=True)
class Size:
    """How much is run: ``dims``, and at d = 30 ``num_runs`` runs and paths, fewer in proportion to 1/d beyond."""

    dims: tuple[int, ...] = (30, 60, 120, 240)
    num_runs: int = 2000


SIZES = {"full": Size(), "small": Size(dims=(30, 60), num_runs=800)}


def problem(dim: int, noise: float | str = NOISE) -> LeastSquares:
    """Correlations 0.6^|i - j|, standard deviations from 0.4 to 2.5, target from N(0, I/d)."""
    place, std = np.arange(dim), np.logspace(-0.4, 0.4, dim)
    return LeastSquares(0.6 ** np.abs(place[:, None] - place) * np.outer(std, std), noise=noise, seed=2)


def curves_at(dim: int, runs: int, seed: int, *, noise: float | str = NOISE) -> dict[str, Curve]:
    """The algorithm and all models on one problem; without the Gaussian gradient where the noise has no variance."""
    case, times = problem(dim, noise), torch.linspace(0, HORIZON, 17, dtype=torch.float64)
    same = {"lr": LR, "horizon": HORIZON, "times": times}
    dt = max(1.0, dim / 120) / dim  # of an update; relaxation takes a third of a unit of time
    found = {
        "runs": simulate(case, "signsgd", num_runs=runs, seed=seed, **same),
        "limit": predict(case, "signsgd", **same),
        "finite": predict(case, "signsgd", finite_dim=True, **same),
        "homogenized": homogenized_paths(case, "signsgd", num_paths=runs, seed=seed + 1, **same),
        "exact": streaming_paths(case, num_paths=runs, seed=seed + 2, dt=dt, **same),
    }
    if math.isfinite(case.noise.second_moment):
        found["gaussian"] = streaming_paths(case, num_paths=runs, seed=seed + 2, dt=dt, moments="gaussian", **same)
    return found


def row(dim: int, noise: float | str, found: dict[str, Curve]) -> list[dict[str, float | str]]:
    """Late gap, L2 distance and ratio of spreads of every model, with the Monte-Carlo error of the gap."""
    own = found["runs"]
    assert own.runs is not None
    assert own.stderr is not None
    late = slice(8, None)  # the second half
    rows: list[dict[str, float | str]] = []
    for key in found.keys() - {"runs"}:
        curve = found[key]
        error = own.stderr.square() + (0 if curve.stderr is None else curve.stderr.square())
        gap = curve.value[late] / own.value[late] - 1
        has_runs = curve.runs is not None
        spread = (curve.runs[:, late].std(0) / own.runs[:, late].std(0)).mean() if has_runs else math.nan  # pyright: ignore[reportOptionalSubscript]
        rows.append({
            "dim": dim, "noise": str(noise), "model": key, "late": float(gap.mean()),
            "late_error": float((error[late].sqrt() / own.value[late]).mean()),
            "l2": float((curve.value - own.value).norm() / own.value.norm()), "spread": float(spread),
        })  # fmt: skip
    return rows


def one_step(dim: int) -> float:
    """Slope of the mean signs over the linear model's, at the start."""
    case = problem(dim)
    pull = case.displacement[None] @ case.cov.dense() / case.cov.diagonal().sqrt()
    linear = pull * case.noise.phi(case.excess_risk(case.start))
    exact = StreamingSigns(case, Constant(LR)).means(case.displacement[None])
    return float((exact * linear).sum() / linear.square().sum())


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """All models against runs, dimension by dimension."""
    numbers: Rows = []
    shown: dict[str, Curve] = {}
    for index, dim in enumerate(size.dims):
        meter.update(index / (len(size.dims) + 1), f"dim {dim}")
        runs = max(100, size.num_runs * size.dims[0] // dim)
        found = curves_at(dim, runs, seed)
        shown = shown or found
        numbers += row(dim, NOISE, found)
    meter.update(len(size.dims) / (len(size.dims) + 1), "Cauchy noise")
    heavy = row(size.dims[0], "cauchy:0,1", curves_at(size.dims[0], size.num_runs, seed, noise="cauchy:0,1"))
    claims = [*_of_dims(numbers, size), *_of_heavy(heavy), *_one_steps(size)]
    table = [*numbers, *heavy, *curve_rows([(name, curve) for name, curve in shown.items()])]
    return Findings(claims, table, lambda: draw(numbers, shown, size))


def _of(rows: Rows, dim: int, model: str) -> dict[str, float]:
    return next(r for r in rows if r["dim"] == dim and r["model"] == model)


def _of_dims(rows: Rows, size: Size) -> list[Claim]:
    """Accepted: 4 standard errors and a multiple of 1/d that says of which order the model is."""
    claims: list[Claim] = []
    room = {"limit": 1.0, "finite": 0.15, "homogenized": 2.0, "exact": 1.5}
    for dim in size.dims:
        for model, share in room.items():
            found = _of(rows, dim, model)
            allowed = 4 * found["late_error"] + share / dim
            claims.append(
                near(f"d = {dim}, {MODELS[model]}: late risk over that of runs", 1 + found["late"], 1, atol=allowed)
            )
        spread = 4 * 1.2 / math.sqrt(max(100, size.num_runs * size.dims[0] // dim))
        found = _of(rows, dim, "exact")
        claims.append(near(f"d = {dim}, {MODELS['exact']}: spread of paths over that of runs", found["spread"], 1,
                           atol=spread + 0.03))  # fmt: skip
        late = _of(rows, dim, "gaussian")["late"]
        claims.append(at_most(f"d = {dim}, {MODELS['gaussian']}: late risk over that of runs", 1 + late, 0.87))
    first = size.dims[0]
    claims.append(at_least(f"d = {first}, {MODELS['homogenized']}: spread of paths over that of runs",
                           _of(rows, first, "homogenized")["spread"], 1.1))  # fmt: skip
    return claims


def _of_heavy(rows: Rows) -> list[Claim]:
    """Cauchy noise: the gradient has no variance, its signs are as good as any."""
    return [
        near(f"Cauchy noise, d = {r['dim']}, {MODELS[r['model']]}: late risk over that of runs", 1 + r["late"], 1,
             atol=4 * r["late_error"] + 2 / r["dim"])
        for r in sorted(rows, key=lambda r: list(MODELS).index(r["model"]))
    ]  # fmt: skip


def _one_steps(size: Size) -> list[Claim]:
    return [
        Claim(f"d = {dim}: slope of the mean signs over phi", one_step(dim), math.nan, low, high)
        for dim, (low, high) in ONE_STEP.items()
    ]


def draw(rows: Rows, shown: dict[str, Curve], size: Size) -> "Picture":
    """Curves in the least dimension, late gap and spread against the dimension."""
    caption = (
        f"SignSGD, rate {LR:g}, Gaussian label noise {NOISE:g}, correlations 0.6^|i-j|. Bars: 2 standard errors; "
        f"{size.num_runs} runs and paths at d = {size.dims[0]}, fewer beyond. Late: second half of the time."
    )
    picture, (left, middle, right) = panels(3, caption=caption, width=4.6)
    own = shown["runs"]
    for index, (key, name) in enumerate(MODELS.items()):
        style, curve = look(index), shown[key]
        left.plot(curve.time, curve.value, color=style.color, ls=style.dash, lw=1.6, label=name)
        found = [_of(rows, dim, key) for dim in size.dims]
        middle.errorbar(size.dims, [100 * r["late"] for r in found], yerr=[200 * r["late_error"] for r in found],
                        color=style.color, marker=style.marker, mfc="white", ms=5, capsize=2, label=name)  # fmt: skip
        if not math.isnan(found[0]["spread"]):
            right.plot(size.dims, [r["spread"] for r in found], color=style.color, marker=style.marker, mfc="white",
                       ms=5, label=name)  # fmt: skip
    left.plot(own.time, own.value, "o", color="#000000", mfc="white", ms=4, label="runs", zorder=5)
    finish_curves(left, own, title=f"Risk at d = {size.dims[0]}")
    for ax, title, name in ((middle, "Late risk against that of runs", "late gap, percent"),
                            (right, "Spread of paths over that of runs", "ratio of standard deviations")):  # fmt: skip
        ax.axhline(0 if ax is middle else 1, color="#999999", lw=0.9, ls=":")
        ax.set(xscale="log", xlabel="dimension d", ylabel=name)
        ax.set_xticks(size.dims, [str(d) for d in size.dims])
        ax.xaxis.minorticks_off()
        ax.set_title(title)
        legend(ax, fontsize=7.5, loc="center right" if ax is middle else (0.45, 0.3))
    return picture


run = Experiment(
    "compagnoni2024-e12",
    SIZES,
    measure,
    "Chosen here: correlations 0.6^|i-j|, standard deviations 0.4 to 2.5, rate 0.7, noise 0.5, horizon 4 steps/dim.",
)
