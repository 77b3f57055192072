"""A wheel is built, and its quick start runs outside the source tree."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

QUICK_START = """
import sys, signscope as ss
assert sys.argv[1] in ss.__file__, ss.__file__
problem = ss.LeastSquares([1.0, 0.5, 0.1] * 10, noise=0.3)
curve = ss.predict(problem, "signsgd", lr=0.3, horizon=3)
runs = ss.simulate(problem, "signsgd", lr=0.3, horizon=3, num_runs=4)
print(ss.gap(curve, runs).mean)
from signscope._core.equations import registry
assert registry(), "sources and references travel with the wheel"
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("signscope-*.whl")
    target = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_wheel_holds_what_it_needs(unpacked):
    package = unpacked / "signscope"
    assert (package / "py.typed").exists()
    assert (package / "references.bib").exists()
    assert not list(unpacked.rglob("test_*.py"))


def test_quick_start_runs_outside_the_source_tree(unpacked, tmp_path):
    environment = {"PYTHONPATH": str(unpacked), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", QUICK_START, str(unpacked)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.5
    version = subprocess.run(
        [sys.executable, "-m", "signscope", "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    (metadata,) = unpacked.glob("signscope-*.dist-info")
    assert version.stdout.split()[-1] == metadata.name.removesuffix(".dist-info").split("-")[1]
