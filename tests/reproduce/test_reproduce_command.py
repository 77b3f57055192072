"""``signscope reproduce`` on its own application, as the command line registers it."""

import errno
import json
import os

import matplotlib.figure
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from signscope import InvalidInput
from signscope.cli.door import Door
from signscope.cli.reproduce import reproduce_figure
from signscope.reproduce import Figure, run_figure
from signscope.reproduce.report import write


@pytest.fixture
def call(tmp_path, monkeypatch):
    app = typer.Typer(cls=Door)
    app.command("reproduce")(reproduce_figure)
    app.command("other")(lambda: None)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["reproduce", *map(str, words)])


def test_without_a_name_it_lists(call):
    answer = call()
    assert answer.exit_code == 0
    assert "rates-sign-methods" in answer.stdout
    papers = {entry["paper"] for entry in json.loads(call("--json").stdout)}
    assert papers == {"compagnoni2024", "jiang2024", "tao2026", "xiao2024"}


def test_it_runs_prints_claims_and_writes(call, tmp_path):
    answer = call("rates-sign-methods", "--size", "small")
    assert answer.exit_code == 0
    assert "SSVR-FS: exponent in m" in answer.stdout
    assert "rates-sign-methods: " in answer.stdout.splitlines()[-1]
    assert (tmp_path / "results" / "rates-sign-methods" / "report.json").exists()
    again = call("rates-sign-methods", "--size", "small")
    assert again.exit_code == 2
    assert "--force" in again.stderr


def test_json_is_the_report(call, tmp_path):
    words = ("--data", "digits", "--num-seeds", "1", "--json", "--out", tmp_path / "out")
    answer = call("jiang2024-training", "--size", "small", *words)
    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["settings"]["seeds"] == [0]
    assert json.loads(answer.stdout) == json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.parametrize("has_runs", [True, False])
def test_ctrl_c_says_what_is_kept(call, tmp_path, monkeypatch, has_runs):
    def stopped(name, *, out, **options):
        if has_runs:
            out.mkdir()
            (out / "runs.csv").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("signscope.reproduce.run_figure", stopped)
    answer = call("jiang2024-training", "--out", tmp_path / "out")
    assert answer.exit_code == 1
    assert answer.stderr.count("\n") == 1
    assert ("the same command continues" if has_runs else "before there was a result") in answer.stderr


@pytest.fixture
def busy(tmp_path):
    """A folder that another writer holds."""
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "busy").mkdir()
    handle = os.open(tmp_path / "busy", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield tmp_path / "busy"
    os.close(handle)


@pytest.mark.parametrize("name", ["rates-sign-methods", "jiang2024-training"])
def test_two_writers_in_one_folder_are_one_too_many(call, busy, name):
    answer = call(name, "--size", "small", "--out", busy, "--force")
    assert answer.exit_code == 2
    assert "another process is writing to" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not list(busy.iterdir())


def test_the_other_processes_of_torchrun_leave_the_folder_to_the_first(busy, monkeypatch):
    monkeypatch.setattr(Figure, "load", lambda figure: lambda out, **options: "report")
    with pytest.raises(InvalidInput, match="another process"):
        run_figure("rates-sign-methods", out=busy)
    monkeypatch.setenv("RANK", "1")
    assert run_figure("rates-sign-methods", out=busy) == "report"


def test_a_wrong_option_leaves_no_folder(call, tmp_path):
    assert call("rates-sign-methods", "--size", "huge", "--out", tmp_path / "a" / "b").exit_code == 2
    assert not (tmp_path / "a").exists()


def test_files_that_do_not_fit_are_a_clear_answer_and_leave_nothing(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    content = {"table.csv": pd.DataFrame({"a": [1]}), "p.png": matplotlib.figure.Figure(), "report.json": {}}
    with pytest.raises(InvalidInput, match="No space left"):
        write(tmp_path, content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "must be one of"),
        (["rates-sign-methods", "--device", "cpu"], "no option `device`"),
        (["jiang2024-training", "--data", "cifar10"], "not bundled"),
        (["jiang2024-training", "--epochs", "many"], "epochs"),
    ],
)
def test_wrong_use_exits_with_two(call, words, message):
    answer = call(*words)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
