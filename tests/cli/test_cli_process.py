"""The command as a process: start-up, exit codes as the shell sees them, streams kept apart."""

import json
import subprocess
import sys

import pytest


def signscope(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "signscope", *words], capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_version_and_help_load_nothing_heavy():
    code = (
        "import sys, signscope.cli.app as a\n"
        "for words in (['--version'], ['--help'], ['compare', '--help'], ['where', 'xiao2024']):\n"
        "    try: a.app(words, prog_name='signscope')\n"
        "    except SystemExit as e: assert not e.code, e.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "signscope 0." in done.stdout
    assert "compare" in done.stdout


@pytest.mark.parametrize("words", [["compare", "nothing.npz"], ["compare", "--nothing"], ["nothing"]])
def test_bad_input_exits_with_two_and_one_line(words):
    done = signscope(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_debug_shows_the_traceback():
    done = signscope("compare", "nothing.npz", "--debug")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("early", [True, False])
def test_ctrl_c_before_a_command_has_begun_is_one_line(early, monkeypatch, capsys):
    from signscope import cli
    from signscope.cli import app

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    if early:
        monkeypatch.setattr(app, "app", stopped)
    else:
        monkeypatch.setattr("typer.core.TyperGroup.main", lambda *a, **o: 130)  # typer's answer to Ctrl-C
    monkeypatch.setattr(sys, "argv", ["signscope"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "signscope: stopped by the keyboard.\n"


def test_json_alone_on_stdout():
    done = signscope("predict", "signsgd", "--dim", "10", "--lr", "0.3", "--horizon", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["command"] == "predict"


@pytest.mark.slow
def test_the_demo_runs_without_any_argument(tmp_path):
    done = signscope("compare", "--out", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text(encoding="utf-8"))
    assert summary["options"]["data"] == "digits"
    assert summary["problem"]["dim"] == 61
    for name in ("sgd", "signsgd"):
        assert summary["optimizers"][name]["gap_mean"] <= 0.08


@pytest.mark.slow
def test_the_demo_is_repeated_bit_for_bit(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert signscope("compare", "--out", str(first)).returncode == 0
    assert signscope("compare", "--config", str(first / "summary.json"), "--out", str(second)).returncode == 0
    for name in ("curves.csv", "summary.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
