"""``xiao2024-fig4``: spectra of K and Ksig, and their power-law exponents."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from signscope._core.progress import Meter
from signscope._core.random import stream
from signscope.limits.spectrum import arcsine_matrix
from signscope.problems import Covariance, power_law, rotated
from signscope.reproduce.claims import Claim, Rows, at_least, near, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

FLOOR = math.pi / 2 - 1  # what arcsin adds to the diagonal of a correlation matrix
EXPONENTS = (0.5, 0.8, 1.1)
HEAD = 0.1  # share of the eigenvalues that the fits use


@dataclass(frozen=True)
class Size:
    """Dimension, rows of the Monte Carlo covariance of signs, accepted distance of the exponents."""

    dim: int = 600
    draws: int = 60_000
    room: float = 0.1


SIZES = {"full": Size(), "small": Size(dim=100, draws=5_000, room=0.2)}


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Power laws in a random basis: leading exponents, the floor of the bulk, and sampled signs."""
    numbers: Rows = []
    claims: list[Claim] = []
    for index, exponent in enumerate(EXPONENTS):
        meter.update(index / len(EXPONENTS))
        cov = rotated(power_law(size.dim, exponent=exponent), seed)
        root = cov.diagonal().sqrt()
        corr = cov.dense() / torch.outer(root, root)
        signs = arcsine_matrix(cov.dense())
        values = {"K": cov.eigvals, "Ksig": torch.linalg.eigvalsh(signs), "corr": torch.linalg.eigvalsh(corr)}
        spectra = {name: v.flip(0).numpy() for name, v in values.items()}
        numbers += [
            {"exponent": exponent, "matrix": name, "rank": j + 1, "eigenvalue": float(v)}
            for name in ("K", "Ksig")
            for j, v in enumerate(spectra[name])
        ]
        claims += _claims(exponent, spectra, size)
        if index == 0:
            claims.append(_sampled(cov, signs, size, seed))
    return Findings(claims, numbers, lambda: draw(numbers, size))


def _claims(exponent: float, spectra: dict[str, np.ndarray], size: Size) -> list[Claim]:
    head = max(8, int(HEAD * size.dim))
    of_k, of_signs = fitted(spectra["K"][:head]), fitted(spectra["Ksig"][:head] - FLOOR)
    linear = spectra["corr"] + FLOOR
    off = float(np.abs(spectra["Ksig"][1:] / linear[1:] - 1).max())
    name = f"K with exponent {exponent:g}"
    return [
        near(f"{name}: fitted exponent of K's head", of_k, exponent, atol=1e-6),
        near(f"{name}: fitted exponent of Ksig's head above its floor", of_signs, exponent, atol=size.room),
        shown(f"{name}: fitted exponent of Ksig's head, floor included", fitted(spectra["Ksig"][:head])),
        at_least(
            f"{name}: smallest eigenvalue of Ksig minus that of the correlations",
            float(spectra["Ksig"][-1] - spectra["corr"][-1]),
            0.0,
        ),
        shown(f"{name}: largest relative distance of its eigenvalues from those of C + (pi/2 - 1) I", off),
    ]


def fitted(eigvals: np.ndarray) -> float:
    """Exponent p of eigenvalues that fall like rank^-p: least squares in logarithms."""
    ranks = np.arange(1, len(eigvals) + 1)
    return float(-np.polyfit(np.log(ranks), np.log(eigvals), 1)[0])


def _sampled(cov: Covariance, signs: torch.Tensor, size: Size, seed: int) -> Claim:
    """Signs of Gaussian rows have covariance (2/pi) Ksig: root mean square entry against its sampling error."""
    rng = stream(seed, "signs")
    total = torch.zeros_like(signs)
    done = 0
    while done < size.draws:
        count = min(5_000, size.draws - done)
        rows = torch.sign(cov.colour(torch.from_numpy(rng.standard_normal((count, size.dim)))))
        total += rows.T @ rows
        done += count
    expected = 2 / math.pi * signs
    off = ~torch.eye(size.dim, dtype=torch.bool)
    z = (total / size.draws - expected)[off] / ((1 - expected[off] ** 2) / size.draws).sqrt()
    text = f"K with exponent {EXPONENTS[0]:g}: root mean square entry of sampled minus (2/pi) Ksig, in standard errors"
    return near(text, float(z.square().mean().sqrt()), 1.0, atol=0.05)


def draw(numbers: Rows, size: Size) -> "Picture":
    """One panel per exponent; dotted: the power law of K."""
    caption = (
        f"d = {size.dim}, random orthogonal basis. Dashed line: the floor pi/2 - 1 of Ksig. "
        "Dotted: the power law through the first eigenvalue."
    )
    picture, axes = panels(len(EXPONENTS), caption=caption, width=4.6)
    for ax, exponent in zip(axes, EXPONENTS, strict=True):
        for index, matrix in enumerate(("K", "Ksig")):
            rows = [row for row in numbers if row["exponent"] == exponent and row["matrix"] == matrix]
            rank, value = (np.array([row[key] for row in rows]) for key in ("rank", "eigenvalue"))
            style = look(index)
            ax.plot(rank, value, color=style.color, marker=style.marker, ms=3, ls="none", label=matrix)
            ax.plot(rank, value[0] * rank**-exponent, color=style.color, lw=1, ls=":")
        ax.axhline(FLOOR, color="#777777", lw=1, ls="--")
        ax.set(
            xscale="log", yscale="log", xlabel="rank of the eigenvalue", title=f"K: power law, exponent {exponent:g}"
        )
        legend(ax, loc="lower left")
    axes[0].set_ylabel("eigenvalue")
    return picture


run = Experiment(
    "xiao2024-fig4", SIZES, measure, "Chosen here: synthetic power laws of exponent 0.5, 0.8 and 1.1 at d = 600."
)
