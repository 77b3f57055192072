"""``signscope sde``: what it prints, writes and refuses."""

import importlib
import json
from dataclasses import replace

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from signscope.cli.door import Door
from signscope.cli.sde import sde_of_optimizer

app = typer.Typer(cls=Door, pretty_exceptions_enable=False)
app.command("sde")(sde_of_optimizer)
app.command("other")(lambda: None)  # with a single command typer would leave out its name
QUICK = "--dim 2 --steps 40 --paths 16"


def run(*words):
    flat = [part for word in words for part in (word.split() if isinstance(word, str) else [str(word)])]
    return CliRunner().invoke(app, ["sde", *flat], prog_name="signscope")


def test_table_stationary_loss_and_limits():
    answer = run(QUICK)
    assert answer.exit_code == 0
    assert "loss run" in answer.stdout
    assert "loss theory" in answer.stdout
    assert "stationary loss" in answer.stdout
    assert "Not to be trusted" in answer.stdout


def test_phases_of_the_coordinates_follow_the_ratio_of_gradient_and_noise():
    """h x / (sigma sqrt 2) of 0.07, 1.1 and 18 at first: phases 3, 2, 1; noise alone after the descent."""
    words = "--dim 3 --spectrum log:0.1,25.6 --lr 0.01 --steps 200 --paths 32"
    found = json.loads(run(words, "--json").stdout)
    assert found["phases"] == {"first": [3, 2, 1], "last": [3, 3, 3]}
    assert [found["table"][0][f"phase {k}"] for k in (1, 2, 3)] == [1, 1, 1]
    answer = run(words)
    assert "first: phase 1: 2; phase 2: 1; phase 3: 0" in answer.stdout
    assert "last: phase 3: 0-2" in answer.stdout
    silent = json.loads(run(QUICK, "--json --optimizer sgd --noise none").stdout)
    assert silent["phases"] == {"first": [], "last": []}


@pytest.mark.parametrize("optimizer", ["sgd", "rmspropw", "adamw"])
def test_optimizers(optimizer):
    found = json.loads(run(QUICK, "--json --optimizer", optimizer, "--betas 0.9,0.99").stdout)
    last = found["table"][-1]
    assert last["loss SDE"] == pytest.approx(last["loss without sampling"], rel=0.3)
    assert found["stationary_loss"] == pytest.approx(0.01 * 2 / 4, rel=0.01)  # lr sigma^2 / 4 per coordinate


def test_a_double_well_under_heavy_tails_has_no_stationary_loss():
    found = json.loads(run(QUICK, "--json --loss double-well --noise student-t:1 --start 0.1").stdout)
    assert found["stationary_loss"] is None
    assert found["method"] is None


def test_files_and_their_repetition(tmp_path):
    out = tmp_path / "results"
    assert run(QUICK, "--rotated --out", out).exit_code == 0
    assert {p.name for p in out.iterdir()} == {"sde.png", "sde.csv", "sde.json"}
    table = pd.read_csv(out / "sde.csv")
    assert set(table["kind"]) == {"optimizer", "SDE", "without sampling"}
    assert run(QUICK, "--out", out).exit_code == 2
    again = json.loads(run("--json --config", out / "sde.json").stdout)
    assert again == json.loads((out / "sde.json").read_text(encoding="utf-8"))
    assert run("--config", out / "sde.json", "--out", tmp_path / "again").exit_code == 0
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("stopped", ["signscope.sdes.solve", "signscope.simulation.descent.descend"])
def test_ctrl_c_in_one_half_is_no_result(stopped, tmp_path, monkeypatch):
    module, _, name = stopped.rpartition(".")
    real = getattr(importlib.import_module(module), name)

    def cut(*arguments, **options):
        found = real(*arguments, **options)
        return replace(found, loss=found.loss.with_status("interrupted", "stopped"))

    monkeypatch.setattr(stopped, cut)
    answer = run(QUICK, "--out", tmp_path / "out")
    assert answer.exit_code == 1
    assert answer.stderr == "signscope sde: stopped by the keyboard before there was a result.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--loss valley", "valley"),
        ("--optimizer adam --noise cauchy:1", "second moment"),
        ("--noise none", "divides by the noise"),
        ("--optimizer sgd --lr 5", "stability limit"),
        ("--optimizer lion", "lion"),
        ("--loss log-cosh --rotated", "--rotated"),
        ("--spectrum logg:1", "logg"),
        ("--dim 0", "dim"),
        ("--betas 1,2", "betas"),
        ("--lr nan", "finite"),
    ],
)
def test_bad_input_is_one_line(words, said):
    answer = run(QUICK, words)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
