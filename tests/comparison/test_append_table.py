"""A results file survives every way of being cut off, byte by byte."""

import pytest

from signscope._core.errors import InvalidInput
from signscope.comparison.append_table import AppendTable


def opened(path):
    return AppendTable(path, key=["name"], values=["a", "b"], parse=lambda v: {"a": float(v[0]), "b": v[1]})


ROWS = {("x",): [{"a": 1.5, "b": 'one, "two"'}], ("é",): [{"a": float("inf"), "b": ""}, {"a": 0.1, "b": "z"}]}


@pytest.fixture
def path(tmp_path):
    table = opened(tmp_path / "t.csv")
    for key, rows in ROWS.items():
        table.add(key, rows)
    return tmp_path / "t.csv"


def test_what_was_added_is_read_back(path):
    table = opened(path)
    assert table.groups == ROWS
    assert ("x",) in table
    assert ("y",) not in table


def test_cut_anywhere_it_holds_whole_rows_only_and_takes_the_rest_again(path):
    whole = path.read_bytes()
    lines = whole.decode().splitlines(keepends=True)
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        table = opened(path)
        complete = whole[:length].count(b"\n")
        assert sum(map(len, table.groups.values())) == max(0, complete - 1)
        if not table.groups:
            table.add(("x",), ROWS["x",])
        assert path.read_text(encoding="utf-8").startswith("".join(lines[:2]))
        assert opened(path).groups == table.groups


def test_rows_that_are_not_whole_are_dropped_with_their_key(path):
    def whole(key, rows):
        return rows if key == ("x",) else []

    table = AppendTable(path, key=["name"], values=["a", "b"], parse=lambda v: {"a": v[0], "b": v[1]}, whole=whole)
    assert list(table.groups) == [("x",)]
    assert "é" not in path.read_text(encoding="utf-8")


def test_another_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time,value\n1,2\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="not a results file"):
        opened(path)
    assert path.read_text(encoding="utf-8") == "time,value\n1,2\n"


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises((InvalidInput, NotADirectoryError)):
        opened(tmp_path / "file" / "t.csv").add(("x",), ROWS["x",])
