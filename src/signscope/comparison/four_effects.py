"""`five_effects`: what each effect of taking signs contributes on one problem."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from signscope._version import __version__
from signscope.comparison.effects_verdict import verdict_text
from signscope.comparison.storage import save_results
from signscope.comparison.summary import FILES, SCHEMA, plain, versions
from signscope.curves import Curve
from signscope.limits.effects import compression_along, crossings, effect_curve
from signscope.plots.effects import NAMES, plot_effects
from signscope.problems import LeastSquares, as_problem
from signscope.rules.effects import EFFECTS
from signscope.schedules import Schedule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FASTER, BETTER = 1.0, math.pi / 2
_DENSE = 2001  # times at which psi is searched for crossings


@dataclass(frozen=True, eq=False)
class Effects:
    """Five risk curves from SGD to signSGD, each with one more effect switched on.

    Attributes:
        problem: The problem.
        curves: SGD at a frozen rate; with the effective rate; with its drift compressed; preconditioned; with its
            noise reshaped, which is signSGD.
        psi: The noise-compression factor along signSGD's curve.
        crossings: Times (steps/dim) at which psi passes 1 (``"one"``) and pi/2 (``"half_pi"``).
        verdict: Who descends faster and when, and what every effect is worth at the end, in sentences.
        options: Resolved options, ready for JSON.
    """

    problem: LeastSquares
    curves: tuple[Curve, ...]
    psi: Curve
    crossings: Mapping[str, tuple[float, ...]]
    verdict: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Curve:
        """The curve of an effect by its name, such as ``"compression"``."""
        return self.curves[EFFECTS.index(name)]

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row per curve: effect, name, final risk, its factor on the curve before, status, message."""
        import pandas as pd

        return pd.DataFrame(
            {
                "effect": EFFECTS,
                "name": [NAMES[name] for name in EFFECTS],
                "final": [curve.final for curve in self.curves],
                "factor": [math.nan, *self.factors],
                "status": [curve.status for curve in self.curves],
                "message": [curve.message for curve in self.curves],
            }
        )

    @property
    def factors(self) -> list[float]:
        """Final risk of each curve over that of the one before it."""
        return [b.final / a.final if a.final > 0 else math.nan for a, b in pairwise(self.curves)]

    def to_frame(self) -> "pd.DataFrame":
        """All curves, and psi, one row per time: effect, time, value."""
        import pandas as pd

        named = [*zip(EFFECTS, self.curves, strict=True), ("psi", self.psi)]
        parts = [curve.to_frame()[["time", "value"]].assign(effect=name) for name, curve in named]
        return pd.concat(parts, ignore_index=True).reindex(columns=["effect", "time", "value"])

    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        problem = self.problem.describe()
        kept = ("dim", "num_rows", "dropped_columns", "condition_number", "noise")
        return {
            "schema": SCHEMA,
            "signscope": __version__,
            "command": "effects",
            "options": {"problem": "python", **self.options},
            "seeds": {"problem": self.problem.seed},
            "versions": versions(),
            "problem": {key: problem[key] for key in kept},
            "effects": {
                row["effect"]: {
                    "name": row["name"],
                    "final": plain(row["final"]),
                    "factor": plain(row["factor"]),
                    "status": row["status"],
                    "message": row["message"],
                }
                for row in self.table.to_dict("records")
            },
            "psi": {
                "start": plain(float(self.psi.value[0])),
                "end": plain(self.psi.final),
                "crosses_one": list(self.crossings["one"]),
                "crosses_half_pi": list(self.crossings["half_pi"]),
            },
            "verdict": {"text": self.verdict},
            "files": list(FILES),
        }

    def figure(self) -> "Figure":
        """The picture that is saved as ``risk.png``: five curves, and psi with its two thresholds."""
        if self.problem.rows is None:
            title = f"{self.problem.dim} coordinates, label noise {self.problem.noise.spec}"
        else:
            title = f"{Path(str(self.options.get('data') or 'data')).stem}, {self.problem.dim} columns"
        batch = self.options.get("batch_size", 1)
        return plot_effects(self.curves, self.psi, title=title + (f", batches of {batch}" if batch > 1 else ""))

    def save(self, folder: str | os.PathLike[str], force: bool = False) -> Path:
        """Write ``risk.png``, ``curves.csv`` and ``summary.json`` into ``folder``, all or none.

        Raises:
            InvalidInput: The folder holds a result and ``force`` is off, or it cannot be written.
        """
        return save_results(folder, summary=self.summary(), curves=self.to_frame(), figure=self.figure(), force=force)


def five_effects(
    problem: LeastSquares,
    *,
    lr: float | Schedule | Callable[[Tensor], Tensor],
    horizon: float,
    batch_size: int = 1,
    times: Tensor | None = None,
    rtol: float = 1e-6,
    options: Mapping[str, Any] | None = None,
) -> Effects:
    r"""SGD turned into signSGD one effect at a time.

    Every curve is one risk equation with drift $-s\eta A v$ and noise $(4/\pi^2)\eta^2 M/d$, where
    $s = (2/\pi)\sqrt{B/2P}$ and P is the population risk:

    | curve | P in s | A | M |
    |---|---|---|---|
    | ``frozen_rate`` | P(0) | K | K P(t)/P(0) |
    | ``effective_rate`` | P(t) | K | K |
    | ``compression`` | P(t) | psi K | K |
    | ``preconditioner`` | P(t) | psi Kbar | K |
    | ``reshaping`` = signSGD | P(t) | psi Kbar | (pi/2) Ksig |

    Args:
        problem: Least-squares problem; rows are taken as Gaussian.
        lr: SignSGD's rate; SGD's follows from it.
        horizon: End of the curves, in steps/dim.
        batch_size: Rows per update, B.
        times: Times to report, in steps/dim, increasing; 201 equally spaced ones by default.
        rtol: Relative tolerance of the solver.
        options: What ``summary.json`` is to say in place of the arguments above.

    Returns:
        An `Effects`. Under noise of infinite variance the first four curves are undefined.

    Raises:
        InvalidInput: An argument is out of range.
        Unsupported: More than 4,000 coordinates and a covariance that is not diagonal.
    """
    problem = as_problem("five_effects", problem)
    common: dict[str, Any] = {"lr": lr, "horizon": horizon, "batch_size": batch_size, "rtol": rtol}
    curves = tuple(effect_curve(problem, name, times=times, **common) for name in EFFECTS)
    sign = curves[-1]
    psi = compression_along(sign, problem, batch_size=batch_size)
    end = float(sign.time[-1])
    dense = torch.linspace(0, end, _DENSE, dtype=torch.float64)
    fine = compression_along(effect_curve(problem, "reshaping", times=dense, **common), problem, batch_size=batch_size)
    passed = {"one": crossings(fine, FASTER), "half_pi": crossings(fine, BETTER)}
    resolved = {"lr": sign.lr, "horizon": float(horizon), "batch_size": int(batch_size), "rtol": float(rtol)}
    return Effects(
        problem=problem,
        curves=curves,
        psi=psi,
        crossings=passed,
        verdict=verdict_text(curves, fine, passed),
        options=resolved if options is None else {**options, "lr": sign.lr},
    )
