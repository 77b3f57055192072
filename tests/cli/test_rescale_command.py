"""``signscope rescale`` and ``signscope translate``: the lines of the pages, JSON, and what is refused."""

import json
import math

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
    ("words", "factor", "speed"),
    [
        ("rescale --optimizer signsgd --lr 1e-300 --batch 1 --to-batch 4 --snr 1e-50", 2.0, 1.0),
        ("translate --from signsgd --to adam --lr 1e-300 --snr 1e-50", math.sqrt(math.pi / 2), math.pi / 2),
        (
            "translate --from sgd --to signsgd --lr 1e-150 --noise-std 1e-50 --snr 1e-50",
            math.sqrt(2 / math.pi) * 1e-50,
            2 / math.pi,
        ),
    ],
)
def test_small_numbers_that_can_be_held_are_answered(run, words, factor, speed):
    found = json.loads(run(f"{words} --json").stdout)
    lr = found["lr"] if "translate" in words else found["new"]["lr"]
    assert lr == pytest.approx(factor * found["options"]["lr"], rel=1e-2)
    assert found["speed"] == pytest.approx(speed, rel=1e-6)


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
        ("rescale --optimizer sgd --lr 1e308 --batch 1 --to-batch 1e10", "`lr` 1e+308 would become inf"),
        ("rescale --optimizer sgd --lr 1e-300 --batch 1e30 --to-batch 1", "`lr` 1e-300 would become 0"),
        ("rescale --optimizer sgd --lr 1 --batch 1e-300 --to-batch 1e300", "`to_batch_size` 1e+300"),
        ("rescale --optimizer sgd --lr 1 --batch 1e300 --to-batch 1e-300", "`to_batch_size` 1e-300"),
        ("rescale --optimizer adam --lr 1 --batch 1e18 --to-batch 1", "`betas[0]` 0.9"),
        ("rescale --optimizer signum --lr 1 --batch 1e18 --to-batch 1 --keep-memory", "would become 1 at"),
        ("rescale --optimizer signsgd --lr 1 --weight-decay 1e308 --batch 1 --to-batch 10", "`weight_decay` 1e+308"),
        ("rescale --optimizer adam --lr 1 --eps 1e308 --betas 0,0 --batch 10 --to-batch 1", "`eps` 1e+308"),
        ("rescale --optimizer signsgd --lr 1 --batch 1 --to-batch 10 --snr 1e300", "`signal_to_noise` must be"),
        ("rescale --optimizer signsgd --lr 1 --batch 1 --to-batch 10 --snr 1e-300", "`signal_to_noise` must be"),
        ("translate --from sgd --to signsgd --lr 1 --noise-std 1e308", "`noise` must lie"),
        ("translate --from signsgd --to sgd --lr 1 --noise-std 1e-320", "`noise` must lie"),
        ("translate --from sgd --to signsgd --lr 1e300 --noise-std 1e59", "`lr` 1e+300 would become inf"),
        ("translate --from sgd --to adam --lr 1e-300 --noise-std 1e-59", "`lr` 1e-300 would become 0"),
        ("translate --from sgd --to adam --lr 1 --noise-std 1e-50 --weight-decay 1e300", "`weight_decay` 1e+300"),
    ],
)
def test_bad_input_is_one_line_and_code_two(run, words, message):
    answer = run(words)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
