"""``signscope effects``: what it prints, writes and returns."""

import json

import pytest
import typer
from typer.testing import CliRunner

from signscope.cli.door import Door
from signscope.cli.effects import effects_of_signs
from signscope.comparison import best_lr
from signscope.comparison.four_effects import five_effects
from signscope.problems import gaussian_problem

SMALL = ["--dim", "20", "--spectrum", "log:0.1,1", "--noise", "laplace:0.3", "--horizon", "1", "--lr", "0.3"]


@pytest.fixture(scope="module")
def call():
    """The command in an application of its own."""
    app = typer.Typer(cls=Door, add_completion=False, pretty_exceptions_enable=False)
    app.command("effects")(effects_of_signs)
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["effects", *map(str, words)], prog_name="signscope")


def test_table_and_verdict(call):
    answer = call(*SMALL)
    assert answer.exit_code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["effect", "risk", "at", "t", "=", "1", "factor", "status"]
    assert [line[:8] for line in lines[1:6]] == ["SGD, fro", "+ effect", "+ noise ", "+ precon", "+ noise "]
    assert "Noise compression: at equal effective rate" in answer.stdout
    assert answer.stderr == ""


def test_equals_the_python_call_and_batches_count(call):
    law = gaussian_problem(20, spectrum="log:0.1,1", noise="gaussian:0.3", rotated=True, seed=4)
    said = json.loads(
        call(*SMALL, "--noise", "gaussian:0.3", "--rotated", "--seed", 4, "--batch-size", 3, "--json").stdout
    )
    wanted = five_effects(law, lr=0.3, horizon=1, batch_size=3)
    assert [e["final"] for e in said["effects"].values()] == [c.final for c in wanted.curves]
    assert said["verdict"]["text"] == wanted.verdict


def test_files_force_and_config(call, tmp_path):
    answer = call(*SMALL, "--out", tmp_path, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.csv", "risk.png", "summary.json"]
    first = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert first == json.loads(answer.stdout)
    again = call("--config", tmp_path / "summary.json", "--json")
    assert json.loads(again.stdout) == first
    refused = call(*SMALL, "--out", tmp_path)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert call(*SMALL, "--out", tmp_path, "--force").exit_code == 0


def test_infinite_variance_is_a_row_with_a_status(call):
    answer = call("--dim", 20, "--noise", "cauchy:2,1", "--horizon", 1, "--lr", 0.3)
    assert answer.exit_code == 0
    assert answer.stdout.count("undefined") == 4
    assert answer.stdout.count("no curve but signSGD's exists") == 1


def test_best_rate_by_default(call):
    said = json.loads(call("--dim", 20, "--noise", "gaussian:0.3", "--horizon", 1, "--json").stdout)
    problem = gaussian_problem(20, noise="gaussian:0.3")
    assert said["options"]["lr"] == best_lr(problem, "signsgd", horizon=1).lr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "-1"], "`lr` must be"),
        (["--batch-size", "0"], "`batch_size` must be"),
        (["--horizon", "0"], "`horizon` must be above 0"),
        (["--noise", "weird"], "unknown law"),
        (["--speed", "3"], "No such option"),
    ],
)
def test_bad_input_exits_with_2_in_one_line(call, words, message):
    answer = call(*SMALL, *words)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
