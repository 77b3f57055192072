"""``signscope check``: what it prints, writes and returns."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from signscope.cli.checking import check_problem
from signscope.cli.door import Door
from signscope.comparison import check
from signscope.problems import gaussian_problem

app = typer.Typer(cls=Door, pretty_exceptions_enable=False)
app.command("check")(check_problem)
app.command("other")(lambda: None)  # with a single command typer would leave out its name


def run(*words):
    flat = [part for word in words for part in (word.split() if isinstance(word, str) else [str(word)])]
    return CliRunner().invoke(app, ["check", *flat], prog_name="signscope")


def test_failed_checks_are_results_and_the_exit_code_is_zero():
    answer = run("--dim 10 --noise cauchy:2,1")
    assert answer.exit_code == 0
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["check", "value", "limit", "status"]
    assert any(line.startswith("dimension") and line.endswith("FAILS") for line in lines)
    assert any(line.startswith("- noise variance: cauchy:2,1 noise has infinite variance") for line in lines)
    assert " -> " in answer.stdout
    assert lines[-1].endswith("before relying on them.")
    assert answer.stderr == ""


def test_it_says_what_the_function_says():
    answer = run("--dim 60 --rotated --noise laplace:0.3 --lr sgd=0.4 --seed 3 --json")
    problem = gaussian_problem(60, rotated=True, noise="laplace:0.3", seed=3)
    expected = check(problem, lr={"sgd": 0.4}).summary()
    found = json.loads(answer.stdout)
    assert found["assumptions"] == expected["assumptions"]
    assert found["options"]["lr"] == {"sgd": 0.4, "signsgd": None, "adam": None}


def test_a_file_is_looked_at_with_its_rows(npz, tmp_path):
    answer = run(npz, "--out", tmp_path / "new")
    assert answer.exit_code == 0, answer.stderr
    assert "rows per column" in answer.stdout
    assert "wrote" in answer.stderr
    saved = json.loads((tmp_path / "new" / "check.json").read_text(encoding="utf-8"))
    assert saved["options"]["data"] == str(npz)
    again = run("--config", tmp_path / "new" / "check.json", "--json")
    assert json.loads(again.stdout) == saved


@pytest.mark.parametrize(
    "option", ["--batch-size 9", "--lr sgd=0.2", "--optimizers sgd", "--start ones", "--betas 0,0.5"]
)
def test_every_option_moves_the_report(option):
    plain = "--dim 12 --noise student-t:1.5 --json" if "betas" in option else "--dim 12 --noise gaussian:0.3 --json"
    before, after = json.loads(run(plain).stdout), json.loads(run(plain, option).stdout)
    assert before["assumptions"] != after["assumptions"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("nothing", "bundled data sets"),
        ("--dim 0", "dim"),
        ("--dim 10 --lr 0.5", "NAME=VALUE"),
        ("--dim 10 --lr lion=0.5", "lion"),
        ("--dim 10 --lr sgd=-1", "above 0"),
        ("--dim 10 --optimizers lion", "lion"),
        ("--dim 10 --batch-size 0", "batch_size"),
        ("--dim 10 --noise cauhcy:1", "cauhcy"),
        ("--problem banana", "banana"),
        ("--dim 10 --horizon 3", "--horizon"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(line, word):
    answer = run(line)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert word in answer.stderr


def test_an_earlier_result_is_only_replaced_by_force(tmp_path):
    assert run("--dim 10 --out", tmp_path).exit_code == 0
    assert run("--dim 11 --out", tmp_path).exit_code == 2
    assert run("--dim 11 --force --out", tmp_path).exit_code == 0
    assert json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))["problem"]["dim"] == 11
    (tmp_path / "file").write_text("")
    assert "is a file" in run("--dim 10 --out", tmp_path / "file" / "below").stderr
    np.testing.assert_equal(len(list(tmp_path.iterdir())), 2)
