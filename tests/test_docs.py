"""What the pages say is run: Python blocks, command lines, examples, links, names of options and functions."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.main import get_command
from typer.testing import CliRunner

import signscope
from signscope._core.status import OPTIMIZERS as COMPARED
from signscope.cli.app import app
from signscope.noise import USAGE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, QUICKSTART, OPTIMIZERS = ROOT / "README.md", DOCS / "quickstart.md", DOCS / "optimizers.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

SMALL_RUN = {"compare": ("--horizon", "1", "--runs", "2"), "predict": ("--horizon", "1"), "where": ()}
SMALL_RUN["simulate"] = SMALL_RUN["compare"]
SMALL_RUN |= dict.fromkeys(("check", "rescale", "translate", "bounds", "reproduce"), ())
SMALL_RUN |= {"effects": ("--horizon", "1"), "sweep": ("--horizon", "1"), "sde": ("--steps", "20", "--paths", "8")}
SMALL_RUN["schedule"] = ("--horizon", "1", "--shapes", "constant,linear")
SMALL_EXAMPLE = {"HORIZON": "1", "NUM_RUNS": "2", "DIM": "20", "NUM_PIECES": "3", "NUM_ITERATIONS": "2"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def lines(page: Path, program: str) -> list[str]:
    return [
        line for block in blocks(page, "bash") for line in block.splitlines() if re.search(rf"(^|&& ){program} ", line)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the files that the pages talk of."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6))
    y = X @ rng.normal(size=6) + 0.3 * rng.normal(size=80)
    np.savez(tmp_path / "mydata.npz", X=X, y=y)
    np.savetxt(tmp_path / "table.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,d,e,f,price", comments="")
    np.save(tmp_path / "K.npy", np.cov(X.T))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def without_windows():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.mark.parametrize("page", [README, QUICKSTART, OPTIMIZERS], ids=name)
def test_python_blocks_run(page, folder, without_windows):
    code = "\n".join(blocks(page, "python"))
    assert code
    exec(compile(code, name(page), "exec"), {"__name__": "__main__"})


def test_command_lines_run(folder):
    typed = [shlex.split(line, comments=True)[1:] for page in (README, QUICKSTART) for line in lines(page, "signscope")]
    commands = {" ".join(words): words for words in typed}
    assert {words[0] for words in typed} == set(SMALL_RUN)
    for command, given in commands.items():
        small = [*given, *SMALL_RUN[given[0]], *(("--dim", "20") if "--dim" in given else ())]
        if given[0] == "compare" and "--config" not in given:  # searching for rates takes seconds
            names = given[given.index("--optimizers") + 1].split(",") if "--optimizers" in given else COMPARED
            small += [word for each in names for word in ("--lr", f"{each}=0.1")]
        done = CliRunner().invoke(app, small)
        assert done.exit_code == 0, f"{command}: {done.output}"
        if "--json" in given:
            assert json.loads(done.stdout)["schema"] == 1
        if "--out" in given:
            content = set((folder / "results").iterdir())
            assert {p.name for p in content} == {"risk.png", "curves.csv", "summary.json"}


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {t for page in PAGES for t in re.findall(r"\bmake ([a-z-]+)`", page.read_text(encoding="utf-8"))}
    named |= {line.split("make ")[1].split()[0] for page in PAGES for line in lines(page, "make")}
    assert {"demo", "test"} <= named <= targets


def test_options_named_on_pages_exist():
    commands = get_command(app).commands
    known = {option for command in commands.values() for p in command.params for option in (*p.opts, *p.secondary_opts)}
    known |= {"--table", "--version"}  # of benchmarks/accuracy.py, of signscope itself
    for page in PAGES:
        spans = re.findall(r"`([^`\n]+)`", prose(page))
        named = {option for span in spans for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
        assert named <= known, f"{name(page)}: {named - known}"


def test_python_names_on_pages_exist():
    for page in PAGES:
        for span in re.findall(r"`([^`\n]+)`", prose(page)):
            for dotted in re.findall(r"^(?:ss|signscope)\.([\w.]+)", span):
                found = signscope
                for part in dotted.rstrip(".").split("."):
                    found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")


def test_every_public_name_has_its_place_in_the_reference():
    text = "\n".join(p.read_text(encoding="utf-8") for p in sorted((DOCS / "api").glob("*.md")))
    shown = re.findall(r"^::: (\S+)", text, re.MULTILINE)
    public = {f"signscope.{n}" for n in {*signscope.__all__} - {*signscope._ROOMS, "__version__"}}
    assert public <= set(shown)
    for path in shown:
        if path != "signscope.schedules":
            module, _, last = path.rpartition(".")
            assert getattr(importlib.import_module(module), last).__doc__, path


def test_the_noise_table_is_complete():
    cells = re.findall(r"^\| (`.+?) \|", QUICKSTART.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {form for cell in cells for form in re.findall(r"`([^`]+)`", cell)}
    forms = {
        form.removesuffix(" (any law of scipy.stats)") for part in USAGE.split("; ") for form in part.split(" or ")
    }
    assert forms <= shown, forms - shown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        assert not target.startswith(("http:", "/")), target
        if not target.startswith("https:"):
            assert (page.parent / target.partition("#")[0]).exists(), target


def made_pictures(*, long_only=False):
    """Names of the pictures that ``docs/make_pictures.py`` can make."""
    sys.path.insert(0, str(DOCS))
    try:
        module = import_module("make_pictures")
        return {*module.LONG} if long_only else {*module.PICTURES, *module.LONG}
    finally:
        sys.path.remove(str(DOCS))


def test_pages_are_in_the_navigation_and_pictures_on_pages():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    assert listed == {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    pictures = {p.name for p in (DOCS / "pictures").iterdir()}
    pages = "\n".join(p.read_text(encoding="utf-8") for p in PAGES)
    made = made_pictures()
    for picture in pictures:
        assert f"pictures/{picture})" in pages
        assert picture.removesuffix(".png") in made


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_examples_run_in_small(path, folder, without_windows):
    source = path.read_text(encoding="utf-8")
    assert source.count("# %%") >= 3
    for constant, value in SMALL_EXAMPLE.items():
        source = re.sub(rf"^{constant} = [\d.]+", f"{constant} = {value}", source, flags=re.MULTILINE)
    assert "HORIZON = 1" in source
    source = source.replace("import digits\n", "import diabetes as digits\n")  # 10 columns in place of 61
    exec(compile(source, str(path), "exec"), {"__name__": "__main__"})


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?", text)]


@pytest.mark.slow
def test_the_table_of_the_readme_is_what_the_demo_prints(tmp_path):
    command = [sys.executable, "-m", "signscope", "compare", "--out", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    ours, theirs = blocks(README, "text")[0].strip().splitlines(), done.stdout.splitlines()
    for line, printed in zip(ours, theirs, strict=False):
        assert re.findall(r"[a-zA-Z]{3,}", line) == re.findall(r"[a-zA-Z]{3,}", printed)
        np.testing.assert_allclose(numbers(line), numbers(printed), rtol=0.05, atol=0.5)


@pytest.mark.slow
def test_pictures_are_made(tmp_path):
    """All but those of long experiments."""
    subprocess.run([sys.executable, str(DOCS / "make_pictures.py"), str(tmp_path)], check=True, timeout=600)
    long = {f"{name}.png" for name in made_pictures(long_only=True)}
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in (DOCS / "pictures").iterdir()} - long


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(ROOT / "mkdocs.yml")]
    done = subprocess.run([*command, "-d", str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
