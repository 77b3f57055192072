"""Claims and experiments: outcomes, options, files, refusals."""

import json
import math
from dataclasses import dataclass

import pytest
from matplotlib.figure import Figure

from signscope._core.errors import InvalidInput
from signscope.reproduce import FIGURES, run_figure
from signscope.reproduce.claims import Claim, at_least, at_most, near, shown
from signscope.reproduce.experiment import Experiment, Findings


@dataclass(frozen=True)
class Size:
    dim: int = 10
    value: float = 1.0


def measure(size, seed, meter):
    claims = [near("value", size.value, 1.0, rtol=0.1), shown("dim", size.dim)]
    return Findings(claims, [{"seed": seed}], Figure, ["A note."])


TOY = Experiment("toy", {"full": Size(), "small": Size(value=2.0)}, measure, "Chosen here: nothing.")


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        (near("x", 1.05, 1.0, rtol=0.1), "holds"),
        (near("x", 1.2, 1.0, rtol=0.1, atol=0.05), "fails"),
        (near("x", -1.05, -1.0, rtol=0.1), "holds"),
        (at_most("x", 0.5, 0.5), "holds"),
        (at_least("x", 0.4, 0.5), "fails"),
        (at_least("x", math.inf, math.inf), "holds"),
        (Claim("x", math.nan), "fails"),
        (shown("x", math.nan), "shown"),
    ],
)
def test_outcome_of_a_claim(claim, outcome):
    assert claim.outcome == claim.row()["outcome"] == outcome


def test_a_failed_claim_makes_the_verdict_differ(tmp_path):
    assert TOY().verdict == "matched"
    report = TOY(tmp_path, size="small", seed=3)
    assert report.verdict == "differs"
    assert report.text == "outside its interval: value. A note. Chosen here: nothing."
    saved = json.loads((tmp_path / "report.json").read_text())
    assert [claim["outcome"] for claim in saved["claims"]] == ["fails", "shown"]
    assert saved["settings"] == {"size": "small", "seed": 3, "dim": 10, "value": 2.0}
    with pytest.raises(InvalidInput, match="already holds"):
        TOY(tmp_path)
    assert TOY(tmp_path, force=True).verdict == "matched"


def test_options_replace_those_of_the_size_where_it_has_them():
    assert TOY(dim=20).settings["dim"] == 20
    with pytest.raises(InvalidInput, match="no option `num_runs`"):
        TOY(num_runs=4)
    with pytest.raises(InvalidInput, match="dim"):
        TOY(dim=3)
    with pytest.raises(InvalidInput, match="size"):
        TOY(size="large")
    with pytest.raises(InvalidInput, match="no option `epochs`"):
        run_figure("xiao2024-fig2", epochs=3)


def test_every_entry_of_the_paper_is_listed_and_can_be_loaded():
    names = [name for name, figure in FIGURES.items() if figure.paper == "xiao2024"]
    assert {f"xiao2024-fig{k}" for k in range(1, 11)} | {"xiao2024-table1"} <= set(names)
    for name in names:
        experiment = FIGURES[name].load()
        assert experiment.name == name
        assert set(experiment.sizes) == {"full", "small"}
        assert experiment.chosen
