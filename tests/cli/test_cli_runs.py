"""compare, predict and simulate: what they print, write and return."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from signscope import InvalidInput
from signscope.cli import commands, report
from signscope.comparison import best_lr
from signscope.comparison.one_writer import one_writer
from signscope.limits import predict
from signscope.problems import LeastSquares, gaussian_problem
from signscope.problems.cost import LongComputation
from signscope.simulation import simulate

SMALL = "--dim 20 --spectrum log:0.1,1 --noise gaussian:0.3 --horizon 1"
RATES = "--lr sgd=0.3 --lr signsgd=0.3 --lr adam=0.2"


def test_compare_prints_a_table_and_a_verdict(cli):
    answer = cli(f"compare {SMALL} {RATES} --runs 3")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].split()[:3] == ["optimizer", "lr", "step"]
    assert [line.split()[0] for line in lines[1:4]] == ["sgd", "signsgd", "adam"]
    assert "on Gaussian rows" in answer.out
    assert "checks hold" in answer.out
    assert answer.err == ""  # no progress and no notes where stderr is no terminal


def test_compare_writes_the_three_files_and_says_so_on_stderr(cli, tmp_path):
    out = tmp_path / "new" / "folder"
    answer = cli(f"compare {SMALL} {RATES} --runs 3 --out", out)
    assert answer.code == 0, answer.err
    assert sorted(p.name for p in out.iterdir()) == ["curves.csv", "risk.png", "summary.json"]
    assert "wrote" in answer.err
    assert "wrote" not in answer.out


def test_json_is_the_summary_and_nothing_else(cli, tmp_path):
    answer = cli(f"compare {SMALL} {RATES} --runs 3 --json --out", tmp_path)
    summary = json.loads(answer.out)
    assert summary == json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["command"] == "compare"
    assert summary["options"]["num_runs"] == 3
    assert summary["options"]["spectrum"] == "log:0.1,1"
    assert summary["seeds"] == {"problem": 0, "simulation": 0}


def test_signum_is_predicted_simulated_and_compared(cli):
    line = f"{SMALL} --betas 0.5,0.999 --json"
    problem = gaussian_problem(20, spectrum="log:0.1,1", noise="gaussian:0.3")
    entry = json.loads(cli(f"compare {line} --optimizers sgd,signum --lr sgd=0.3 --lr signum=0.1 --runs 3").out)
    curve = predict(problem, "signum", lr=0.1, horizon=1, betas=(0.5, 0.999))
    assert entry["optimizers"]["signum"]["final_predicted"] == curve.final
    assert "signum average" in [a["name"] for a in entry["assumptions"]]
    for command in ("predict", "simulate"):
        assert cli(f"{command} signum {SMALL} --lr 0.1").code == 0
    assert "Signum's average" in cli("check --dim 20 --optimizers signum").out
    answer = cli("predict lion --dim 20 --lr 0.1")
    assert answer.code == 2
    assert "one of 'sgd', 'signsgd', 'adam', 'signum'; got 'lion'" in answer.err


def test_compare_equals_the_python_call(cli):
    summary = json.loads(
        cli(f"compare {SMALL} --rotated --seed 4 --runs 3 --lr signsgd=0.3 --optimizers signsgd --json").out
    )
    problem = gaussian_problem(20, spectrum="log:0.1,1", noise="gaussian:0.3", rotated=True, seed=4)
    entry = summary["optimizers"]["signsgd"]
    assert entry["final_predicted"] == predict(problem, "signsgd", lr=0.3, horizon=1).final
    assert entry["final_simulated"] == simulate(problem, "signsgd", lr=0.3, horizon=1, num_runs=3, seed=4).final


def test_compare_on_a_file_uses_both_kinds_of_rows(cli, npz):
    answer = cli("compare", npz, "--horizon", "1", "--runs", "3", RATES)
    assert answer.code == 0, answer.err
    rows = [line.split()[:2] for line in answer.out.splitlines()[1:7]]
    assert rows == [[o, r] for o in ("sgd", "signsgd", "adam") for r in ("gaussian", "data")]
    assert "Gaussian theory gap" in answer.out


def test_target_names_another_array(cli, npz):
    words = ["compare", npz, "--horizon", "0.5", "--runs", "2", "--optimizers", "sgd", "--lr", "sgd=0.3", "--json"]
    plain, other = json.loads(cli(*words).out), json.loads(cli(*words, "--target", "label").out)
    assert plain["optimizers"] != other["optimizers"]


def test_csv_and_cov_files_are_read(cli, tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.standard_normal((50, 3)), columns=["a", "b", "price"])
    frame.to_csv(tmp_path / "d.csv", index=False)
    answer = cli("compare", tmp_path / "d.csv", "--target", "price", "--horizon", "0.5", "--runs", "2", "--json")
    assert json.loads(answer.out)["problem"]["dim"] == 2
    np.save(tmp_path / "K.npy", np.diag([1.0, 2.0, 3.0]) + 0.1)
    answer = cli("predict", "sgd", "--cov", tmp_path / "K.npy", "--noise", "gaussian:0.3", "--lr", "0.1", "--json")
    assert json.loads(answer.out)["problem"]["dim"] == 3


@pytest.mark.parametrize(
    "option",
    [
        "--scale columns",
        "--no-center",
        "--noise gaussian",
        "--start ones",
        "--seed 3",
        "--batch-size 2",
        "--dtype float32",
    ],
)
def test_every_option_moves_a_data_run(cli, npz, option):
    words = ["compare", npz, "--horizon 0.5 --runs 2 --optimizers signsgd --lr signsgd=0.3 --json"]
    plain, moved = cli(*words), cli(*words, option)
    assert moved.code == 0, moved.err
    assert json.loads(plain.out)["optimizers"] != json.loads(moved.out)["optimizers"]


@pytest.mark.parametrize(
    "option",
    [
        "--rotated",
        "--dim 21",
        "--spectrum log:0.2,1",
        "--noise laplace:0.3",
        "--seed 3",
        "--start ones",
        "--horizon 0.4",
    ],
)
def test_every_option_moves_a_gaussian_prediction(cli, option):
    plain = cli("predict signsgd --dim 20 --noise gaussian:0.1 --horizon 0.5 --lr 0.3 --json")
    moved = cli(f"predict signsgd --dim 20 --noise gaussian:0.1 --horizon 0.5 --lr 0.3 --json {option}")
    assert moved.code == 0, moved.err
    assert json.loads(plain.out)["optimizers"] != json.loads(moved.out)["optimizers"]


def test_predict_prints_and_saves_one_curve(cli, tmp_path):
    answer = cli(f"predict signsgd {SMALL} --lr 0.4 --out", tmp_path)
    assert answer.code == 0, answer.err
    assert "signsgd at lr 0.4: predicted" in answer.out
    frame = pd.read_csv(tmp_path / "curves.csv")
    problem = gaussian_problem(20, spectrum="log:0.1,1", noise="gaussian:0.3")
    assert np.array_equal(frame["value"], predict(problem, "signsgd", lr=0.4, horizon=1).value.numpy())


def test_predict_finds_the_best_rate_by_itself(cli):
    summary = json.loads(cli(f"predict signsgd {SMALL} --json").out)
    problem = gaussian_problem(20, spectrum="log:0.1,1", noise="gaussian:0.3")
    assert summary["options"]["lr"] == best_lr(problem, "signsgd", horizon=1).lr
    assert summary["options"]["lr"] == summary["optimizers"]["signsgd"]["lr"]


def test_simulate_draws_the_data_rows_unless_told_otherwise(cli, npz):
    words = ["simulate", "sgd", npz, "--horizon 1 --runs 3 --lr 0.3 --json"]
    own, gaussian = json.loads(cli(*words).out), json.loads(cli(*words, "--rows", "gaussian").out)
    assert own["options"]["rows"] == "replace"
    with np.load(npz) as file:
        problem = LeastSquares.from_data(file["X"], file["y"])
    for summary, rows in ((own, "replace"), (gaussian, "gaussian")):
        expected = simulate(problem, "sgd", lr=0.3, horizon=1, num_runs=3, rows=rows).final
        assert summary["optimizers"]["sgd"]["final_simulated"] == expected


@pytest.mark.parametrize("command", ["predict", "simulate"])
def test_a_run_that_fails_exits_with_one_and_still_shows_what_it_found(cli, command):
    answer = cli(f"{command} sgd --dim 20 --spectrum constant:1 --horizon 60 --lr 5 --noise gaussian:0.1")
    assert answer.code == 1
    assert "sgd is" in answer.err
    assert "Traceback" not in answer.err


def test_no_rate_for_an_undefined_optimizer_exits_with_one(cli):
    answer = cli("predict sgd --dim 10 --noise cauchy:0,1 --horizon 1")
    assert answer.code == 1
    assert "infinite" in answer.err


def test_an_undefined_optimizer_is_a_row_of_compare_and_exit_is_zero(cli):
    answer = cli("compare --dim 10 --noise cauchy:0,1 --horizon 1 --runs 2 --optimizers sgd,signsgd")
    assert answer.code == 0, answer.err
    assert "undefined" in answer.out


def test_an_interrupted_comparison_is_saved_and_exits_with_one(cli, tmp_path, monkeypatch):
    from signscope.comparison import steps

    def interrupted(*args, **options):
        return simulate(*args, **options).with_status("interrupted", "Stopped by the keyboard.")

    monkeypatch.setattr(steps, "simulate", interrupted)
    answer = cli(f"compare {SMALL} {RATES} --runs 2 --out", tmp_path)
    assert answer.code == 1
    assert "kept" in answer.err
    assert (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("command", ["compare", "predict sgd --lr 0.1", "simulate sgd --lr 0.1"])
def test_a_folder_that_another_process_writes_to_is_refused_at_the_start(cli, tmp_path, monkeypatch, command):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(commands, "build_problem", None)
    with one_writer(tmp_path / "out", who="first"):
        answer = cli(f"{command} {SMALL} --out", tmp_path / "out")
    assert answer.code == 2
    assert answer.err.startswith(f"signscope {command.split()[0]}: error: --out: another process is writing to")
    assert not list(tmp_path.iterdir())


def test_warnings_of_ours_are_notes_in_one_line(cli, monkeypatch):
    def slow(*args, **options):
        warnings.warn("this takes\n2 hours", LongComputation, stacklevel=2)
        raise InvalidInput("enough")

    monkeypatch.setattr(commands, "compare", slow)
    answer = cli(f"compare {SMALL}")
    assert answer.err.splitlines() == [
        "signscope compare: note: this takes 2 hours",
        "signscope compare: error: enough",
    ]


def test_ctrl_c_elsewhere_is_one_line(cli, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "compare", stop)
    answer = cli(f"compare {SMALL}")
    assert answer.code == 1
    assert answer.err.count("\n") == 1


def test_an_unexpected_error_is_one_line_unless_debug(cli, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("wires\ncrossed")

    monkeypatch.setattr(commands, "compare", fail)
    answer = cli(f"compare {SMALL}")
    assert answer.code == 1
    assert "RuntimeError: wires crossed" in answer.err
    assert answer.err.count("\n") == 1
    assert cli(f"compare {SMALL} --debug").code == 1  # the traceback goes through
    assert "wires" not in cli(f"compare {SMALL} --debug").err


def test_a_terminal_gets_the_same_numbers_in_a_drawn_table(cli, monkeypatch):
    plain = cli("compare", SMALL, RATES, "--runs 3").out
    monkeypatch.setattr(report, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "140")
    drawn = cli("compare", SMALL, RATES, "--runs 3").out
    assert "─" in drawn
    assert "─" not in plain
    assert drawn.replace("─", "").split() == plain.split()
    monkeypatch.setenv("COLUMNS", "79")  # too narrow for a row: optimizers stand side by side, nothing is cut
    turned = cli("compare", SMALL, RATES, "--runs 3").out
    assert "…" not in turned
    assert sorted(turned.replace("─", "").split()) == sorted(plain.split())


def test_columns_line_up():
    lines = report.aligned(["optimizer", "lr", "status"], [["sgd", "0.5", "ok"], ["signsgd", "10.25", "undefined"]])
    assert lines == ["optimizer     lr  status", "sgd          0.5  ok", "signsgd    10.25  undefined"]


def test_seeds_of_problem_and_simulation_are_the_option(cli):
    summary = json.loads(cli(f"compare {SMALL} --seed 9 --runs 2 --optimizers sgd --lr sgd=0.1 --json").out)
    assert summary["seeds"] == {"problem": 9, "simulation": 9}
    target = gaussian_problem(20, seed=9).target
    assert not torch.equal(target, gaussian_problem(20).target)
