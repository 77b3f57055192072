"""The layout is enforced: imports flow one way, files stay short, names do not clash."""

import ast
from pathlib import Path

import pytest

import signscope

ROOT = Path(signscope.__file__).parent
LAYERS = [
    "_core",
    "schedules",
    "curves",
    "noise",
    "problems",
    "rules",
    "integrate",
    "limits",
    "sdes",
    "simulation",
    "bounds",
    "optim",
    "measure",
    "plots",
    "comparison",
    "reproduce",
    "cli",
]
WITNESSES = {"limits", "sdes", "simulation"}  # independent of one another, so that agreement is evidence
TORCH_FACING = {"optim", "measure"}
SEEN_BY_TORCH_FACING = {"_core", "schedules", "curves", "noise", "rules", "_version"}
FILES = sorted(p for p in ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("signscope"):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("signscope.")}
    return names & set(LAYERS)


def violations(room: str, imports: set[str]) -> set[str]:
    bad = {other for other in imports if LAYERS.index(other) > LAYERS.index(room)}
    if room in WITNESSES:
        bad |= imports & (WITNESSES - {room})
    if room in TORCH_FACING:
        bad |= imports - SEEN_BY_TORCH_FACING - {room}
    return bad


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_file_keeps_the_layout(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = room_of(path)
    if room not in ("__init__", "__main__", "_version"):
        assert room in LAYERS, f"{room} is not a room of the layout"
        assert not violations(room, imported_rooms(tree))
    assert ast.get_docstring(tree), "the first line of a file says its one reason"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 80, f"{node.name} is longer than 80 lines"


def test_the_layer_test_has_teeth():
    tree = ast.parse("from signscope.simulation import simulate\nimport signscope.cli")
    assert violations("limits", imported_rooms(tree)) == {"simulation", "cli"}
    assert violations("optim", {"problems"}) == {"problems"}


def test_no_function_is_named_like_a_module():
    modules = {p.stem for p in FILES} | {p.parent.name for p in FILES}
    public = {n for n in signscope.__all__ if n.islower() and not n.startswith("__")} - set(signscope._ROOMS)
    assert not public & (modules - {"__init__"})
