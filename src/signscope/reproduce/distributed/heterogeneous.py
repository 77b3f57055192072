"""``jiang2024-heterogeneous``: workers whose objectives differ, and where each distributed method ends."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near, shown
from signscope.reproduce.distributed import plans
from signscope.reproduce.distributed.instances import (
    CENTRES,
    COMPONENTS,
    CURVATURE,
    DIM,
    NOISE,
    PULLS,
    Crew,
    finite_sums,
    log_cosh,
    quadratics,
)
from signscope.reproduce.experiment import Experiment, Findings
from signscope.simulation.workers import WorkerRun, simulate_workers

NAME = "jiang2024-heterogeneous"
RECORDED = 500
RADIUS = 6.0  # of random signs on the quadratics: the largest gradient on their way
RADIUS_VOTE = max(abs(b) for b in PULLS) + CURVATURE + NOISE  # the largest stochastic gradient on log cosh
TAIL = 0.5


@dataclass(frozen=True)
class Size:
    """How much is run: numbers of moves K, copies of the 8 coordinates, moves on the quadratics."""

    steps: tuple[int, ...] = (500, 1500, 4500, 13_500)
    num_runs: int = 24
    quadratic_steps: int = 3000


SIZES = {"full": Size(), "small": Size((100, 200), 4, 300)}


@dataclass(frozen=True)
class Entry:
    """One compared method.

    Attributes:
        label: In legends and tables.
        method: Name for `simulate_workers`.
        plan: Its parameters.
        limit: Where it must end on heterogeneous data: "optimum", "vote" (where the mean of random votes vanishes),
            or "away" (with the majority of workers, to the end).
        slopes: Accepted exponent of the mean gradient norm against K; None: not judged.
        options: Fixed options.
        is_single: One copy at a time, because the method mixes copies through a common scale.
        is_finite_sum: On finite sums.
    """

    label: str
    method: str
    plan: plans.Planner
    limit: str
    slopes: tuple[float, float] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    is_single: bool = False
    is_finite_sum: bool = False


ENTRIES = (
    Entry("majority vote (signSGD)", "majority-vote", plans.vote, "away"),
    Entry("majority vote (Signum)", "majority-vote", plans.signum, "away"),
    Entry("SSDM", "ssdm", plans.vote, "away", is_single=True),
    Entry("sto-signSGD", "sto-sign", plans.random_vote, "vote"),
    Entry("MV-sto-signSGD-SIM", "mv-sto-signsgd-sim", plans.random_vote, "vote"),
    Entry("SSVR-MV option 1", "ssvr-mv", plans.ssvr_mv, "vote"),
    Entry("SSVR-MV option 2", "ssvr-mv", plans.ssvr_mv, "optimum", (-0.32, -0.20), {"server": "random"}),
    Entry("EF-sign", "ef-sign", plans.error_feedback, "optimum"),
    Entry("DVR-Sign", "dvr-sign", plans.dvr_sign, "optimum", (-0.42, -0.29)),
    Entry("DVR-Q", "dvr-q", plans.dvr_q, "optimum", (-0.42, -0.29)),
    Entry("DVR-Sign-FS", "dvr-sign-fs", plans.dvr_sign_fs, "optimum", (-0.52, -0.47), is_finite_sum=True),
    Entry("DVR-Q-FS", "dvr-q-fs", plans.dvr_q_fs, "optimum", (-math.inf, -0.45), is_finite_sum=True),
)
SLOPES = {"SSVR-MV option 2": -1 / 4, "DVR-Sign": -1 / 3, "DVR-Q": -1 / 3, "DVR-Sign-FS": -1 / 2, "DVR-Q-FS": -1 / 2}
"""Exponents of theory."""


def resting_slope(radius: float) -> float:
    r"""Slope f' of the mean objective where the majority of random signs has no drift.

    Three voters with means $m_j = g_j / R$ agree on average on $(m_1 + m_2 + m_3 - m_1 m_2 m_3)/2$, so that
    $3 f' R^2 = \prod_j (f' + b_j)$.
    """
    return _root(np.poly([-b for b in PULLS]), 3 * radius**2, 0.0)


def resting_point(radius: float) -> float:
    """The same for the quadratics, as the point x."""
    return _root(np.poly(CENTRES), 3 * radius**2, -sum(CENTRES) * radius**2)


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Runs everything."""
    with _one_thread():
        rows, tails = _rates(size, seed, meter)
        paths = _quadratic_paths(size, seed)
    is_full = len(size.steps) > 2
    found = [*_rate_claims(rows, size, is_full), *_tail_claims(tails, is_full), *_quadratic_claims(paths, is_full)]
    from signscope.reproduce.distributed.heterogeneous_figure import draw

    points = [{"part": "log cosh", **row} for row in rows] + [{"part": "slope in the tail", **row} for row in tails]
    return Findings(found, points, lambda: draw(rows, tails, paths))


def _rates(size: Size, seed: int, meter: Meter) -> tuple[Rows, Rows]:
    """Mean gradient norm for every method and K, and the mean slope in the second half of the longest run."""
    rows: Rows = []
    tails: Rows = []
    done, work = 0, len(ENTRIES) * sum(size.steps)
    for entry in ENTRIES:
        for steps in size.steps:
            width = DIM * (1 if entry.is_single else size.num_runs)
            make = finite_sums if entry.is_finite_sum else log_cosh
            crew = make(width, num_calls=2 * steps, seed=seed)
            choice = entry.plan(_terms(crew), steps)
            run, kept = _walk(entry, crew, choice, steps=steps, width=width, seed=seed)
            slopes = crew.slope(run.path[kept]).view(-1, width // DIM, DIM)
            row = {"method": entry.label, "steps": steps, "lr": choice.options["lr"], **_norms(slopes)}
            rows.append({**row, "bound": choice.bound, "bound_norm": choice.norm})
            done += steps
            meter.update(done / work, f"{entry.label}, {steps} moves")
            if steps == max(size.steps):
                tails.append({"method": entry.label, "steps": steps, "limit": entry.limit, **_tail(slopes)})
    return rows, tails


def _terms(crew: Crew) -> plans.Terms:
    return plans.Terms(
        dim=DIM,
        num_workers=len(PULLS),
        initial_gap=crew.initial_gap,
        curvature=CURVATURE,
        largest=RADIUS_VOTE,
        noise=NOISE,
        second_moment=DIM * ((max(abs(b) for b in PULLS) + CURVATURE) ** 2 + NOISE**2),
        period=COMPONENTS,
    )


def _walk(
    entry: Entry, crew: Crew, choice: plans.Choice, *, steps: int, width: int, seed: int
) -> tuple[WorkerRun, torch.Tensor]:
    """The run, and which rows of its path lie behind the first batches."""
    first = choice.options.get("init_batches", 1) - 1
    extra: dict[str, Any] = {"full_gradients": crew.full_gradients} if entry.is_finite_sum else {}
    run = simulate_workers(
        crew.gradients,
        torch.ones(width, dtype=torch.float64),
        method=entry.method,
        num_steps=steps + first,
        block_size=DIM,
        seed=seed,
        record_every=max(1, steps // RECORDED),
        **entry.options,
        **choice.options,
        **extra,
    )
    return run, torch.tensor(run.steps) >= first


def _norms(slopes: torch.Tensor) -> dict[str, float]:
    """Mean l1 and l2 norm along the path, with the standard error of the first over copies."""
    l1, l2 = slopes.abs().sum(2).mean(0), slopes.norm(dim=2).mean(0)
    return {"l1": float(l1.mean()), "l1_stderr": _stderr(l1), "l2": float(l2.mean())}


def _tail(slopes: torch.Tensor) -> dict[str, float]:
    """Mean slope per coordinate over the second half, and its standard error over copies (or coordinates)."""
    late = slopes[int(TAIL * len(slopes)) :].mean(0)
    each = late.mean(1) if len(late) > 1 else late[0]
    return {"slope": float(late.mean()), "slope_stderr": _stderr(each)}


def _stderr(values: torch.Tensor) -> float:
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else math.nan


def _quadratic_paths(size: Size, seed: int) -> Rows:
    """Mean point against step for every method on the quadratics, from 0."""
    crew, rows = quadratics(), []
    for entry in ENTRIES:
        width = 4 * DIM * size.num_runs if _is_random(entry) else 1
        run = simulate_workers(
            crew.gradients,
            torch.zeros(width, dtype=torch.float64),
            method=entry.method,
            num_steps=size.quadratic_steps,
            seed=seed,
            record_every=max(1, size.quadratic_steps // 100),
            block_size=DIM,
            **(entry.options | _quadratic_options(entry, crew)),
        )
        spread = float(run.final.std() / width**0.5) if width > 1 else 0.0
        points = zip(run.steps, run.path.mean(1).tolist(), strict=True)
        same = {"method": entry.label, "limit": entry.limit, "x_stderr": spread}
        rows += [{**same, "steps": t, "x": x} for t, x in points]
    return rows


def _is_random(entry: Entry) -> bool:
    """Whether the votes are random signs of a fixed radius, so that coordinates are independent copies."""
    return entry.plan in (plans.random_vote, plans.ssvr_mv)


def _quadratic_options(entry: Entry, crew: Crew) -> dict[str, Any]:
    """A rate of order 1/sqrt(t) where the step does not shrink by itself; a small one for random signs."""
    if _is_random(entry):
        return {"lr": 0.02, "radius": RADIUS, "beta": 0.5}
    if entry.method == "ef-sign":
        return {"lr": 0.05}
    extra: dict[str, Any] = {"full_gradients": crew.full_gradients, "period": 10} if entry.is_finite_sum else {}
    if entry.plan is plans.signum:
        extra["momentum"] = 0.9
    if entry.method == "ssdm":
        extra["momentum"] = 0.0
    return {"lr": lambda move: 0.2 / math.sqrt(1 + move), "beta": 0.3, **extra}


# --- claims -----------------------------------------------------------------------------------------------------------


def fitted(rows: Rows, label: str, *, last: int | None = None) -> float:
    """Exponent of the mean norm against K: least squares on logarithms, over all K or the ``last`` ones."""
    own = [row for row in rows if row["method"] == label][-(last or 0) :]
    return float(np.polyfit(np.log([r["steps"] for r in own]), np.log([r["l1"] for r in own]), 1)[0])


def _rate_claims(rows: Rows, size: Size, is_full: bool) -> Iterator[Claim]:
    for entry in ENTRIES:
        theory, text = SLOPES.get(entry.label, math.nan), f"{entry.label}: exponent of the mean l1 norm in K"
        yield shown(f"{text}, all K", fitted(rows, entry.label), theory)
        late = f"{text}, last two K"
        if entry.slopes is not None and is_full:
            yield Claim(late, fitted(rows, entry.label, last=2), theory, *entry.slopes)
        elif entry.limit == "vote" and is_full:
            yield at_least(f"{late} (a floor)", fitted(rows, entry.label, last=2), -0.1)
    for row in (row for row in rows if row["steps"] == max(size.steps) and not math.isnan(row["bound"])):
        text = f"{row['method']}: mean {row['bound_norm']} norm over its bound, K = {row['steps']}"
        value = row[row["bound_norm"]] / row["bound"]
        if row["method"] != "SSVR-MV option 1":  # the bound is that of option 2
            yield at_most(text, value, 1.0)


def _tail_claims(tails: Rows, is_full: bool) -> Iterator[Claim]:
    """Votes drift from 1 to their resting point within thousands of moves: judged at the full size alone."""
    root = resting_slope(RADIUS_VOTE)
    for row in tails:
        text, value = f"{row['method']}: mean slope f' in the second half of the longest run", row["slope"]
        expected = {"optimum": 0.0, "vote": root, "away": -CURVATURE}[row["limit"]]
        if not is_full:
            yield shown(text, value, expected)
        elif row["limit"] == "away":
            yield Claim(text, value, expected, expected - 1e-9, -0.09)
        else:
            yield near(text, value, expected, atol=0.005 if row["limit"] == "optimum" else 0.004)


def _quadratic_claims(paths: Rows, is_full: bool) -> Iterator[Claim]:
    limits = {"optimum": sum(CENTRES) / 3, "vote": resting_point(RADIUS), "away": float(np.median(CENTRES))}
    for entry in ENTRIES:
        own = [row for row in paths if row["method"] == entry.label]
        late = own[-(len(own) // 4) :]
        value = float(np.mean([row["x"] for row in late]))
        text = f"quadratics, {entry.label}: mean x of the last quarter"
        is_random = _is_random(entry)
        if is_random and not is_full:
            yield shown(text, value, limits[entry.limit])
        else:
            yield near(text, value, limits[entry.limit], atol=0.01 + 4.5 * late[-1]["x_stderr"])


def _root(cubic: np.ndarray, linear: float, constant: float) -> float:
    """The real root of ``cubic(z) = linear z + constant`` next to that of the right side."""
    roots = np.roots(cubic - np.array([0, 0, linear, constant]))
    centre = -constant / linear
    real = [float(r.real) for r in roots if abs(r.imag) < 1e-9]
    return min(real, key=lambda r: abs(r - centre))


class _one_thread:
    """Tiny tensors are handled faster by one thread."""

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)


run = Experiment(
    NAME,
    SIZES,
    measure,
    "Chosen here: noise +-0.1; 24 copies of 8 coordinates (one for SSDM, whose scale would couple them), all started "
    "at 1; radius of random signs 1.1, the largest value that occurs; on the quadratics rates of 0.2/sqrt(t) or "
    "small constants.",
)
