"""`Experiment`: a figure as a function of its size and seed, with claims, picture, numbers and verdict."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signscope._core import checks
from signscope._core.errors import InvalidInput
from signscope._core.progress import Meter, as_meter
from signscope.reproduce.claims import Claim, Rows
from signscope.reproduce.report import Report, Verdict, prepare, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True, eq=False)
class Findings:
    """What the measurement of a figure returns.

    Attributes:
        claims: The statements with their numbers.
        numbers: The rows behind the picture.
        draw: Makes the picture; called only where files are wanted.
        notes: Sentences about this run for the report.
    """

    claims: Sequence[Claim]
    numbers: Rows
    draw: "Callable[[], Picture]"
    notes: Sequence[str] = ()


Measure = Callable[[Any, int, Meter], Findings]


@dataclass(frozen=True, eq=False)
class Experiment:
    """One figure or table of the paper; call it to run it.

    Attributes:
        name: Key on the command line.
        sizes: What ``full`` and ``small`` run: frozen dataclasses, with ``dim`` and ``num_runs`` where these can be
            chosen.
        measure: (size, seed, meter) -> `Findings`.
        chosen: What the published text leaves open and is chosen here; part of every report.
    """

    name: str
    sizes: Mapping[str, Any]
    measure: Measure
    chosen: str

    @property
    def files(self) -> tuple[str, str, str]:
        """Names of picture, numbers and report."""
        return (f"{self.name}.png", "numbers.csv", "report.json")

    def __call__(
        self,
        out: str | Path | None = None,
        *,
        size: str = "full",
        seed: int = 0,
        dim: int | None = None,
        num_runs: int | None = None,
        force: bool = False,
        progress: bool | Meter = False,
    ) -> Report:
        """Run the figure.

        Args:
            out: Folder for picture, numbers and report; None writes nothing.
            size: ``"full"``, or ``"small"``: seconds, to see that it runs.
            seed: Of all random numbers.
            dim: Number of coordinates instead of that of the size; some figures have a series of their own.
            num_runs: Simulated runs instead of those of the size.
            force: Replace earlier files.
            progress: Show a meter.

        Returns:
            The report; "matched" if every claim holds.

        Raises:
            InvalidInput: An unknown size, an option this figure does not have, or files that are there already.
        """
        chosen = self._size(size, dim=dim, num_runs=num_runs)
        seed = checks.integer(self.name, "seed", seed, minimum=0)
        folder = prepare(out, names=self.files, force=force, who=self.name)
        started = time.monotonic()
        meter = as_meter(progress, self.name)
        try:
            found = self.measure(chosen, seed, meter)
        finally:
            meter.close()
        settings = {"size": size, "seed": seed, **asdict(chosen)}
        return self.report(found, folder, settings=settings, started=started)

    def report(self, found: Findings, folder: Path | None, *, settings: dict[str, Any], started: float) -> Report:
        """Verdict, sentence and files of what was found."""
        import pandas as pd

        failed = [claim.text for claim in found.claims if claim.outcome == "fails"]
        judged = sum(claim.outcome != "shown" for claim in found.claims)
        verdict: Verdict = "differs" if failed else "matched"
        first = f"outside its interval: {'; '.join(failed)}." if failed else f"all {judged} claims hold."
        report = Report(
            self.name,
            verdict,
            " ".join(part for part in (first, *found.notes, self.chosen) if part),
            pd.DataFrame([claim.row() for claim in found.claims]),
            files=tuple(folder / name for name in self.files) if folder else (),
            settings=settings,
            seconds=time.monotonic() - started,
        )
        if folder is not None:
            from signscope.reproduce.drawing import finish

            picture, numbers, text = self.files
            write(folder, {picture: finish(found.draw()), numbers: pd.DataFrame(found.numbers), text: report.summary()})
        return report

    def _size(self, size: str, *, dim: int | None, num_runs: int | None) -> Any:
        chosen = self.sizes[checks.one_of(self.name, "size", size, self.sizes)]
        wanted = {"dim": (dim, 10), "num_runs": (num_runs, 2)}
        for option, (value, minimum) in wanted.items():
            if value is None:
                continue
            if not hasattr(chosen, option):
                raise InvalidInput(f"{self.name}: no option `{option}` here; this figure has a series of its own.")
            chosen = replace(chosen, **{option: checks.integer(self.name, option, value, minimum=minimum)})
        return chosen
