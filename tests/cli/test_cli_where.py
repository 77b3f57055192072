"""``signscope where``: the registry on the command line."""

import json

from signscope._core.equations import Entry, registry
from signscope.cli.locate import find_test


def test_every_equation_of_a_paper_is_listed_with_file_line_and_name(cli):
    answer = cli("where xiao2024")
    assert answer.code == 0
    wanted = [e for e in registry() if e.key == "xiao2024"]
    assert len(answer.out.splitlines()) == len(wanted) > 3
    for entry in wanted:
        assert f"{entry.file}:{entry.line}" in answer.out
        assert f'"{entry.where}"' in answer.out


def test_json_lists_the_same(cli):
    found = json.loads(cli("where xiao2024 --json").out)
    assert [e["name"] for e in found] == [e.name for e in registry() if e.key == "xiao2024"]
    assert set(found[0]) == {"key", "where", "file", "line", "name", "test"}


def test_the_test_file_is_found_by_module_then_by_name(tmp_path):
    tests = tmp_path / "tests"
    (tests / "rules").mkdir(parents=True)
    (tests / "rules" / "test_plain.py").write_text("", encoding="utf-8")
    (tests / "rules" / "test_steps.py").write_text("from x import momentum_step", encoding="utf-8")
    by_module = Entry("k", "w", "rules/plain.py", 1, "signsgd")
    by_name = Entry("k", "w", "rules/other.py", 1, "momentum_step")
    nowhere = Entry("k", "w", "rules/third.py", 1, "momentum")
    assert find_test(by_module, tests) == "tests/rules/test_plain.py"
    assert find_test(by_name, tests) == "tests/rules/test_steps.py"
    assert find_test(nowhere, tests) == ""
