"""``jiang2024-adversaries``: votes with workers that lie, flip their signs or come late."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from signscope._core.equations import equation
from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.reproduce.claims import Claim, Rows, at_least, at_most, near, shown
from signscope.reproduce.experiment import Experiment, Findings
from signscope.simulation.workers import Gradient, simulate_workers

NAME = "jiang2024-adversaries"
ACCURACIES = (0.55, 0.6, 0.9)
TEAM, DIM, LR, MOMENTUM = 10, 64, 0.02, 0.9
METHODS: dict[str, dict[str, Any]] = {
    "majority vote": {"method": "majority-vote"},
    "Signum vote": {"method": "majority-vote", "momentum": MOMENTUM},
    "SSVR-MV": {"method": "ssvr-mv", "beta": 0.1, "radius": 2.0},
    "EF-sign": {"method": "ef-sign", "lr": 0.2},
    "DVR-Sign": {"method": "dvr-sign", "beta": 0.1, "init_batches": 10},
}
LOUD = 30.0
KINDS = {"flips": 0.0, "lies": 1.0, "lies loudly": LOUD}
"""What bad workers do: send the opposite of their own signs, or follow minus the exact gradient, so many times."""


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        voters: Workers of a single vote.
        coordinates: Independent votes.
        shares: Shares of bad voters.
        steps: Of a descent.
        bad: Numbers of bad workers among `TEAM`.
        delays: Moves by which votes come late.
    """

    voters: int = 100
    coordinates: int = 8192
    shares: tuple[float, ...] = tuple(k / 25 for k in range(16))
    steps: int = 300
    bad: tuple[int, ...] = (0, 1, 2, 4)
    delays: tuple[int, ...] = (0, 4, 16, 64)


SIZES = {"full": Size(), "small": Size(20, 1024, (0.0, 0.2, 0.6), 80, (0, 1), (0, 4))}


@equation("signscope", "share of lying voters that a majority withstands")
def tolerated(accuracy: float) -> float:
    r"""Largest share of voters that always send the wrong sign, for honest voters right with probability p.

    $$ (1 - \alpha) p > \tfrac12 \quad\Longleftrightarrow\quad \alpha < 1 - \frac{1}{2p} $$

    Args:
        accuracy: p, in (1/2, 1].
    """
    return 1 - 1 / (2 * accuracy)


@equation("signscope", "resting distance of a majority vote with liars")
def resting_distance(share: float, noise: float) -> float:
    r"""Distance from the optimum of a quadratic at which liars and honest workers balance.

    $$ (1 - \alpha)\, \Phi(x / \sigma) = \tfrac12 $$

    Honest workers see the gradient x with Gaussian noise. Nearer to the optimum fewer of them are right, so that any
    share of liars keeps the vote away from it.

    Args:
        share: alpha, in [0, 1/2).
        noise: sigma of what is voted on.
    """
    return noise * NormalDist().inv_cdf(0.5 / (1 - share))


def right_votes(voters: int, bad: int, accuracy: float, *, kind: str) -> float:
    """Exact probability that the majority is right; a tie counts half.

    Args:
        voters: All voters.
        bad: Those that lie or flip.
        accuracy: Probability that an honest voter is right.
        kind: "lies": always wrong; "flips": wrong whenever an honest voter would be right.
    """
    from scipy.stats import binom

    honest = binom.pmf(np.arange(voters - bad + 1), voters - bad, accuracy)
    others = binom.pmf(np.arange(bad + 1), bad, 1 - accuracy) if kind == "flips" else np.eye(1, bad + 1)[0]
    law = np.convolve(honest, others)
    count = np.arange(len(law))
    return float(law[2 * count > voters].sum() + 0.5 * law[2 * count == voters].sum())


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Single votes, descents with bad workers, descents with late votes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        votes = _votes(size, seed)
        meter.update(0.2, "single votes done")
        descents = _descents(size, seed, meter)
        late = _late(size, seed, meter)
    finally:
        torch.set_num_threads(before)
    from signscope.reproduce.distributed.adversaries_figure import draw

    found = [*_vote_claims(votes, size), *_descent_claims(descents, size), *_late_claims(late, size, seed)]
    numbers = [{"part": "one vote", **row} for row in votes]
    numbers += [{"part": "bad workers", **row} for row in descents] + [{"part": "late", **row} for row in late]
    return Findings(found, numbers, lambda: draw(votes, descents, late))


def _votes(size: Size, seed: int) -> Rows:
    """Share of right majorities over independent coordinates, next to the exact probability."""
    rows: Rows = []
    for accuracy in ACCURACIES:
        for kind in ("lies", "flips"):
            for share in size.shares:
                bad = round(share * size.voters)
                right = _one_vote(size, bad, accuracy, kind=kind, seed=seed)
                exact = right_votes(size.voters, bad, accuracy, kind=kind)
                rows.append({"accuracy": accuracy, "kind": kind, "share": share, "right": right, "exact": exact})
    return rows


def _one_vote(size: Size, bad: int, accuracy: float, *, kind: str, seed: int) -> float:
    def honest(worker: int) -> Gradient:
        drawn = stream(seed, "votes", worker).random(size.coordinates)
        return lambda theta, _: torch.from_numpy(accuracy - drawn)

    workers = [honest(j) for j in range(size.voters)]
    if kind == "lies":
        workers[:bad] = [lambda theta, _: torch.full_like(theta, -1.0)] * bad
    flipped = range(bad) if kind == "flips" else ()
    start = torch.zeros(size.coordinates, dtype=torch.float64)
    run = simulate_workers(workers, start, method="majority-vote", lr=1.0, num_steps=1, flipped=flipped, seed=seed)
    return float((run.final < 0).double().mean())


def _descents(size: Size, seed: int, meter: Meter) -> Rows:
    rows: Rows = []
    for label in METHODS:
        for kind in KINDS:
            for bad in size.bad:
                rows.append({"method": label, "kind": kind, "bad": bad, **_rest(label, size, seed, kind=kind, bad=bad)})
        meter.update(0.2 + 0.5 * len(rows) / (len(METHODS) * len(KINDS) * len(size.bad)), f"{label} with bad workers")
    return rows


def _late(size: Size, seed: int, meter: Meter) -> Rows:
    rows: Rows = []
    for label in METHODS:
        for who, count in (("all", TEAM), ("three of ten", 3)):
            for delay in size.delays:
                delays = [delay] * count + [0] * (TEAM - count)
                rows.append({"method": label, "late": who, "delay": delay, **_rest(label, size, seed, delays=delays)})
        meter.update(0.7 + 0.3 * len(rows) / (len(METHODS) * 2 * len(size.delays)), f"{label}, late")
    return rows


def _rest(
    label: str,
    size: Size,
    seed: int,
    *,
    kind: str = "flips",
    bad: int = 0,
    delays: Sequence[int] | None = None,
    noise: float = 1.0,
) -> dict[str, float]:
    """Mean distance from the optimum in the last half of a descent on |x|^2 / 2, and its standard error."""

    def honest(worker: int) -> Gradient:
        drawn = stream(seed, "noise", worker).standard_normal((size.steps, DIM))
        offsets = noise * torch.from_numpy(drawn)
        return lambda theta, call: theta + offsets[call]

    workers = [honest(j) for j in range(TEAM)]
    if kind != "flips":
        workers[:bad] = [lambda theta, _: -KINDS[kind] * theta] * bad
    run = simulate_workers(
        workers,
        torch.ones(DIM, dtype=torch.float64),
        num_steps=size.steps,
        flipped=range(bad) if kind == "flips" else (),
        delays=delays,
        block_size=DIM,
        seed=seed,
        **{"lr": LR, **METHODS[label]},
    )
    late = run.path[len(run.path) // 2 :].abs().mean(0)
    return {"distance": float(late.mean()), "stderr": float(late.std() / DIM**0.5)}


# --- claims -----------------------------------------------------------------------------------------------------------


def _vote_claims(votes: Rows, size: Size) -> Iterator[Claim]:
    for kind in ("lies", "flips"):
        own = [row for row in votes if row["kind"] == kind]
        spread = [max(row["exact"] * (1 - row["exact"]), 1 / size.coordinates) for row in own]
        scores = [
            abs(r["right"] - r["exact"]) / math.sqrt(s / size.coordinates) for r, s in zip(own, spread, strict=True)
        ]
        yield at_most(
            f"one vote, {kind}: largest distance from the exact probability, standard errors", max(scores), 4.5
        )
        for accuracy in ACCURACIES:
            limit, rows = tolerated(accuracy) if kind == "lies" else 0.5, [r for r in own if r["accuracy"] == accuracy]
            text = f"one vote, {kind}, honest accuracy {accuracy:g}: share of bad voters at which it becomes a coin"
            room = 4.5 * 0.5 / math.sqrt(size.coordinates) / steepness(rows) + (0.01 if len(rows) > 10 else 0.1)
            yield near(text, crossing(rows), limit, atol=room)


def steepness(rows: Rows) -> float:
    """How fast the exact probability falls with the share where it crosses one half."""
    low, high = next((a, b) for a, b in pairwise(rows) if a["exact"] > 0.5 >= b["exact"])
    return (low["exact"] - high["exact"]) / (high["share"] - low["share"])


def crossing(rows: Rows) -> float:
    """Share at which half of the majorities are right, by linear interpolation; NaN if it is not reached."""
    for low, high in pairwise(rows):
        if low["right"] > 0.5 >= high["right"]:
            part = (low["right"] - 0.5) / (low["right"] - high["right"])
            return low["share"] + part * (high["share"] - low["share"])
    return math.nan


def _descent_claims(rows: Rows, size: Size) -> Iterator[Claim]:
    averaged = math.sqrt((1 - MOMENTUM) / (1 + MOMENTUM))

    def distance(label: str, kind: str, bad: int) -> float:
        return next(r["distance"] for r in rows if (r["method"], r["kind"], r["bad"]) == (label, kind, bad))

    def settled(text: str, measured: float, theory: float) -> Claim:
        """A few moves do not reach the rest: shown then."""
        if size.steps < 300:
            return shown(text, measured, theory)
        return near(text, measured, theory, atol=0.05 + 0.1 * theory)

    largest = max(size.bad)
    for kind in ("lies", "lies loudly"):
        for bad in size.bad[1:]:
            theory = resting_distance(bad / TEAM, 1.0)
            text = f"majority vote, {bad} of {TEAM} {kind}: distance at rest"
            yield settled(text, distance("majority vote", kind, bad), theory)
    theory = averaged * resting_distance(largest / TEAM, 1.0)
    text = f"Signum vote, {largest} of {TEAM} lies: distance at rest, smaller since averages are voted on"
    yield settled(text, distance("Signum vote", "lies", largest), theory)
    for label in METHODS:
        text = f"{label}, {largest} of {TEAM} flips: distance at rest"
        yield at_most(text, distance(label, "flips", largest), 0.5)
    for label in ("EF-sign", "DVR-Sign"):
        text = f"{label}, one loud liar: distance at rest (messages carry scales, so it wins)"
        yield at_least(text, distance(label, "lies loudly", 1), 1.0)


def _late_claims(rows: Rows, size: Size, seed: int) -> Iterator[Claim]:
    delay = max(size.delays)
    quiet = _rest("majority vote", size, seed, delays=[delay] * TEAM, noise=0.0)["distance"]
    text = f"majority vote without noise, all {delay} moves late: mean distance (a triangle wave)"
    wave = LR * (2 * delay + 1) / 4
    yield near(text, quiet, wave, rtol=0.15) if size.steps >= 300 else shown(text, quiet, wave)
    for label in METHODS:
        own = {r["delay"]: r["distance"] for r in rows if r["method"] == label and r["late"] == "three of ten"}
        text = f"{label}, three of ten {delay} moves late: distance over that without delay"
        yield at_most(text, own[delay] / own[0], 2.0)


run = Experiment(
    NAME,
    SIZES,
    measure,
    "Chosen here: single votes of 100 workers; descents of ten workers on |x|^2/2 in 64 coordinates from 1, lr 0.02, "
    f"Gaussian noise of variance 1; a loud liar follows -{LOUD:g} times the exact gradient.",
)
