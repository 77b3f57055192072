"""The page about bounds: its Python runs and prints the numbers it shows."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "bounds.md"


def test_the_python_blocks_print_what_the_page_says(capsys):
    text = PAGE.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    exec(compile(code, "docs/bounds.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    for shown in ("<= 0.2317", "lr 0.1159", "batch 671", "T 149"):
        assert shown in printed
    assert printed.count("0.126984") == 3
