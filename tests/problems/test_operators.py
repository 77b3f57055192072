"""Every covariance operator against its own matrix: product, diagonal, columns, rows, norms, signs, refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import signscope as ss
from signscope import InvalidInput, Unsupported
from signscope.problems import (
    Circulant,
    DataMatrix,
    Dense,
    DiagonalPlusLowRank,
    Kronecker,
    MatrixFree,
    Toeplitz,
    rescaled,
    rotated,
)

RNG = np.random.default_rng(0)
SMALL = np.array([[1.0, 0.3, 0.1], [0.3, 0.5, 0.2], [0.1, 0.2, 2.0]])


def ar(rho: float, dim: int) -> np.ndarray:
    return rho ** np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))


def low_rank_case():
    own, factor = RNG.uniform(0.5, 2, 24), RNG.normal(size=(24, 3))
    return DiagonalPlusLowRank(own, factor), np.diag(own) + factor @ factor.T


def kronecker_case():
    return Kronecker(SMALL, ar(0.5, 4), [1.0, 2.0]), np.kron(np.kron(SMALL, ar(0.5, 4)), np.diag([1.0, 2.0]))


def toeplitz_case():
    return Toeplitz(2 * 0.6 ** np.arange(24)), 2 * ar(0.6, 24)


def ring_case():
    row = np.exp(-np.minimum(np.arange(24), 24 - np.arange(24)) / 2.0)
    return Circulant(row), np.array([[row[(j - i) % 24] for j in range(24)] for i in range(24)])


def data_case():
    X = RNG.normal(size=(40, 24))
    return DataMatrix(X, ridge=0.1), X.T @ X / 40 + 0.1 * np.eye(24)


def free_case():
    matrix = ar(0.4, 24) * np.outer(np.linspace(1, 2, 24), np.linspace(1, 2, 24))
    root = torch.linalg.cholesky(torch.as_tensor(matrix))
    cov = MatrixFree(lambda v: matrix @ v.numpy(), np.diag(matrix), colour=lambda z: z @ root.T.to(z))
    return cov, matrix


def dense_case():
    cov = rescaled(rotated(np.linspace(0.1, 1, 24)), np.linspace(1, 3, 24))
    return cov, cov.dense().numpy()


CASES = [low_rank_case, kronecker_case, toeplitz_case, ring_case, data_case, free_case, dense_case]


@pytest.fixture(params=CASES, ids=lambda make: make.__name__.removesuffix("_case"))
def pair(request):
    cov, matrix = request.param()
    return cov, torch.as_tensor(matrix)


def test_product_diagonal_and_columns_are_those_of_the_matrix(pair):
    cov, matrix = pair
    v = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 24)))
    torch.testing.assert_close(cov.matvec(v), v @ matrix, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cov.matvec(v[0, 0]), matrix @ v[0, 0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cov.matvec(v.float()), (v @ matrix).float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cov.diagonal(), matrix.diagonal(), rtol=1e-12, atol=0)
    picked = torch.tensor([3, 0, 17])
    torch.testing.assert_close(cov.columns(picked), matrix[picked], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(cov.dense(), matrix, rtol=1e-10, atol=1e-12)


def test_rows_have_the_covariance(pair):
    cov, matrix = pair
    identity = torch.eye(cov.num_factors, dtype=torch.float64)
    root = cov.colour(identity)  # rows are linear in the normal numbers: the covariance is root' root, no sampling
    torch.testing.assert_close(root.T @ root, matrix, rtol=1e-9, atol=1e-10)
    with pytest.raises(AssertionError):  # teeth: K itself is not a root of K
        torch.testing.assert_close(matrix.T @ matrix, matrix, rtol=1e-9, atol=1e-10)


def test_spectrum_and_norms_are_those_of_the_matrix(pair):
    cov, matrix = pair
    expected = torch.linalg.eigvalsh(matrix)
    torch.testing.assert_close(cov.eigvals, expected, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(torch.tensor(cov.extremes), expected[[0, -1]].float(), rtol=1e-5, atol=1e-6)
    assert cov.rank == 24
    root = matrix.diagonal() ** -0.25
    for scale in (None, root):
        found = cov.squared_norm(scale)
        if found is not None:
            scaled = matrix if scale is None else matrix * torch.outer(root, root)
            assert found == pytest.approx(float(scaled.square().sum()), rel=1e-10)


def test_sign_covariance_product_is_the_arcsine(pair):
    cov, matrix = pair
    v = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 24)))
    found = cov.sign_matvec(v)
    if found is None:
        return
    root = matrix.diagonal().sqrt()
    angles = (matrix / torch.outer(root, root)).clamp(-1, 1).arcsin().fill_diagonal_(math.pi / 2)
    torch.testing.assert_close(found, v @ angles, rtol=2e-5, atol=2e-5)
    linear = v @ (matrix / torch.outer(root, root)) + (math.pi / 2 - 1) * v
    with pytest.raises(AssertionError):  # teeth: the linear part alone is seen
        torch.testing.assert_close(found, linear, rtol=2e-5, atol=2e-5)


def test_problem_and_simulation_work_with_every_operator(pair):
    cov, matrix = pair
    problem, dense = (ss.LeastSquares(k, noise=0.3, seed=1) for k in (cov, Dense(matrix)))
    theta = np.random.default_rng(3).normal(size=(5, 24))
    torch.testing.assert_close(problem.excess_risk(theta), dense.excess_risk(theta), rtol=1e-10, atol=0)
    assert "24 coordinates" in problem.report
    assert problem.describe()["trace"] == pytest.approx(float(matrix.trace()))
    assert problem.eigvals.shape == (24,)
    run = ss.simulate(problem, "signsgd", lr=0.3, horizon=1, num_runs=4, seed=0)
    assert run.status == "ok"
    for optimizer in ("sgd", "signsgd", "adam"):
        found, expected = (ss.predict(p, optimizer, lr=0.3, horizon=2) for p in (problem, dense))
        torch.testing.assert_close(found.value, expected.value, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(24,), (2, 24)])
def test_gradients_of_the_risk_are_those_of_the_matrix(pair, shape):
    cov, matrix = pair
    problem = ss.LeastSquares(cov, seed=1)
    theta = torch.from_numpy(np.random.default_rng(4).normal(size=shape)).requires_grad_()
    problem.excess_risk(theta).sum().backward()
    expected = (theta.detach() - problem.target) @ matrix
    torch.testing.assert_close(theta.grad, expected, rtol=1e-9, atol=1e-11)
    with pytest.raises(AssertionError):  # teeth: half of it, what a product without a gradient leaves
        torch.testing.assert_close(theta.grad, expected / 2, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("c", "off"), [(0.5, 1e-11), (-0.9, 4e-5), (0.99, 4e-5), (-0.9999, 4e-5), (0.9999985, 8.1e-4), (1.0, 0.0)]
)
def test_the_signs_of_a_kronecker_product_are_as_exact_as_is_said(c, off):
    """The series of arcsin alone, cut after twelve terms, is 0.002 off at 0.9 and 0.06 at 0.99."""
    cov = Kronecker([[1.0, c], [c, 1.0]], [[1.0, 0.3], [0.3, 1.0]])
    unit = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    found = cov.sign_matvec(unit)
    wanted = torch.tensor([math.pi / 2, math.asin(0.3), math.asin(c), math.asin(0.3 * c)], dtype=torch.float64)
    torch.testing.assert_close(found[[0, 1, 3]], wanted[[0, 1, 3]], rtol=0, atol=1e-11)
    assert abs(float(found[2] - wanted[2])) <= off + 1e-12


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000))
def test_kronecker_is_numpys_at_any_shape(left, right, seed):
    gen = np.random.default_rng(seed)
    matrices = [m @ m.T + np.eye(len(m)) for m in (gen.normal(size=(n, n)) for n in (left, right))]
    v = gen.normal(size=(3, left * right))
    np.testing.assert_allclose(Kronecker(*matrices).matvec(torch.from_numpy(v)), v @ np.kron(*matrices), rtol=1e-10)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.floats(-0.95, 0.95))
def test_toeplitz_of_any_length(dim, rho):
    v = np.random.default_rng(0).normal(size=dim)
    np.testing.assert_allclose(
        Toeplitz(rho ** np.arange(dim)).matvec(torch.from_numpy(v)), ar(rho, dim) @ v, rtol=1e-9, atol=1e-9
    )


SKEW = np.triu(np.ones((6, 6)))
BAD = [
    (lambda: DiagonalPlusLowRank([-1.0, 1.0], [[1.0], [1.0]]), "diagonal\\[0\\] = -1"),
    (lambda: DiagonalPlusLowRank([0.0, 1.0], [[0.0], [1.0]]), "K\\[0, 0\\] = 0"),
    (lambda: DiagonalPlusLowRank([1.0, 1.0], [1.0, 1.0]), "shape \\(d, rank\\)"),
    (lambda: DiagonalPlusLowRank([1.0], [[1.0], [1.0]]), "`diagonal` must have shape \\(2,\\)"),
    (lambda: DiagonalPlusLowRank(1.0, [[np.nan], [1.0]]), "must be finite"),
    (lambda: Kronecker(SMALL), "two or more"),
    (lambda: Kronecker(SMALL, -SMALL), "variance must be above 0"),
    (lambda: Kronecker([1.0] * 5000, [1.0, 1.0]), "at most 4000"),
    (lambda: Toeplitz([[1.0, 0.5]]), "must be a vector"),
    (lambda: Toeplitz([0.0, 0.5]), "above 0"),
    (lambda: Toeplitz([1.0, 2.0]), "no covariance exceeds"),
    (lambda: Toeplitz([1.0, -0.9, 0.0, 0.0, 0.0, 0.0]), "semi-definite"),
    (lambda: Circulant([1.0, 0.5, 0.1]), "c\\[k\\] = c\\[d - k\\]"),
    (lambda: Circulant([1.0, 0.9, 0.0, 0.9]), "negative Fourier"),
    (lambda: Circulant([1.0, np.inf]), "must be finite"),
    (lambda: DataMatrix([1.0, 2.0]), "shape \\(n, d\\)"),
    (lambda: DataMatrix([[1.0, 0.0], [2.0, 0.0]]), "K\\[1, 1\\] = 0"),
    (lambda: DataMatrix(np.full((2, 2), np.nan, dtype=np.float32)), "must be finite"),
    (lambda: DataMatrix([[1.0]], ridge=-1), "`ridge`"),
    (lambda: MatrixFree(lambda v: v, [1.0, -1.0]), "K\\[1, 1\\] = -1"),
    (lambda: MatrixFree(lambda v: v[:1], [1.0, 1.0]), "vector of shape \\(2,\\)"),
    (lambda: MatrixFree(lambda v: v * np.nan, [1.0, 1.0]), "not finite"),
    (lambda: MatrixFree(lambda v: SKEW @ v.numpy(), np.ones(6)), "not symmetric"),
    (lambda: MatrixFree(lambda v: 2 * v, np.ones(6)), "the product gives 2"),
    (lambda: MatrixFree(lambda v: v.mul_(1), np.ones(6)), None),
    (lambda: MatrixFree(lambda v: v.mul_(2), np.ones(6)), "changes its argument"),
    (lambda: MatrixFree(lambda v: 2 * v.flip(0) - (v * 1), -np.ones(6)), "every variance"),
    (lambda: MatrixFree(lambda v: v + 3 * (v.sum() - v), np.ones(6)), "direction of variance -2"),
    (lambda: MatrixFree(lambda v: v, np.ones((2, 2))), "must be a vector"),
]


@pytest.mark.parametrize(("build", "message"), BAD)
def test_bad_input_is_named(build, message):
    if message is None:
        build()
        return
    with pytest.raises(InvalidInput, match=message):
        build()


def test_a_matrix_out_of_reach_is_refused_with_its_size():
    cov = DiagonalPlusLowRank(np.ones(100_000), np.ones((100_000, 1)))
    problem = ss.LeastSquares(cov)
    for ask in (cov.dense, cov.eigh, lambda: problem.eigvals):
        with pytest.raises(Unsupported, match="80 GB"):
            ask()
    low, high = cov.extremes  # K = I + 11' has eigenvalues 1 and 100,001
    assert (low, high) == pytest.approx((1.0, 100_001.0), rel=1e-9)
    assert cov.condition_number == pytest.approx(100_001)
    assert "100000 coordinates" in problem.report


def test_rows_without_a_sampler_are_refused():
    cov = MatrixFree(lambda v: v, np.ones(6))
    with pytest.raises(Unsupported, match="colour="):
        ss.simulate(ss.LeastSquares(cov), "sgd", lr=0.1, horizon=1, num_runs=1)
    assert ss.predict(ss.LeastSquares(cov), "sgd", lr=0.1, horizon=1).status == "ok"
    wrong = MatrixFree(lambda v: v, np.ones(6), colour=lambda z: z[:, :2])
    with pytest.raises(InvalidInput, match="rows of shape"):
        ss.simulate(ss.LeastSquares(wrong), "sgd", lr=0.1, horizon=1, num_runs=1)


def test_toeplitz_whose_ring_is_not_positive_still_draws_rows():
    row = np.cos(0.7 * np.arange(12)) * 0.5
    row[0] = 1.0  # a narrow line in the spectrum: positive, but not on the larger ring
    cov = Toeplitz(row)
    root = cov.colour(torch.eye(cov.num_factors, dtype=torch.float64))
    torch.testing.assert_close(root.T @ root, cov.dense(), rtol=1e-9, atol=1e-10)


def test_wide_data_are_singular_and_say_so():
    cov = DataMatrix(np.random.default_rng(0).normal(size=(10, 5000)))
    assert cov.rank == 10
    assert cov.condition_number == float("inf")
