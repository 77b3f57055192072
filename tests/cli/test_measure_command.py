"""``signscope measure``: what it prints, writes and returns."""

import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from signscope.cli.door import Door
from signscope.cli.measuring import measure_model
from signscope.measure import NoiseReport, SmoothnessReport

MODULE = """
import torch
from torch import nn

def make_model():
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))

def make_loader():
    gen = torch.Generator().manual_seed(0)
    return [(torch.randn(8, 6, generator=gen), torch.randint(0, 3, (8,), generator=gen)) for _ in range(12)]

def numbers():
    gen = torch.Generator().manual_seed(0)
    return [(torch.randn(8, 6, generator=gen), torch.randn(8, 3, generator=gen)) for _ in range(12)]

def single():
    return [x for x, _ in make_loader()]

def loss(model, batch):
    return model(batch).square().mean()

def nothing():
    return None

def entropy(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

def with_targets(change, inputs=6):
    gen = torch.Generator().manual_seed(0)
    return [(torch.randn(8, inputs, generator=gen), change(torch.randint(0, 3, (8,), generator=gen)))] * 12

def floats():
    return with_targets(lambda y: y.double())

def out_of_range():
    return with_targets(lambda y: y + 1)

def pairs():
    return with_targets(lambda y: y[:, None].expand(8, 2))

def lists():
    return with_targets(lambda y: y.tolist())

def narrow():
    return with_targets(lambda y: y, inputs=5)

def dictionaries():
    return [{"speed": torch.ones(8, 6)}] * 12

def images():
    return [(torch.randn(8, 3, 4), torch.randint(0, 3, (8, 4)))] * 12

def one_score():
    return nn.Linear(6, 1)

def classes_first():
    return nn.Conv1d(3, 3, 1)

def two_outputs():
    return nn.LSTM(6, 3)

constant = 3
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The command in an application of its own, in a folder with the module."""
    (tmp_path / "measured_here.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "measured_here", raising=False)
    app = typer.Typer(cls=Door, add_completion=False, pretty_exceptions_enable=False)
    app.command("measure")(measure_model)
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["measure", *map(str, words)], prog_name="signscope")


BASE = ["--model", "measured_here:make_model", "--data", "measured_here:make_loader", "--num-batches", "12"]


def test_text_files_and_config(call, tmp_path):
    answer = call(*BASE, "--out", tmp_path / "r")
    assert answer.exit_code == 0, answer.stderr
    for words in ("Noise density", "Smoothness of 43 parameters", "Would a sign method help?", "Rule:"):
        assert words in answer.stdout
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "noise.json", "noise.png", "smoothness.json", "summary.json",
    }  # fmt: skip
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    assert summary["noise"]["overall"]["density"] == NoiseReport.load(tmp_path / "r" / "noise.json").density
    assert summary["smoothness"]["maximum"] == SmoothnessReport.load(tmp_path / "r" / "smoothness.json").maximum
    again = call("--config", tmp_path / "r" / "summary.json", "--json")
    assert json.loads(again.stdout) == summary
    refused = call(*BASE, "--out", tmp_path / "r")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert call(*BASE, "--no-smoothness", "--out", tmp_path / "r", "--force").exit_code == 0
    assert not (tmp_path / "r" / "smoothness.json").exists()


def test_a_short_loader_is_a_note_in_one_line(call):
    answer = call(*BASE, "--num-batches", "64", "--no-smoothness")
    assert answer.exit_code == 0
    assert answer.stderr.splitlines() == [
        "signscope measure: note: gradient_noise: the loader ended after 12 of 64 batches; the report rests on 12."
    ]
    assert "12 of 64 batches were used" in answer.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--data", "measured_here:numbers"],
        ["--data", "measured_here:single", "--loss", "measured_here:loss"],
        ["--samples", "each", "--mode", "train"],
    ],
    ids=["numbers", "own loss", "per sample"],
)
def test_losses_and_options(call, words):
    answer = call(*BASE, "--no-smoothness", "--json", *words)
    assert answer.exit_code == 0, answer.stderr
    summary = json.loads(answer.stdout)
    assert summary["smoothness"] is None
    assert summary["noise"]["overall"]["sigma1"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model is needed"),
        (["--model", "measured_here:make_model"], "--data is needed"),
        (["--model", "measured_here", "--data", "measured_here:single"], "needs MODULE:FUNCTION"),
        (["--model", ".measured_here:make_model", "--data", "measured_here:single"], "needs MODULE:FUNCTION"),
        ([*BASE, "--new-batch-size", "0"], "`new_batch_size` must be"),
        (["--model", "no_such_module_here:f", "--data", "measured_here:single"], "cannot import"),
        (["--model", "measured_here:nope", "--data", "measured_here:single"], "has no nope"),
        (["--model", "measured_here:constant", "--data", "measured_here:single"], "not a function"),
        (["--model", "measured_here:nothing", "--data", "measured_here:single"], "not a torch.nn.Module"),
        (["--model", "measured_here:make_model", "--data", "measured_here:nothing"], "must return a loader"),
        ([*BASE, "--data", "measured_here:single"], "--loss is needed"),
        ([*BASE, "--data", "measured_here:floats"], "float64 (8,) targets suggest squared error"),
        ([*BASE, "--data", "measured_here:floats", "--loss", "measured_here:entropy"], "float32 (8, 6), float64 (8,)"),
        ([*BASE, "--data", "measured_here:out_of_range"], "labels from 0 to the number of scores - 1"),
        ([*BASE, "--data", "measured_here:out_of_range", "--samples", "each"], "labels from 0 to the number of"),
        ([*BASE, "--data", "measured_here:pairs"], "int64 (8, 2) targets suggest cross-entropy"),
        ([*BASE, "--data", "measured_here:lists"], "the targets are a list"),
        ([*BASE, "--data", "measured_here:narrow"], "`loss_fn` failed on a batch of float32 (8, 5), int64 (8,)"),
        ([*BASE, "--data", "measured_here:dictionaries"], "unexpected keyword argument 'speed'"),
        ([*BASE, "--model", "measured_here:one_score"], "the model gives float32 (8, 1)"),
        ([*BASE, "--model", "measured_here:two_outputs"], "the model gives a tuple"),
        (["--model", "measured_here:classes_first", "--data", "measured_here:images"], "a score per class (last)"),
        ([*BASE, "--mode", "test"], "`mode` must be"),
        ([*BASE, "--seed", "-1"], "`seed` must be"),
        ([*BASE, "--speed", "3"], "No such option"),
    ],
)
def test_bad_input_exits_with_2_in_one_line(call, words, message):
    answer = call(*words)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
