"""--config repeats a run exactly; what is typed wins; rates are part of the result."""

import json

import pytest

GAUSSIAN = "compare --dim 15 --rotated --noise laplace:0.3 --horizon 1 --runs 3 --seed 5"
HALVES = {
    "predict": "predict signsgd --dim 15 --noise laplace:0.3 --horizon 1",
    "simulate": "simulate adam --dim 15 --noise laplace:0.3 --horizon 1 --runs 3 --lr 0.2 --betas 0.5,0.9",
}


def repeated(cli, tmp_path, *words):
    """The two folders of a run and its repetition by --config."""
    first, second = tmp_path / "first", tmp_path / "second"
    answer = cli(*words, "--out", first)
    assert answer.code == 0, answer.err
    answer = cli(words[0], "--config", first / "summary.json", "--out", second)
    assert answer.code == 0, answer.err
    return first, second


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def assert_same(first, second):
    assert (first / "curves.csv").read_bytes() == (second / "curves.csv").read_bytes()
    assert (first / "summary.json").read_bytes() == (second / "summary.json").read_bytes()


def test_a_gaussian_comparison_is_repeated_bit_for_bit(cli, tmp_path):
    assert_same(*repeated(cli, tmp_path, GAUSSIAN))


def test_a_comparison_on_a_file_is_repeated_bit_for_bit(cli, npz, tmp_path):
    words = ["compare", npz, "--target", "label", "--scale", "columns", "--horizon 1 --runs 3"]
    assert_same(*repeated(cli, tmp_path, *words))


@pytest.mark.parametrize("command", list(HALVES))
def test_predict_and_simulate_are_repeated_bit_for_bit(cli, tmp_path, command):
    assert_same(*repeated(cli, tmp_path, HALVES[command]))


def test_a_relative_path_is_found_again_from_elsewhere(cli, npz, tmp_path, monkeypatch):
    monkeypatch.chdir(npz.parent)
    out = tmp_path / "out"
    words = ["predict sgd data.npz --lr 0.1 --horizon 1 --out"]
    assert cli(*words, out).code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("predict", "--config", out / "summary.json").code == 0


def test_what_is_typed_wins_over_the_config(cli, tmp_path):
    assert cli(GAUSSIAN, "--lr", "sgd=0.2", "--out", tmp_path).code == 0
    saved = summary_of(tmp_path)["options"]
    words = ["compare", "--config", tmp_path / "summary.json", "--json"]
    options = json.loads(cli(*words, "--runs", "2", "--lr", "sgd=0.1").out)["options"]
    assert options["num_runs"] == 2
    assert options["lr"] == {**saved["lr"], "sgd": 0.1}
    assert {k: v for k, v in options.items() if k not in ("num_runs", "lr")} == {
        k: v for k, v in saved.items() if k not in ("num_runs", "lr")
    }


def test_optimizers_that_are_typed_leave_the_saved_rates_of_the_others_out(cli, tmp_path):
    path, rates = tmp_path / "options.json", {"sgd": 0.2, "signsgd": 0.1}
    path.write_text(json.dumps({"dim": 10, "horizon": 0.5, "num_runs": 2, "lr": rates}))
    answer = cli("compare", "--config", path, "--optimizers sgd --json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["options"]["lr"] == {"sgd": 0.2}


def test_a_folder_of_results_does_not_hide_a_bundled_data_set(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("predict sgd diabetes --lr 0.1 --horizon 1 --out diabetes").code == 0
    answer = cli("predict --config diabetes/summary.json")
    assert answer.code == 0, answer.err


def test_even_a_typed_default_wins_over_the_config(cli, tmp_path):
    words = ["compare --dim 10 --horizon 0.5 --runs 2 --optimizers sgd --lr sgd=0.1"]
    assert cli(*words, "--seed", "3", "--out", tmp_path).code == 0
    again = json.loads(cli("compare", "--config", tmp_path / "summary.json", "--seed", "0", "--json").out)
    assert again["options"]["seed"] == 0


def test_auto_searches_for_a_rate_anew(cli, tmp_path):
    words = ["compare --dim 10 --noise gaussian:0.3 --horizon 0.5 --runs 2 --optimizers sgd"]
    assert cli(*words, "--lr", "sgd=0.01", "--out", tmp_path).code == 0
    again = cli("compare", "--config", tmp_path / "summary.json", "--lr", "sgd=auto", "--json")
    assert json.loads(again.out)["optimizers"]["sgd"]["lr"] > 0.02


def test_a_file_of_options_alone_is_a_config_too(cli, tmp_path):
    path = tmp_path / "options.json"
    path.write_text(json.dumps({"dim": 10, "horizon": 0.5, "num_runs": 2, "lr": {"sgd": 0.1}, "optimizers": ["sgd"]}))
    summary = json.loads(cli("compare", "--config", path, "--json").out)
    assert summary["options"]["num_runs"] == 2
    assert summary["optimizers"]["sgd"]["lr"] == 0.1
