"""Importing the package loads nothing heavy."""

import subprocess
import sys

HEAVY = ("torch", "scipy", "sklearn", "pandas", "matplotlib", "numpy")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_import_loads_nothing_heavy():
    assert loaded_after("import signscope; signscope.__version__; dir(signscope)") == set()
    assert "torch" in loaded_after("import signscope; signscope.Curve")
