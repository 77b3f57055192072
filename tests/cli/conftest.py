"""The command line in-process, with small problems and one thread."""

from dataclasses import dataclass

import numpy as np
import pytest
from typer.testing import CliRunner

from signscope.cli.app import app


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cli():
    """Call a command; texts are split at spaces, paths are not."""

    def call(*args):
        words = [word for a in args for word in (a.split() if isinstance(a, str) else [str(a)])]
        result = CliRunner().invoke(app, words, prog_name="signscope")
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def npz(tmp_path):
    """A small data set in a file."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 6))
    path = tmp_path / "data.npz"
    np.savez(path, X=X, y=X.sum(1) + rng.standard_normal(80), label=X[:, 0])
    return path
