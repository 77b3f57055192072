"""The real problems of the paper: CIFAR-10 and IMDB as least squares on random features."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter
from signscope.noise import fit_mixture
from signscope.problems import LeastSquares, features_from_text
from signscope.problems.named import NAMED, VARIABLE, named_data
from signscope.reproduce.experiment import Experiment
from signscope.reproduce.report import Report, prepare, write

if TYPE_CHECKING:
    import pandas as pd

SMALL = {"cifar10": "tanh:40", "imdb": "tanh:20:0.3"}


@dataclass(frozen=True, eq=False)
class DataExperiment(Experiment):
    """A figure on data sets that are not bundled; "not attempted" where their place is not named.

    Attributes:
        kinds: Data sets it needs, "cifar10" and "imdb".
    """

    kinds: tuple[str, ...] = ()

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        out: str | Path | None = None,
        *,
        size: str = "full",
        seed: int = 0,
        data: str | None = None,
        num_runs: int | None = None,
        force: bool = False,
        progress: bool | Meter = False,
    ) -> Report:
        """Run the figure.

        Args:
            out: Folder for picture, numbers and report; None writes nothing.
            size: ``"full"`` or ``"small"`` (seconds).
            seed: Of random features, rows and runs.
            data: KIND:PATH, several separated by commas, or the folder that holds all; without it the variable
                SIGNSCOPE_DATA names that folder.
            num_runs: Simulated runs instead of those of the size.
            force: Replace earlier files.
            progress: Show a meter.

        Returns:
            The report; "not attempted" without the data, with the reason.

        Raises:
            InvalidInput: A place that does not exist or holds something else, or an unknown option.
        """
        places = find(self.name, data, self.kinds)
        missing = [kind for kind in self.kinds if kind not in places]
        if not missing:
            bound = self._with(places)
            return bound(out, size=size, seed=seed, num_runs=num_runs, force=force, progress=progress)
        chosen = self._size(size, dim=None, num_runs=num_runs)
        settings = {"size": size, "seed": checks.integer(self.name, "seed", seed, minimum=0), **asdict(chosen)}
        return self._not_attempted(out, missing, settings, force=force)

    def _with(self, places: dict[str, str]) -> Experiment:
        """The same figure with the data in place."""

        def measure(size: Any, seed: int, meter: Meter) -> Any:
            return self.measure((size, places), seed, meter)

        return Experiment(self.name, self.sizes, measure, self.chosen)

    def _not_attempted(
        self, out: str | Path | None, missing: list[str], settings: dict[str, Any], *, force: bool
    ) -> Report:
        folder = prepare(out, names=self.files, force=force, who=self.name)
        names = " and ".join(NAMED[kind].about for kind in missing)
        text = (
            f"the data are not here: {names}. Name their place, as in --data {missing[0]}:PATH, or set {VARIABLE} to "
            "the folder that holds them."
        )
        files = (folder / self.files[2],) if folder else ()
        report = Report(self.name, "not attempted", text, _no_claims(missing), files=files, settings=settings)
        if folder is not None:
            write(folder, {self.files[2]: report.summary()})
        return report


def _no_claims(missing: list[str]) -> "pd.DataFrame":
    import pandas as pd

    rows = [{"claim": f"everything on {NAMED[kind].about}", "outcome": "not attempted"} for kind in missing]
    return pd.DataFrame(rows)


def find(who: str, data: str | None, kinds: tuple[str, ...]) -> dict[str, str]:
    """The place of every kind as KIND:PATH; kinds without one are left out.

    Raises:
        InvalidInput: ``data`` names another kind.
    """
    if data is None:
        folder = os.environ.get(VARIABLE, "")
        return {kind: f"{kind}:{folder}" for kind in kinds} if folder else {}
    places: dict[str, str] = {}
    for part in data.split(","):
        kind, colon, path = part.strip().partition(":")
        if not colon and Path(kind).is_dir():
            return {name: f"{name}:{kind}" for name in kinds}
        if kind not in kinds or not path:
            raise InvalidInput(
                f"{who}: `data` needs {', '.join(f'{k}:PATH' for k in kinds)} or a folder, got {part!r}."
            )
        places[kind] = part.strip()
    return places


def real_problem(place: str, *, seed: int, is_small: bool = False) -> LeastSquares:
    """Random features of a data set as least squares: centred, one global scale, labels +-1.

    Args:
        place: KIND:PATH.
        seed: Of the random features.
        is_small: Few features, for a quick look.

    Returns:
        The problem with its rows; label noise Gaussian for CIFAR-10 and a mixture of two Gaussians for IMDB, as in
        the paper.
    """
    kind = place.partition(":")[0]
    rows, labels, _ = named_data(place)
    if is_small:
        rows, labels = rows[:4_000], labels[:4_000]
    features = features_from_text(torch.from_numpy(rows), SMALL[kind] if is_small else NAMED[kind].features, seed=seed)
    del rows
    problem = LeastSquares.from_data(features, labels, noise="gaussian")
    if kind == "cifar10":
        return problem
    assert problem.rows is not None
    law = fit_mixture(problem.rows.residuals, max_components=2, seed=seed)
    return LeastSquares(problem.cov, start=problem.start, target=problem.target, noise=law, rows=problem.rows)
