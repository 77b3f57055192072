"""``signscope sweep``: lists of values in, one table out."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from signscope.cli import sweeping
from signscope.cli.door import Door
from signscope.comparison import run_sweep, sweep_workers

app = typer.Typer(cls=Door, pretty_exceptions_enable=False)
app.command("sweep")(sweeping.sweep_grid)
app.command("other")(lambda: None)  # with a single command typer would leave out its name
SMALL = "--dim 8,12 --noise gaussian:0.3 --noise cauchy:0,1 --optimizers signsgd --lr 0.1,0.3 --horizon 0.5"


def run(*words):
    flat = [part for word in words for part in (word.split() if isinstance(word, str) else [str(word)])]
    return CliRunner().invoke(app, ["sweep", *flat], prog_name="signscope")


def test_the_table_on_disk_on_screen_and_from_python_is_the_same(tmp_path):
    answer = run(SMALL, "--runs 2 --out", tmp_path)
    assert answer.exit_code == 0, answer.stderr
    options = {"dim": [8, 12], "noise": ["gaussian:0.3", "cauchy:0,1"], "lr": [0.1, 0.3], "num_runs": 2}
    expected = run_sweep(**options, optimizers="signsgd", horizon=0.5)
    saved = pd.read_csv(tmp_path / "sweep.csv")
    for name in ("dim", "noise", "lr", "final_predicted", "final_simulated", "gap_mean"):
        np.testing.assert_array_equal(saved[name], expected[name])
    lines = answer.stdout.splitlines()
    assert lines[0].split()[:4] == ["noise", "dim", "optimizer", "lr"]
    assert len(lines) == 1 + 8 + 2
    assert lines[-1].startswith("8 cells: 8 ok; mean gaps up to")
    assert json.loads(run(SMALL, "--runs 2 --json --out", tmp_path).stdout)["cells"][0]["status"] == "ok"


def test_rates_are_lists_grids_and_words_by_optimizer():
    assert sweeping.rate_lists(["0.1,0.2", "sgd=auto", "sgd=1"], ["sgd", "adam"]) == {
        "sgd": ["auto", 1.0],
        "adam": [0.1, 0.2],
    }
    assert sweeping.rate_lists(["log:0.01,1,3"], ["sgd"]) == {"sgd": [0.01, 0.1, 1.0]}
    assert sweeping.rate_lists(["adam=0.5"], ["sgd", "adam"]) == {"sgd": ["auto"], "adam": [0.5]}
    assert sweeping.rate_lists(None, ["sgd"]) is None


def test_long_tables_are_cut_on_screen_only(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "SHOWN", 3)
    answer = run(SMALL, "--out", tmp_path)
    assert "... 5 more rows in sweep.csv" in answer.stdout
    assert len((tmp_path / "sweep.csv").read_text(encoding="utf-8").splitlines()) == 9


def test_failed_cells_and_ctrl_c_exit_with_one_and_say_how_to_go_on(tmp_path, monkeypatch):
    real, calls = sweep_workers.compute, []

    def sometimes(cell):
        calls.append(cell)
        if len(calls) == 2:
            raise MemoryError("no room")
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(cell)

    monkeypatch.setattr(sweep_workers, "compute", sometimes)
    answer = run(SMALL, "--out", tmp_path)
    assert answer.exit_code == 1
    assert "1 of 8 cells failed (MemoryError: no room)" in answer.stderr
    assert "stopped; 3 of 8 cells are kept" in answer.stderr
    again = run(SMALL, "--out", tmp_path)
    assert again.exit_code == 0
    assert len(calls) == 5 + 5
    assert "8 cells: 8 ok" in again.stdout


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--dim ten", "whole numbers"),
        ("--dim 0", "dim"),
        ("--dim 1e3", "whole numbers"),
        ("--dim 10,10000000000000", "GB of memory, and this machine has"),
        ("--lr fast", "--lr"),
        ("--lr log:1,0.1,3", "LOW,HIGH,COUNT"),
        ("--lr lion=0.1", "lion"),
        ("--lr -1", "above 0"),
        ("--optimizers lion", "lion"),
        ("--noise cauhcy:1", "cauhcy"),
        ("--spectrum logg:1", "logg"),
        ("--batch-size 0", "batch_size"),
        ("--seed x", "--seed"),
        ("--horizon -1", "horizon"),
        ("--runs -1", "num_runs"),
        ("--betas 0.9", "betas"),
        ("--n-jobs 0", "n_jobs"),
        ("--scheduler nobody", "tcp"),
        ("nothing", "digits"),
        ("digits --dim 5", "dim"),
        ("--lr ,", "--lr"),
        ("--dim 5 --scale columns", "scale"),
        ("--config missing.json", "missing.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(line, word, tmp_path):
    answer = run(line, "--out", tmp_path)
    assert answer.exit_code == 2, answer.stdout
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert word in answer.stderr


def test_an_unusable_table_is_told_before_any_work(tmp_path):
    frame = pd.DataFrame({"a": [1.0, np.nan, 2.0], "y": [1.0, 2.0, 3.0]})
    frame.to_csv(tmp_path / "holes.csv", index=False)
    answer = run(tmp_path / "holes.csv", "--lr 0.1 --out", tmp_path / "out")
    assert answer.exit_code == 2
    assert "1 missing value" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_config_repeats_a_sweep_bit_for_bit_and_what_is_typed_wins(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    words = "--dim 8 --noise gaussian:0.3 --horizon 0.5 --runs 2 --optimizers sgd,adam --betas 0.5,0.9 --seed 0,1"
    assert run(words, "--lr 0.1,auto --lr adam=0.2 --out", first).exit_code == 0
    assert run("--config", first / "sweep.json", "--out", second).exit_code == 0
    assert (first / "sweep.json").read_bytes() == (second / "sweep.json").read_bytes()
    tables = [pd.read_csv(folder / "sweep.csv").drop(columns="seconds") for folder in (first, second)]
    pd.testing.assert_frame_equal(*tables)
    typed = "--optimizers sgd,signsgd --lr signsgd=0.3 --dim 9 --runs 0"
    assert run("--config", first / "sweep.json", typed, "--out", third).exit_code == 0
    options = json.loads((third / "sweep.json").read_text(encoding="utf-8"))["options"]
    assert options["lr"] == {"sgd": [0.1, "auto"], "signsgd": [0.3]}
    assert (options["dim"], options["num_runs"], options["betas"], options["seed"]) == ([9], 0, [0.5, 0.9], [0, 1])


def test_config_repeats_a_sweep_of_a_file_unless_it_has_changed(npz, tmp_path):
    assert run(npz, "--target label --lr 0.1 --optimizers sgd --horizon 0.5 --out", tmp_path / "first").exit_code == 0
    config = tmp_path / "first" / "sweep.json"
    assert run("--config", config, "--out", tmp_path / "second").exit_code == 0
    assert config.read_bytes() == (tmp_path / "second" / "sweep.json").read_bytes()
    np.savez(npz, X=np.eye(9), label=np.arange(9.0))
    answer = run("--config", config, "--out", tmp_path / "third")
    assert answer.exit_code == 2
    assert "has changed since" in answer.stderr


def test_another_sweep_in_the_folder_is_refused(tmp_path):
    assert run("--dim 8 --lr 0.1 --horizon 0.5 --out", tmp_path).exit_code == 0
    refused = run("--dim 9 --lr 0.1 --horizon 0.5 --out", tmp_path)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert run("--dim 9 --lr 0.1 --horizon 0.5 --force --out", tmp_path).exit_code == 0
