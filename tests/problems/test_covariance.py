"""Covariances: validation, and products, roots and eigenpairs against brute force."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signscope._core.errors import InvalidInput
from signscope.problems import Dense, Diagonal, as_covariance

K = [[1, 0.3, 0.1, 0], [0.3, 0.5, 0.2, 0.05], [0.1, 0.2, 2, -0.4], [0, 0.05, -0.4, 0.25]]


def random_matrix(dim, rank=None, seed=0):
    root = np.random.default_rng(seed).standard_normal((dim, rank or dim))
    return root @ root.T / dim


def worst_z(cov, expected, size=100_000, seed=1):
    """Largest distance, in standard errors, of the sample covariance of ``colour`` from ``expected``."""
    rows = cov.colour(torch.from_numpy(np.random.default_rng(seed).standard_normal((size, cov.num_factors))))
    products = rows[:, :, None] * rows[:, None, :]
    return ((products.mean(0) - expected).abs() / (products.std(0) / size**0.5)).max()


CATALOGUE = {
    "definite": lambda: Dense(K),
    "singular": lambda: Dense(random_matrix(4, rank=2)),
    "diagonal": lambda: Diagonal([2.0, 0.5, 1e-3]),
}


@pytest.mark.parametrize("name", CATALOGUE)
class TestEveryCovariance:
    def test_colour_has_the_covariance(self, name):
        cov = CATALOGUE[name]()
        assert worst_z(cov, cov.dense()) < 4.5
        wrong = cov.dense() * 1.03  # teeth: 3% too large is seen
        assert worst_z(cov, wrong) > 4.5

    def test_operator_agrees_with_its_matrix(self, name):
        cov = CATALOGUE[name]()
        dense, v = (
            cov.dense(),
            torch.randn(3, 2, cov.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        )
        torch.testing.assert_close(cov.matvec(v), v @ dense.T)
        torch.testing.assert_close(cov.quadratic(v), torch.einsum("abi,ij,abj->ab", v, dense, v))
        assert torch.equal(cov.diagonal(), dense.diagonal())
        assert cov.shape == tuple(dense.shape) == (cov.dim, cov.dim)
        assert cov.trace == pytest.approx(float(dense.trace()), rel=1e-14)
        eigvals, eigvecs = cov.eigh()
        torch.testing.assert_close(eigvecs * eigvals @ eigvecs.T, dense, atol=1e-14, rtol=0)
        torch.testing.assert_close(eigvecs.T @ eigvecs, torch.eye(cov.dim, dtype=torch.float64))
        assert (eigvals.diff() >= 0).all()
        assert torch.equal(eigvals, cov.eigvals)
        assert cov.eigh()[1] is eigvecs, "computed once"

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_products_keep_the_dtype(self, name, dtype):
        cov = CATALOGUE[name]()
        z = torch.ones(2, cov.dim, dtype=dtype)
        assert cov.colour(z).dtype == cov.matvec(z).dtype == dtype
        torch.testing.assert_close(cov.colour(z).double(), cov.colour(z.double()), rtol=1e-5, atol=1e-6)

    def test_array_protocol_gives_a_private_copy(self, name):
        cov = CATALOGUE[name]()
        array = np.asarray(cov)
        np.testing.assert_array_equal(array, cov.dense().numpy())
        array[0, 0] = 99
        assert cov.dense()[0, 0] != 99
        assert np.asarray(cov, dtype=np.float32).dtype == np.float32


def test_colour_of_a_definite_matrix_is_the_cholesky_factor():
    cov = Dense(K)
    identity = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(cov.colour(identity).T, torch.linalg.cholesky(cov.dense()))


def test_singular_matrix_keeps_its_null_space_and_says_so():
    matrix = random_matrix(5, rank=3)
    cov = Dense(matrix)
    assert cov.rank == 3
    assert cov.condition_number == float("inf")
    assert cov.describe() == {
        "kind": "dense",
        "dim": 5,
        "trace": pytest.approx(matrix.trace()),
        "condition_number": None,
    }
    root = cov.colour(torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(root, root.T)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-13)


def test_condition_number_of_the_reference_problem():
    eigvals = np.linalg.eigvalsh(np.array(K))
    assert Dense(K).condition_number == pytest.approx(eigvals[-1] / eigvals[0], rel=1e-12)


@pytest.mark.parametrize("convert", [np.array, torch.tensor, pd.DataFrame, lambda m: np.array(m, np.float32)])
def test_as_covariance_takes_what_people_have(convert):
    cov = as_covariance(convert(K))
    assert isinstance(cov, Dense)
    torch.testing.assert_close(cov.dense(), torch.tensor(K, dtype=torch.float64), rtol=1e-6, atol=1e-7)
    assert as_covariance(cov) is cov


def test_a_vector_or_a_matrix_without_off_diagonals_is_diagonal():
    for value in ([1.0, 4.0], np.diag([1, 4]), torch.tensor([1, 4])):
        cov = as_covariance(value)
        assert cov.is_diagonal
        assert cov.diagonal().tolist() == [1.0, 4.0]
    assert not as_covariance(K).is_diagonal


def test_a_million_coordinates_cost_no_matrix():
    cov = Diagonal(torch.linspace(1e-3, 1, 1_000_000, dtype=torch.float64))
    assert cov.condition_number == pytest.approx(1000)
    assert cov.describe()["dim"] == cov.matvec(torch.ones(1_000_000)).numel() == 1_000_000


def test_rounding_asymmetry_is_averaged_out_and_the_input_untouched():
    matrix = np.array(K)
    matrix[0, 1] += 1e-9
    before = matrix.copy()
    cov = Dense(matrix)
    assert torch.equal(cov.dense(), cov.dense().T)
    np.testing.assert_array_equal(matrix, before)
    matrix[:] = 0
    assert cov.trace == 3.75


REFUSED = {
    "not symmetric": ([[1, 0.2], [0.3, 1]], r"symmetric, but cov\[0, 1\] = 0.2 and cov\[1, 0\] = 0.3"),
    "asymmetry above 1e-8": ([[1, 0.5 + 3e-8], [0.5, 1]], "symmetric"),
    "indefinite": ([[1, 2], [2, 1]], "smallest eigenvalue is -1 "),
    "barely indefinite": ([[1, 1 + 1e-8], [1 + 1e-8, 1]], "smallest eigenvalue is -1e-08"),
    "zero variance": ([[1, 0], [0, 0]], r"1 of 2 are not \(the first is cov\[1, 1\] = 0"),
    "negative variance": ([1.0, -2.0], r"cov\[1, 1\] = -2"),
    "nan": ([[1, np.nan], [np.nan, 1]], r"2 of 4 entries are not \(the first is cov\[0, 1\] = nan"),
    "infinite": ([1.0, np.inf], r"cov\[1\] = inf"),
    "not square": (np.ones((2, 3)), r"square matrix .* got shape \(2, 3\)"),
    "a number": (3.0, "square matrix"),
    "empty": (np.empty((0, 0)), "square matrix"),
    "empty vector": ([], "vector of variances"),
    "three axes": (np.ones((2, 2, 2)), "square matrix"),
    "text": ("gaussian", "must hold real numbers"),
    "complex": (np.eye(2) + 1j, "must hold real numbers"),
    "complex tensor": (torch.eye(2) + 1j, "must hold real numbers"),
    "ragged": ([[1, 2], [3]], "must hold real numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_covariance_gets_one_clear_line(case):
    value, words = REFUSED[case]
    with pytest.raises(InvalidInput, match=words) as caught:
        as_covariance(value)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=30)
@given(dim=st.integers(1, 12), scale=st.floats(1e-150, 1e150), seed=st.integers(0, 99))
def test_any_unit_is_accepted_and_only_scales(dim, scale, seed):
    matrix = random_matrix(dim, seed=seed)
    one, other = Dense(matrix), Dense(scale * matrix)
    torch.testing.assert_close(other.eigvals / scale, one.eigvals, rtol=1e-9, atol=1e-13)
    z = torch.ones(dim, dtype=torch.float64)
    torch.testing.assert_close(other.colour(z), one.colour(z) * scale**0.5, rtol=1e-6, atol=0)
