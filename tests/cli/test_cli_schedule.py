"""``signscope schedule``: table, files, repetition by --config, and what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from signscope import LeastSquares, predict
from signscope.cli.door import Door
from signscope.cli.schedule import design_schedules

SMALL = "schedule signsgd --dim 20 --noise gaussian:0.2 --horizon 2"


@pytest.fixture(scope="module")
def run():
    app = typer.Typer(cls=Door, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command("schedule")(design_schedules)

    def call(*args):
        words = [word for a in args for word in (a.split() if isinstance(a, str) else [str(a)])]
        return CliRunner().invoke(app, words, prog_name="signscope")

    return call


def test_the_table_and_the_files(run, tmp_path):
    answer = run(SMALL, "--out", tmp_path / "out")
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0].split()[0] == "schedule"
    assert [line.split()[0] for line in lines[1:7]] == ["constant", "linear", "cosine", "wsd", "greedy", "optimal"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"schedules.png", "schedule.csv", "schedule.json"}
    table = pd.read_csv(tmp_path / "out" / "schedule.csv")
    assert list(table.columns) == ["schedule", "time", "lr", "risk"]
    summary = json.loads((tmp_path / "out" / "schedule.json").read_text())
    optimal = summary["schedules"]["optimal"]
    assert optimal["risk"] == pytest.approx(float(table[table.schedule == "optimal"].risk.iloc[-1]))
    assert optimal["risk"] == min(row["risk"] for row in summary["schedules"].values())
    assert optimal["against_constant"] == pytest.approx(optimal["risk"] / summary["schedules"]["constant"]["risk"])


def test_the_saved_schedule_is_an_lr(run, tmp_path):
    assert run(SMALL, "--shapes optimal --out", tmp_path).exit_code == 0
    saved = json.loads((tmp_path / "schedule.json").read_text())["schedules"]["optimal"]
    law = LeastSquares(np.logspace(-2, 0, 20), noise=0.2)
    curve = predict(law, "signsgd", lr=saved["schedule"], horizon=2, times=[2.0])
    assert curve.final == pytest.approx(saved["risk"], rel=1e-3)
    assert saved["against_constant"] is None  # not asked for


def test_config_repeats_a_run_and_what_is_typed_wins(run, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(SMALL, "--shapes constant,linear --batch-size 2 --out", first).exit_code == 0
    assert run("schedule --config", first / "schedule.json", "--out", second).exit_code == 0
    for name in ("schedule.csv", "schedule.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    again = run("schedule --config", first / "schedule.json", "--json --shapes constant")
    summary = json.loads(again.stdout)
    assert list(summary["schedules"]) == ["constant"]
    assert summary["options"]["batch_size"] == 2


def test_a_data_set_is_said_to_be_taken_as_gaussian(run, npz):
    answer = run("schedule signsgd", npz, "--noise gaussian --horizon 1 --shapes constant,optimal")
    assert answer.exit_code == 0, answer.output
    assert "Gaussian rows with the data's covariance" in answer.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("schedule sgd --dim 10 --noise cauchy:0,1", 1, "sgd has no risk curve under cauchy"),
        ("schedule --dim 10", 2, "`OPTIMIZER` must be one of"),
        ("schedule sgdd --dim 10", 2, "`OPTIMIZER` must be one of"),
        ("schedule sgd --dim 10 --shapes square", 2, "`shapes` must be one of"),
        ("schedule sgd --dim 10 --horizon 0", 2, "`horizon` must be above 0"),
        ("schedule sgd --dim 10 --batch-size 0", 2, "`batch_size` must be a whole number"),
        ("schedule sgd --dim ten", 2, "--dim"),
        ("schedule sgd nothing.npz", 2, "nothing.npz"),
    ],
)
def test_what_is_refused(run, words, code, message):
    answer = run(words)
    assert answer.exit_code == code
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_results_are_not_replaced_unasked(run, tmp_path):
    small = f"{SMALL} --shapes constant --out"
    assert run(small, tmp_path).exit_code == 0
    answer = run(small, tmp_path)
    assert answer.exit_code == 2
    assert "--force" in answer.stderr
    assert run(small, tmp_path, "--force").exit_code == 0
    (tmp_path / "file").write_text("")
    assert "is a file" in run(small, tmp_path / "file").stderr
    config = tmp_path / "options.json"
    config.write_text(json.dumps({"dim": 10, "lr": 0.5}))
    assert "unknown option 'lr'" in run("schedule sgd --config", config).stderr
