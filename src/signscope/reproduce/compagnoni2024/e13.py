"""``compagnoni2024-e13``: how probable excursions are for SignSGD and for its SDE."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from signscope._core.progress import Meter
from signscope.reproduce.claims import Claim, Rows, near
from signscope.reproduce.compagnoni2024.sign_model import stationary
from signscope.reproduce.drawing import legend, look, panels
from signscope.reproduce.experiment import Experiment, Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

EXPECTED = {  # lr: standard deviations, SDE over optimizer
    0.01: ((2, 0.99), (3, 0.95), (4, 0.85), (5, 0.66), (6, 0.41)),
    0.1: ((2.2, 0.86), (2.9, 0.56), (4.1, 0.08)),
}


@dataclass(frozen=True)
class Size:
    """How much is run: ``points`` distances per rate in the picture."""

    points: int = 200


SIZES = {"full": Size(), "small": Size(points=40)}


def tails(lr: float, cuts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """P(|x| > c) of optimizer and SDE, c = ``cuts`` standard deviations, moved between two points of the lattice."""
    (x, p), (y, q) = stationary(lr)
    c = cuts * (p * x * x).sum().sqrt()
    c = (torch.floor(c / lr) + 0.5) * lr
    return tuple((w * (z.abs() > c[:, None])).sum(1) for z, w in ((x, p), (y, q)))  # pyright: ignore[reportReturnType]


def measure(size: Size, seed: int, meter: Meter) -> Findings:
    """Both stationary laws, without sampling."""
    claims: list[Claim] = []
    numbers: Rows = []
    for lr, table in EXPECTED.items():
        own, model = tails(lr, torch.tensor([c for c, _ in table], dtype=torch.float64))
        for (cut, wanted), ratio in zip(table, (model / own).tolist(), strict=True):
            text = f"lr {lr:g}: P(|x| > {cut:g} standard deviations), SDE / optimizer"
            claims.append(near(text, ratio, wanted, atol=0.03))
        cuts = torch.linspace(0.5, 6.0, size.points).double()
        own, model = tails(lr, cuts)
        rows = zip(cuts.tolist(), own.tolist(), model.tolist(), strict=True)
        numbers += [{"lr": lr, "deviations": c, "optimizer": a, "sde": b} for c, a, b in rows if b > 1e-14]
    return Findings(claims, numbers, lambda: draw(numbers))


def draw(numbers: Rows) -> "Picture":
    """Tails left, their ratio right."""
    caption = (
        "f = x^2/2, noise of variance 1. Stationary laws: optimizer by detailed balance on its lattice, SDE "
        "by its density."
    )
    picture, (left, right) = panels(2, caption=caption)
    for index, lr in enumerate(EXPECTED):
        rows = [row for row in numbers if row["lr"] == lr]
        x = [row["deviations"] for row in rows]
        for kind, dash in (("optimizer", "-"), ("sde", "--")):
            name = "SDE" if kind == "sde" else kind
            left.plot(x, [r[kind] for r in rows], color=look(index).color, ls=dash, label=f"lr {lr:g}, {name}")
        ratio = [r["sde"] / r["optimizer"] for r in rows]
        right.plot(x, ratio, color=look(index).color, label=f"lr {lr:g}")
        right.plot(*zip(*EXPECTED[lr], strict=True), "o", mfc="white", color=look(index).color, label="_specification")
    left.set(yscale="log", ylim=(1e-10, 2), xlabel="distance c / standard deviation", ylabel="P(|x| > c)")
    left.set_title("The SDE has lighter tails")
    right.set(xlabel="distance c / standard deviation", ylabel="P(|x| > c), SDE / optimizer")
    right.set_title("Rare events become too rare (circles: expected)")
    for ax in (left, right):
        legend(ax)
    return picture


run = Experiment(
    "compagnoni2024-e13", SIZES, measure, "Chosen here: h = sigma = 1; distances halfway between lattice points."
)
