"""What the machine refuses (disk, memory, range of numbers, streams): one line, and no result is lost."""

import errno
import os
import sys
from pathlib import Path

import pytest
import typer

from signscope import cli as command_line
from signscope.cli.door import guarded

SMALL = "--dim 10 --horizon 0.5"
WRITERS = {
    "compare": f"compare {SMALL} --runs 2 --optimizers sgd --lr sgd=0.1",
    "predict": f"predict signsgd {SMALL} --lr 0.1",
    "check": "check --dim 10",
    "effects": f"effects {SMALL} --lr 0.1",
    "schedule": f"schedule sgd {SMALL} --shapes constant",
    "sde": "sde --steps 4 --paths 4",
    "bounds": "bounds --L-inf 1 --delta 1 --sigma 1",
}


@pytest.mark.parametrize("line", WRITERS.values(), ids=list(WRITERS))
def test_a_full_disk_costs_the_files_and_not_what_was_found(cli, tmp_path, monkeypatch, line):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    wanted = cli(line)
    monkeypatch.setattr(Path, "write_text", full)
    answer = cli(line, "--out", tmp_path / "new" if "bounds" not in line else tmp_path / "new.csv")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "cannot write to" in answer.err
    assert "No space left on device" in answer.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    if "bounds" not in line:
        assert answer.out == wanted.out != ""


def test_bounds_go_into_what_is_no_file_and_a_place_that_refuses_is_named(cli, tmp_path):
    line = WRITERS["bounds"]
    assert cli(line, "--force --out", os.devnull).code == 0
    assert not Path(os.devnull).is_file()
    if Path("/dev/full").exists():
        full = cli(line, "--force --out", "/dev/full")
        assert full.code == 2
        assert "--out: cannot write to /dev/full" in full.err
    (tmp_path / "link.csv").symlink_to(tmp_path / "there.csv")
    assert cli(line, "--out", tmp_path / "link.csv").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "there.csv").read_text(encoding="utf-8").startswith("name,")


def _while_stopped():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise RecursionError("maximum recursion depth exceeded")  # noqa: B904  (as packages do while imported)


def _raising(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (_raising(MemoryError("Unable to allocate 74 GiB")), "failed: not enough memory; use a smaller problem"),
        (_raising(RuntimeError("[enforce fail] can't allocate memory: 8 bytes")), "failed: not enough memory; use"),
        (_raising(OverflowError(34, "Numerical result out of range")), "failed: a number is out of range ("),
        (_raising(ZeroDivisionError("division by zero")), "failed: ZeroDivisionError: division by zero"),
        (_while_stopped, "stopped by the keyboard"),
    ],
)
def test_what_fails_is_told_in_one_line(capsys, call, words):
    with pytest.raises(typer.Exit) as caught, guarded("here", debug=False):
        call()
    assert caught.value.exit_code == 1
    told = capsys.readouterr().err
    assert told.startswith("signscope here: ")
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_does_not_stop_the_work(tmp_path, monkeypatch, closed):
    monkeypatch.setattr(sys, closed, None)
    monkeypatch.setattr(sys, "argv", ["signscope", *WRITERS["predict"].split(), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert caught.value.code == 0
    assert (tmp_path / "summary.json").exists()
