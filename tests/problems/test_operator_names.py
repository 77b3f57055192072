"""Operators from a few words, from the library and from the command line."""

import json

import pytest
import torch
from typer.testing import CliRunner

import signscope as ss
from signscope import InvalidInput
from signscope.cli.app import app
from signscope.problems import Circulant, DiagonalPlusLowRank, Toeplitz, parse_operator


def test_forms_build_what_they_say():
    cov = parse_operator("low-rank:3", 2000, seed=1)
    assert isinstance(cov, DiagonalPlusLowRank)
    assert cov.trace / 2000 == pytest.approx(1.25, rel=0.05)  # factors hold a fifth
    own = torch.linspace(0.1, 1, 2000, dtype=torch.float64)
    assert parse_operator("low-rank:3", 2000, own=own).trace / 2000 == pytest.approx(0.55 * 1.25, rel=0.05)
    line, ring = parse_operator("toeplitz:0.5", 10), parse_operator("circulant:2", 10)
    assert isinstance(line, Toeplitz)
    assert isinstance(ring, Circulant)
    assert float(line.dense()[0, 2]) == pytest.approx(0.25)
    assert float(ring.dense()[0, 9]) == pytest.approx(float(torch.exp(torch.tensor(-0.5))))


def test_the_seed_names_the_loadings():
    first, again, other = (parse_operator("low-rank:2", 50, seed=s).dense() for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lowrank:3", "low-rank:RANK"),
        ("low-rank:", "unknown operator"),
        ("low-rank:2.5", "whole number"),
        ("low-rank:60", "at least 60 coordinates"),
        ("toeplitz:1", "between -1 and 1"),
        ("circulant:0", "above 0"),
        ("toeplitz:x", "must be a number"),
    ],
)
def test_bad_words_are_named(text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_operator(text, 50)


def test_a_spectrum_needs_a_form_that_has_one():
    with pytest.raises(InvalidInput, match="leave out the spectrum"):
        parse_operator("toeplitz:0.5", 5, own=torch.ones(5, dtype=torch.float64))


def test_the_command_line_predicts_beyond_the_reach_of_a_matrix():
    words = ["predict", "signsgd", "--problem", "low-rank:4", "--dim", "5000", "--horizon", "1", "--lr", "0.5"]
    done = CliRunner().invoke(app, [*words, "--json", "--seed", "1"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["options"]["problem"] == "low-rank:4"
    problem = ss.LeastSquares(parse_operator("low-rank:4", 5000, seed=1), noise="none", seed=1)
    curve = ss.predict(problem, "signsgd", lr=0.5, horizon=1)
    assert summary["optimizers"]["signsgd"]["final_predicted"] == pytest.approx(curve.final, rel=1e-9)
    clash = CliRunner().invoke(app, [*words, "--rotated"])
    assert clash.exit_code == 2
    assert "--rotated" in clash.output
