"""Data sets by name, and random features, on the way from options to a problem."""

import numpy as np
import pytest

from signscope._core.errors import InvalidInput
from signscope.cli.inputs import build_problem

BLANK = {
    **dict.fromkeys(("target", "features", "problem", "dim", "spectrum", "cov", "noise", "random_features")),
    "rotated": False,
    "center": True,
    "scale": "global",
    "ridge": 1e-6,
    "seed": 0,
    "start": "zeros",
}


@pytest.fixture
def reviews(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 50)).astype(np.float32), np.where(rng.random(400) < 0.5, -1, 1)
    np.savez(tmp_path / "imdb_glove50.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    return tmp_path


def test_named_data_bring_their_features(reviews):
    problem, options = build_problem({**BLANK, "data": f"imdb:{reviews}"})
    assert problem.dim == 50
    assert options["random_features"] == "tanh:50:0.3"
    assert options["data"] == f"imdb:{reviews.resolve()}"
    again, same = build_problem(options)
    assert same == options
    assert np.array_equal(again.rows.features, problem.rows.features)


def test_features_are_an_option(reviews):
    wide, _ = build_problem({**BLANK, "data": f"imdb:{reviews}", "random_features": "relu:70"})
    assert wide.dim == 70
    plain, options = build_problem({**BLANK, "data": f"imdb:{reviews}", "random_features": "none"})
    assert plain.dim == 50
    assert options["random_features"] == "none"
    digits, _ = build_problem({**BLANK, "data": "digits", "random_features": "tanh:30"})
    assert digits.dim == 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": "imdb:/nowhere"}, "does not exist"),
        ({"data": "digits", "random_features": "gelu:30"}, "got 'gelu'"),
        ({"data": "digits", "random_features": "tanh:0"}, "`width`"),
        ({"data": "mnist"}, "cifar10:PATH"),
        ({"data": "imdb:/tmp", "target": "label"}, "leave out --target"),
        ({"data": None, "dim": 5, "random_features": "tanh:30"}, "--random-features does not go with a gaussian"),
    ],
)
def test_what_is_wrong_is_said(options, words):
    with pytest.raises(InvalidInput, match=words):
        build_problem({**BLANK, **options})
