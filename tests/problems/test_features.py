"""Random features: the formula, seeds, blocks of rows, and the kernel they approximate."""

import numpy as np
import pytest
import torch

from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.problems import LeastSquares, features, features_from_text, random_features

X = np.random.default_rng(0).standard_normal((50, 6))
FUNCTIONS = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "cos": np.cos}


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_formula(activation):
    weights = stream(3, "random features").standard_normal((6, 9))
    expected = FUNCTIONS[activation](X @ weights / 6**0.5)
    found = random_features(X, 9, activation=activation, seed=3)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    centred = random_features(X, 9, activation=activation, seed=3, center=True)
    np.testing.assert_allclose(centred, expected - expected.mean(0), rtol=1e-12, atol=1e-13)
    assert torch.equal(features_from_text(X, f"{activation}:9", seed=3), found)


def test_cosine_features_have_their_kernel():
    """E cos(w'x) cos(w'y) = exp(-|x-y|^2/2p)/2 + exp(-|x+y|^2/2p)/2, within 4.5 standard errors."""
    x, y = X[0], X[1]
    pair = random_features(np.stack([x, y]), 100_000, activation="cos")
    products = pair[0] * pair[1]
    expected = sum(np.exp(-np.sum((x + s * y) ** 2) / 12) for s in (-1, 1)) / 2
    stderr = float(products.std()) / len(products) ** 0.5
    assert abs(float(products.mean()) - expected) < 4.5 * stderr
    assert abs(float(products.mean()) - 2 * expected) > 4.5 * stderr


def test_blocks_of_rows_change_nothing(monkeypatch):
    whole = random_features(X, 7)
    monkeypatch.setattr(features, "_BLOCK", 8)
    torch.testing.assert_close(random_features(X, 7), whole, rtol=1e-13, atol=1e-15)


def test_seed_names_the_layer():
    assert torch.equal(random_features(X, 7, seed=1), random_features(X, 7, seed=1))
    assert not torch.equal(random_features(X, 7, seed=1), random_features(X, 7, seed=2))


@pytest.mark.parametrize("convert", [torch.from_numpy, lambda a: a.astype(np.float32), lambda a: a.tolist()])
def test_any_array_will_do(convert):
    torch.testing.assert_close(random_features(convert(X), 7), random_features(X, 7), rtol=1e-5, atol=1e-6)


def test_added_noise_lifts_the_smallest_eigenvalues():
    rows = np.repeat(X, 400, axis=0)  # 20,000 rows, 50 different ones: 6 columns of rank 6
    plain, noisy = random_features(rows, 60, center=True), features_from_text(rows, "tanh:60:0.3", center=True)
    added = (noisy - plain).numpy()
    np.testing.assert_allclose(np.cov(added.T), 0.09 * np.eye(60), atol=4.5 * 0.09 * (2 / 20_000) ** 0.5)
    assert np.linalg.eigvalsh(np.cov(plain.T))[0] < 0.01 < 0.08 < np.linalg.eigvalsh(np.cov(noisy.T))[0]
    assert torch.equal(noisy, random_features(rows, 60, noise=0.3, center=True))


def test_what_is_not_finite_is_told_with_its_place_among_all_rows(monkeypatch):
    monkeypatch.setattr("signscope.problems.features._BLOCK", 4)
    rows = np.ones((10, 3))
    rows[9, 1], rows[6, 2] = np.nan, np.inf
    with pytest.raises(InvalidInput, match=r"2 of 30 entries are not \(the first is features\[6, 2\]"):
        random_features(rows, 5)


def test_features_make_a_problem():
    problem = LeastSquares.from_data(random_features(X, 20), X[:, 0])
    assert problem.dim == 20


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: random_features(X, 0), "`width`"),
        (lambda: random_features(X, 3, activation="gelu"), "'tanh', 'relu', 'cos'; got 'gelu'"),
        (lambda: random_features(X[0], 3), r"shape \(n, p\), got \(6,\)"),
        (lambda: random_features(np.full((2, 2), np.nan), 3), "must be finite"),
        (lambda: random_features([["a", "b"]], 3), "must hold real numbers"),
        (lambda: features_from_text(X, "tanh"), "not ACTIVATION:WIDTH"),
        (lambda: features_from_text(X, "tanh:many"), "not ACTIVATION:WIDTH"),
        (lambda: features_from_text(X, "gelu:5"), "got 'gelu'"),
        (lambda: features_from_text(X, "tanh:0"), "`width`"),
        (lambda: features_from_text(X, "tanh:-3"), "`width`"),
        (lambda: features_from_text(X, "tanh:5:much"), "not ACTIVATION:WIDTH"),
        (lambda: features_from_text(X, "tanh:5:-1"), "`noise`"),
        (lambda: features_from_text(X, "tanh:5:1:1"), "not ACTIVATION:WIDTH"),
    ],
)
def test_nonsense_is_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
