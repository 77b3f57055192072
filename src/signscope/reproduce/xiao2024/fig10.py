"""``xiao2024-fig10``: residuals of least squares on CIFAR-10 and IMDB, with Gaussian and mixture fits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from signscope._core.progress import Meter
from signscope.noise import Empirical, Gaussian, NoiseLaw, fit_mixture
from signscope.reproduce.claims import Claim, Rows, at_most, shown
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Findings
from signscope.reproduce.xiao2024.laws import exact_slope
from signscope.reproduce.xiao2024.real import DataExperiment, real_problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLES = {"cifar10": "CIFAR-10, animals against vehicles", "imdb": "IMDB reviews"}
FITS = {"Gaussian": 1, "mixture of two Gaussians": 2}
KOLMOGOROV = 0.05  # largest accepted distance of the law the paper uses
SLOPE = 0.05  # largest accepted relative distance of its phi
RISKS = (0.02, 0.1, 0.5)


@dataclass(frozen=True)
class Size:
    """Bins of the histogram; whether few features and rows are used."""

    bins: int = 80
    is_small: bool = False


SIZES = {"full": Size(), "small": Size(bins=30, is_small=True)}


def measure(chosen: tuple[Size, dict[str, str]], seed: int, meter: Meter) -> Findings:
    """Fits per data set: Kolmogorov distance, and what the difference does to phi."""
    size, places = chosen
    numbers: Rows = []
    claims: list[Claim] = []
    fits: dict[str, dict[str, NoiseLaw]] = {}
    for index, (kind, place) in enumerate(places.items()):
        meter.update(index / len(places), kind)
        problem = real_problem(place, seed=seed, is_small=size.is_small)
        assert problem.rows is not None
        residuals = problem.rows.residuals.numpy()
        fits[kind] = {name: fit_mixture(residuals, max_components=k, seed=seed) for name, k in FITS.items()}
        height, edges = np.histogram(residuals, bins=size.bins, density=True)
        numbers += [
            {"data": kind, "residual": float((a + b) / 2), "density": float(h)}
            for a, b, h in zip(edges[:-1], edges[1:], height, strict=True)
        ]
        claims += _claims(kind, residuals, fits[kind])
    return Findings(claims, numbers, lambda: draw(numbers, fits))


def distance(residuals: np.ndarray, law: NoiseLaw) -> float:
    """Kolmogorov distance of a sample from a law."""
    ordered = np.sort(residuals)
    values = law.cdf(torch.from_numpy(ordered)).numpy()
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((values - steps[:-1]).max(), (steps[1:] - values).max()))


def slope_off(residuals: np.ndarray, law: NoiseLaw) -> float:
    """Largest relative distance of phi under ``law`` from phi under the residuals themselves."""
    risks = np.array(RISKS)
    own = exact_slope(Empirical(torch.from_numpy(residuals)), risks)
    return float(np.abs(exact_slope(law, risks) / own - 1).max())


def _claims(kind: str, residuals: np.ndarray, fits: dict[str, NoiseLaw]) -> list[Claim]:
    used = "Gaussian" if kind == "cifar10" else "mixture of two Gaussians"
    claims: list[Claim] = []
    for name, law in fits.items():
        apart, off = distance(residuals, law), slope_off(residuals, law)
        texts = (f"{kind}, {name}: Kolmogorov distance", f"{kind}, {name}: largest relative distance of phi")
        if name == used:
            claims += [at_most(texts[0], apart, KOLMOGOROV), at_most(texts[1], off, SLOPE)]
        else:
            claims += [shown(texts[0], apart), shown(texts[1], off)]
    return claims


def draw(numbers: Rows, fits: dict[str, dict[str, NoiseLaw]]) -> "Picture":
    """One panel per data set."""
    picture, axes = panels(len(fits), caption="Bars: residuals y - <x, least squares>, labels +1 and -1.")
    for ax, (kind, laws) in zip(axes, fits.items(), strict=True):
        rows = [row for row in numbers if row["data"] == kind]
        x, density = (np.array([row[key] for row in rows]) for key in ("residual", "density"))
        ax.bar(x, density, width=x[1] - x[0], color="#c8c8c8", label="residuals")
        grid = np.linspace(x[0], x[-1], 400)
        for index, (name, law) in enumerate(laws.items()):
            if isinstance(law, Gaussian) and name != "Gaussian":
                continue  # the criterion preferred one component
            style = look(index)
            ax.plot(grid, law.pdf(torch.from_numpy(grid)).numpy(), color=style.color, ls=style.dash, lw=2, label=name)
        ax.set(xlabel="residual (label units)", ylabel="density", title=TITLES[kind])
        legend(ax)
    return picture


run = DataExperiment(
    "xiao2024-fig10",
    SIZES,
    measure,
    "Accepted for the law that the paper uses (CIFAR-10: Gaussian, IMDB: mixture of two): Kolmogorov distance 0.05 and "
    "5% in phi.",
    kinds=("cifar10", "imdb"),
)
