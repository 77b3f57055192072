"""``signscope bounds``: the table, JSON that repeats itself, the CSV, and what is refused."""

import json

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from signscope.bounds import Constants, signsgd, ssvr
from signscope.cli.bounding import bound_methods
from signscope.cli.door import Door

THREE = "bounds --L-inf 1 --delta 2 --sigma 3"


@pytest.fixture(scope="module")
def run():
    app = typer.Typer(cls=Door, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command("bounds")(bound_methods)

    def call(*args):
        words = [word for a in args for word in (a.split() if isinstance(a, str) else [str(a)])]
        return CliRunner().invoke(app, words, prog_name="signscope")

    return call


def test_three_constants_are_enough(run):
    answer = run(THREE)
    assert answer.exit_code == 0, answer.output
    plan = signsgd(Constants(2.0, 1.0, 3.0), num_calls=1_000_000)
    line = next(line for line in answer.stdout.splitlines() if line.startswith("  signsgd "))
    assert line.split()[1:3] == [f"{plan.value:.4g}", f"{plan.gradient_calls:,}"]
    assert "sgd: the bound needs `dim`" in answer.stdout
    assert "met: at least one step" in answer.stdout
    assert "not forecasts" in answer.stdout


def test_the_table_shows_the_first_batch_of_ssvr(run):
    answer = run(THREE)
    plan = ssvr(Constants(2.0, 1.0, 3.0), num_steps=500_000)
    header, line = (
        next(line for line in answer.stdout.splitlines() if line.startswith(f"  {name} "))
        for name in ("method", "ssvr")
    )
    found = dict(zip(header.split(), line.split(), strict=True))
    assert int(found["B_0"].replace(",", "")) == pytest.approx(plan.init_batch, rel=0.2)
    steps, calls = (int(found[name].replace(",", "")) for name in ("steps", "calls"))
    assert calls == int(found["B_0"].replace(",", "")) + 2 * (steps - 1)


def test_lists_make_the_problem_separable(run):
    answer = run("bounds --L-inf .5,.3,.2 --delta 1 --sigma 1,.5,.2 --components 64 --epsilon .1 --json")
    content = json.loads(answer.stdout)
    assert content["constants"]["dim"] == 3
    assert {row["status"] for row in content["bounds"]} <= {"ok", "condition not met"}
    values = [row["value"] for row in content["bounds"] if row["kind"] == "upper"]
    assert len(values) == 10
    assert 0.099 < min(values) <= max(values) <= 0.1
    spread = json.loads(run("bounds --L-inf 1 --delta 1 --sigma 1,.5,.2 --json").stdout)["constants"]
    assert spread["noise_l2"] == pytest.approx(1.29**0.5)
    assert spread["noise_curvature"] is None


def test_what_json_printed_can_be_repeated(run, tmp_path):
    first = run(THREE, "--dim 10 --calls 5000 --json")
    (tmp_path / "saved.json").write_text(first.stdout)
    assert run("bounds --json --config", tmp_path / "saved.json").stdout == first.stdout
    other = json.loads(run("bounds --json --epsilon 0.5 --config", tmp_path / "saved.json").stdout)
    assert (other["options"]["num_calls"], other["options"]["target"]) == (None, 0.5)


def test_the_csv_is_written_once(run, tmp_path):
    path = tmp_path / "bounds.csv"
    assert run(THREE, "--calls 5000 --out", path).exit_code == 0
    table = pd.read_csv(path)
    assert table.loc[0, "value"] == pytest.approx(signsgd(Constants(2.0, 1.0, 3.0), num_calls=5000).value)
    assert {"name", "kind", "lr", "batch_size", "conditions", "equation"} <= set(table.columns)
    assert run(THREE, "--out", path).exit_code == 2
    assert run(THREE, "--out", path, "--force").exit_code == 0


def test_an_accuracy_that_nobody_reaches_is_said(run):
    answer = run("bounds --L-inf 1 --delta 1 --sigma 1 --epsilon 1e-9")
    assert answer.exit_code == 0, answer.stderr
    assert "signsgd: does not reach 1e-09" in answer.stdout


def test_a_violated_condition_is_said(run):
    answer = run("bounds --L-inf 1 --delta 1 --sigma 0.001 --calls 10")
    assert "signum *" in answer.stdout
    assert "NOT met: averaging" in answer.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("bounds --delta 1 --sigma 1", "--L-inf is needed"),
        ("bounds --L-inf 1 --sigma 1", "--delta is needed"),
        (f"{THREE} --calls 3 --epsilon 1", "exclude"),
        (f"{THREE} --dim 2 --sigma-l2 9", "noise_l2"),
        (f"{THREE} --calls 0", "num_calls"),
        ("bounds --L-inf 1,2 --delta 1 --sigma 3", "per coordinate"),
        ("bounds --L-inf 1,2 --delta 1 --sigma 0 --L-2 2", "leave the option out"),
        ("bounds --L-inf 1,2 --delta 1 --sigma 1,1 --dim 7", "the lists make it 2, not 7"),
        ("bounds --L-inf 1 --delta 1 --sigma 1,1 --sigma-l2 9", "the lists make it 1.41421, not 9"),
        ("bounds --L-inf 1,x --delta 1 --sigma 0", "must be a number"),
        ("bounds --L-inf 0 --delta 1 --sigma 0", "smoothness"),
        (f"{THREE} --out /nonexistent/x.csv", "folder that exists"),
        (f"{THREE} --config nothing.json", "cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_code_two(run, words, message):
    answer = run(words)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
