"""``xiao2024-table1``: phi and psi per noise law, closed forms against Monte Carlo in high dimension."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.noise import NoiseLaw
from signscope.reproduce.claims import Claim, Rows, at_most, near
from signscope.reproduce.drawing import COLORS, MARKERS, legend, panels
from signscope.reproduce.experiment import Experiment, Findings
from signscope.reproduce.xiao2024.laws import (
    REFERENCE,
    exact_compression,
    exact_slope,
    sampled_batch_slope,
    sampled_slope,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

RISKS = (0.01, 0.1, 1.0)
BATCHES = (2, 5, 20)
BATCH_RISK = 0.1
LIMIT = 4.5  # standard errors


@dataclass(frozen=True)
class Size:
    """How much is run: Monte Carlo samples of single rows and of mini-batches, full rows of dimension ``dim``."""

    draws: int = 2_000_000
    batch_draws: int = 200_000
    rows: int = 200_000
    dim: int = 500


SIZES = {"full": Size(), "small": Size(draws=20_000, batch_draws=4_000, rows=1_000, dim=100)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Every law at three risks and three batch sizes, and the mean of the signed gradient of whole rows."""
    numbers: Rows = []
    claims: list[Claim] = []
    for index, (label, law) in enumerate(REFERENCE.items()):
        meter.update(index / len(REFERENCE), label)
        rows = _single(label, law, size, seed) + _batches(label, law, size, seed)
        numbers += rows
        worst = max(abs(row["sampled"] - row["phi"]) / row["stderr"] for row in rows)
        claims.append(at_most(f"{label}: largest |sampled - phi_B| in standard errors", worst, LIMIT))
        slope, stderr = row_slope(law, size, seed)
        expected = float(exact_slope(law, np.array([BATCH_RISK]))[0])
        text = f"{label}: slope of the mean of sign(x) sign(residual), rows of d = {size.dim}"
        # Exact here is arcsin, not its slope: the relative difference is of order 1/d.
        claims.append(near(text, slope, expected, rtol=2 / size.dim, atol=LIMIT * stderr))
    return Findings(claims, numbers, lambda: draw(numbers, size))


def _single(label: str, law: NoiseLaw, size: Size, seed: int) -> Rows:
    risks = np.array(RISKS)
    mean, stderr = sampled_slope(law, risks, draws=size.draws, seed=seed)
    phi, psi = exact_slope(law, risks), exact_compression(law, risks)
    return [
        {"law": label, "batch_size": 1, "risk": r, "sampled": m, "stderr": s, "phi": p, "psi": c}
        for r, m, s, p, c in zip(risks, mean, stderr, phi, psi, strict=True)
    ]


def _batches(label: str, law: NoiseLaw, size: Size, seed: int) -> Rows:
    rows = []
    for batch in BATCHES:
        mean, stderr = sampled_batch_slope(law, BATCH_RISK, batch_size=batch, draws=size.batch_draws, seed=seed)
        risk = np.array([BATCH_RISK])
        phi = float(exact_slope(law, risk, batch_size=batch)[0])
        psi = float(exact_compression(law, risk, batch_size=batch)[0])
        fixed = {"law": label, "batch_size": batch, "risk": BATCH_RISK}
        rows.append({**fixed, "sampled": mean, "stderr": stderr, "phi": phi, "psi": psi})
    return rows


def row_slope(law: NoiseLaw, size: Size, seed: int) -> tuple[float, float]:
    """The phi with E sign(x) sign(<x,v> - eps) = phi v for rows x ~ N(0, I) of dimension d, and its standard error.

    Projected on v: v' E[...] / |v|^2, with |v|^2 = 2R.
    """
    rng = stream(seed, "rows", law.spec)
    v = rng.standard_normal(size.dim)
    v *= math.sqrt(2 * BATCH_RISK) / np.linalg.norm(v)
    values = np.empty(size.rows)
    for begin in range(0, size.rows, 2_000):
        x = rng.standard_normal((min(2_000, size.rows - begin), size.dim), dtype=np.float32)
        residual = x @ v - law.sample(len(x), rng)
        values[begin : begin + len(x)] = (np.sign(x) @ v) * np.sign(residual) / (2 * BATCH_RISK)
    return float(values.mean()), float(values.std() / math.sqrt(size.rows))


def draw(numbers: Rows, size: Size) -> "Picture":
    """The table as a picture: sampled over exact minus 1, in per cent, per law."""
    caption = (
        f"Monte Carlo against closed forms: {size.draws:,} rows, {size.batch_draws:,} batches; bars: 2 standard errors."
    )
    picture, (ax,) = panels(1, caption=caption, width=10.5)
    series = [(1, risk) for risk in RISKS] + [(batch, BATCH_RISK) for batch in BATCHES]
    for index, (batch, risk) in enumerate(series):
        rows = [row for row in numbers if row["batch_size"] == batch and row["risk"] == risk]
        phi = np.array([row["phi"] for row in rows])
        off = 100 * (np.array([row["sampled"] for row in rows]) / phi - 1)
        bars = 200 * np.array([row["stderr"] for row in rows]) / phi
        place = np.arange(len(rows)) + 0.1 * (index - 2.5)
        look = {"ls": "none", "color": COLORS[index], "marker": MARKERS[index], "mfc": "white", "ms": 5}
        ax.errorbar(place, off, yerr=bars, label=f"B = {batch}, R = {risk:g}", **look)
    ax.axhline(0, color="#777777", lw=1)
    ax.set_xticks(range(len(REFERENCE)), list(REFERENCE), fontsize=8, rotation=20, ha="right")
    ax.set(xlabel="noise law", ylabel="sampled / closed form - 1 (%)", title="Slope phi_B(R) of the mean sign")
    ax.set_ylim(-4, 4)  # Rademacher at R = 0.01 is a rare event; its bar leaves the picture
    legend(ax, ncols=2)
    return picture


run = Experiment("xiao2024-table1", SIZES, measure, "Chosen here: the laws of the package's reference table.")
