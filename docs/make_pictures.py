"""Makes the pictures of the README and the pages: ``python docs/make_pictures.py [FOLDER]``.

Every picture is a prediction next to the mean of real runs, with fixed seeds; all of them take a few minutes. Those of
experiments that take longer (`LONG`) are made where they are named: ``python docs/make_pictures.py FOLDER NAME ...``.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pictures_distributed
import pictures_effects
import pictures_large
import pictures_networks
import pictures_schedules
import pictures_sde
import pictures_tao2026
import torch

import signscope as ss
from signscope.plots import Panel, plot_panels
from signscope.problems import bundled, gaussian_problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent / "pictures"
DPI = 130


def demo(path: Path) -> None:
    """``risk.png`` of ``signscope compare``, as ``make demo`` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "signscope", "compare", "--out", folder, "--force"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        path.write_bytes((Path(folder) / "risk.png").read_bytes())


def heavy_tails(path: Path) -> None:
    """A rotated covariance with Cauchy label noise, where SGD has no risk curve."""
    plain = gaussian_problem(300, spectrum="log:0.01,1", rotated=True, noise="cauchy:2,1")
    problem = ss.LeastSquares(plain.cov, target=5 * plain.target, noise=plain.noise)
    curves: list[ss.Curve] = []
    for optimizer, lr in (("signsgd", 0.6), ("adam", 0.6)):
        curves += _pair(problem, optimizer, lr=lr, horizon=20, num_runs=64, betas=(0.0, 0.9), dtype="float32")
    panel = Panel("300 coordinates, rotated, Cauchy(2, 1) label noise", curves, notes=["SGD: no risk curve exists"])
    _save(plot_panels([panel]), path)


def rows(path: Path) -> None:
    """Digits with standardised columns: Gaussian theory and data-driven flow against runs on the data."""
    problem = ss.LeastSquares.from_data(*bundled("digits"), scale="columns")
    panels: list[Panel] = []
    for title, optimizer, lr in (
        ("signSGD at its best rate", "signsgd", 0.081),
        ("SGD beyond its limit on these rows, 0.060", "sgd", 0.2),
    ):
        curves = _pair(problem, optimizer, lr=lr, horizon=20, num_runs=64, rows="replace")
        theory = ss.predict(problem, optimizer, lr=lr, horizon=20, method="gaussian")
        panels.append(Panel(title, curves, aside=[theory]))
    figure = plot_panels(panels, title="digits, standardised columns, the data's own rows")
    figure.axes[0].set_ylim(0.018, 0.6)
    _save(figure, path)


def bias_floor(path: Path) -> None:
    """SignSGD left running on digits: the risk rises towards the bias floor, and the flow knows."""
    problem = ss.LeastSquares.from_data(*bundled("digits"))
    lr, times = 0.0774, torch.logspace(-0.5, 3.3, 60, dtype=torch.float64)
    curves = _pair(problem, "signsgd", lr=lr, horizon=2000, num_runs=16, rows="replace", times=times)
    theory = ss.predict(problem, "signsgd", lr=lr, horizon=2000, times=times, method="gaussian")
    figure = plot_panels([Panel("digits, centred, one global scale: a long run", curves, aside=[theory])])
    figure.axes[0].set_xscale("log")
    _save(figure, path)


def _pair(problem: ss.LeastSquares, optimizer: Any, *, num_runs: int, **options: Any) -> list[ss.Curve]:
    """Prediction and simulation with the same options."""
    simulated = ss.simulate(problem, optimizer, num_runs=num_runs, **options)
    kept = {name: value for name, value in options.items() if name not in ("rows", "dtype")}
    return [ss.predict(problem, optimizer, **kept), simulated]


def _save(figure: "Figure", path: Path) -> None:
    figure.savefig(path, dpi=DPI)


PICTURES: dict[str, Callable[[Path], None]] = {
    "effects": pictures_effects.effects,
    "homogenized": pictures_effects.homogenized,
    "schedules": pictures_schedules.schedules,
    "very-large": pictures_large.very_large,
    "sde-statements": pictures_sde.statements,
    "demo": demo,
    "heavy-tails": heavy_tails,
    "rows": rows,
    "bias-floor": bias_floor,
}
LONG: dict[str, Callable[[Path], None]] = {
    "networks": pictures_networks.networks,
    "break-even": pictures_distributed.break_even,
    **pictures_tao2026.PICTURES,
}


def main(folder: str | Path = HERE, *names: str) -> None:
    """Write these pictures into ``folder``, or all but the long ones."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        (PICTURES | LONG)[name](Path(folder) / f"{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
