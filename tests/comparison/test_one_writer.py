"""A folder of results has one writer; a process that is gone holds nothing."""

import subprocess
import sys

import pytest

from signscope import InvalidInput
from signscope.comparison.one_writer import one_writer

pytest.importorskip("fcntl")
HOLD = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); print(1, flush=True); input()"


def test_a_process_keeps_others_out_until_it_is_killed(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        with pytest.raises(InvalidInput, match="another process is writing to"), one_writer(tmp_path, who="here"):
            pass
        child.kill()
        child.wait()
        with one_writer(tmp_path, who="here") as path:
            assert path == tmp_path


def test_the_second_of_two_is_refused_and_an_empty_folder_goes(tmp_path):
    place = tmp_path / "new" / "folder"
    with one_writer(place, who="here"):
        assert place.is_dir()
        with pytest.raises(InvalidInput, match="here: another process"), one_writer(place, who="here"):
            pass
        assert place.is_dir()  # the refused one has removed nothing
    assert not (tmp_path / "new").exists()
    with one_writer(place, who="here") as path:
        (path / "result").touch()
    assert (place / "result").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="here: cannot write to"), one_writer(tmp_path / "file", who="here"):
        pass
