"""``signscope rescale`` and ``signscope translate``: the lines of the pages, JSON, and what is refused."""

import json

import pytest
import typer
from typer.testing import CliRunner

from signscope.cli.door import Door
from signscope.cli.rescaling import rescale_batch, translate_optimizer
from signscope.comparison.translation import rescale, translate

RESCALE = "rescale --optimizer adamw --lr 3e-4 --betas 0.9,0.95 --weight-decay 0.1 --batch 256 --to-batch 2048"
TRANSLATE = "translate --from adamw --lr 3e-4 --weight-decay 0.1 --to signum"


@pytest.fixture(scope="module")
def run():
    app = typer.Typer(cls=Door, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command("rescale")(rescale_batch)
    app.command("translate")(translate_optimizer)
    return lambda words: CliRunner().invoke(app, words.split(), prog_name="signscope")


def test_rescale(run):
    answer = run(RESCALE)
    assert answer.exit_code == 0, answer.output
    wanted = rescale("adamw", lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, batch_size=256, to_batch_size=2048)
    assert answer.stdout == f"{wanted}\n"
    content = json.loads(run(f"{RESCALE} --json").stdout)
    assert content["command"] == "rescale"
    assert content["new"]["lr"] == wanted.lr
    assert content["regime"]["status"] == "assumed"
    assert content["options"]["betas"] == [0.9, 0.95]


def test_translate(run):
    answer = run(TRANSLATE)
    assert answer.exit_code == 0, answer.output
    wanted = translate("adamw", to="signum", lr=3e-4, weight_decay=0.1)
    assert answer.stdout == f"{wanted}\n"
    content = json.loads(run(f"{TRANSLATE} --at slope --snr 0.01 --json").stdout)
    assert content["lr"] == pytest.approx(wanted.other_lr)
    assert content["regime"]["status"] == "inside"


def test_a_measured_ratio_is_used(run):
    assert "Here: outside." in run(f"{RESCALE} --snr 2").stdout
    assert "Progress per sample" in run(f"{RESCALE} --snr 2").stdout
    assert run("translate --from sgd --to adam --lr 0.1 --noise-std 0.02").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rescale --optimizer adamw --lr 1e-3 --batch 1", "--to-batch is needed"),
        ("rescale --lr 1e-3 --batch 1 --to-batch 2", "--optimizer is needed"),
        ("rescale --optimizer lion --lr 1e-3 --batch 1 --to-batch 2", "no rule for optimizer 'lion'"),
        ("rescale --optimizer adamw --lr 1e-3 --betas 0.9 --batch 1 --to-batch 2", "two numbers"),
        ("rescale --optimizer adamw --lr nan --batch 1 --to-batch 2", "`lr`"),
        ("rescale --optimizer adamw --lr 1e-3 --batch 1 --to-batch 64", "at most"),
        (f"{RESCALE} --report nothing.json", "nothing.json"),
        (f"{RESCALE} --report nothing.json --snr 1", "exclude"),
        ("translate --from sgd --to adam --lr 0.1", "`noise` is needed"),
        (f"{TRANSLATE} --at speed", "`at`"),
        ("translate --from adamw --to signum", "--lr is needed"),
        (f"{TRANSLATE} --batch x", "--batch"),
    ],
)
def test_bad_input_is_one_line_and_code_two(run, words, message):
    answer = run(words)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
