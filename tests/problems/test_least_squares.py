"""LeastSquares: the reference problem, defaults, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import signscope as ss
from signscope._core.errors import InvalidInput
from signscope._core.random import stream
from signscope.problems import LeastSquares, Rows, gaussian_problem, spectra

K = [[1, 0.3, 0.1, 0], [0.3, 0.5, 0.2, 0.05], [0.1, 0.2, 2, -0.4], [0, 0.05, -0.4, 0.25]]
V0 = [1, -1, 0.5, 0.25]


def test_reference_problem():
    problem = LeastSquares(K, start=V0, target=np.zeros(4), noise=0.3)
    assert float(problem.excess_risk(problem.start)) == pytest.approx(0.5953125, abs=1e-15)
    assert problem.displacement.tolist() == V0
    np.testing.assert_allclose(problem.eigvals, np.linalg.eigvalsh(np.array(K)), rtol=1e-12)
    np.testing.assert_array_equal(np.asarray(problem.cov), np.array(K))


def test_excess_risk_is_the_loss_above_its_minimum_with_the_half():
    """On noiseless rows the mean of 1/2 (x'theta - y)^2 is the excess risk, within sampling error."""
    problem = LeastSquares(K, start=V0)
    rows = problem.cov.colour(torch.from_numpy(stream(3, "rows").standard_normal((200_000, 4))))
    losses = (rows @ problem.displacement).square() / 2
    stderr = losses.std() / len(losses) ** 0.5
    expected = problem.excess_risk(problem.start)
    assert abs(losses.mean() - expected) < 4.5 * stderr
    assert abs(losses.mean() - 2 * expected) > 4.5 * stderr  # teeth: the half matters


def test_defaults_start_at_zero_and_draw_the_target_from_the_named_stream():
    problem = LeastSquares(np.ones(1000), seed=7)
    assert not problem.start.any()
    assert torch.equal(problem.target, torch.from_numpy(stream(7, "target").standard_normal(1000) / 1000**0.5))
    assert float(problem.target.square().sum()) == pytest.approx(1, abs=4.5 * (2 / 1000) ** 0.5)
    assert problem.rows is None
    assert problem.dropped_columns == ()
    assert not torch.equal(problem.target, LeastSquares(np.ones(1000), seed=8).target)


def test_default_target_ignores_the_global_seed():
    np.random.seed(0)  # noqa: NPY002
    first = LeastSquares(np.ones(5)).target
    np.random.seed(1)  # noqa: NPY002
    assert torch.equal(first, LeastSquares(np.ones(5)).target)


def test_excess_risk_takes_batches_and_gradients():
    problem = LeastSquares(K, target=V0)
    theta = torch.zeros(2, 3, 4, dtype=torch.float64, requires_grad=True)
    risk = problem.excess_risk(theta)
    assert risk.shape == (2, 3)
    risk.sum().backward()
    expected = -problem.cov.matvec(problem.target)
    torch.testing.assert_close(theta.grad, expected.expand(2, 3, 4))
    assert problem.excess_risk([0.0, 0, 0, 0]).dtype == torch.float64
    assert float(problem.excess_risk(np.array(V0, np.float32))) == 0


def test_start_and_target_are_copies():
    start = torch.zeros(4, dtype=torch.float64)
    problem = LeastSquares(K, start=start, target=start)
    start += 1
    assert not problem.start.any()
    assert not problem.target.any()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), dim=st.integers(1, 10))
def test_rotating_everything_leaves_the_risk(seed, dim):
    rng = np.random.default_rng(seed)
    levels, start, target = rng.uniform(0.1, 2, dim), rng.standard_normal(dim), rng.standard_normal(dim)
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    plain = LeastSquares(levels, start=start, target=target)
    turned = LeastSquares((basis * levels) @ basis.T, start=basis @ start, target=basis @ target)
    torch.testing.assert_close(turned.excess_risk(turned.start), plain.excess_risk(plain.start))


@pytest.mark.parametrize("noise", [None, 0.5, "cauchy:2,1"])
def test_description_is_json_and_names_everything(noise):
    problem = LeastSquares(K, noise=noise)
    described = json.loads(json.dumps(problem.describe()))
    assert set(described) == {"dim", "num_rows", "dropped_columns", "condition_number", "trace", "noise"}
    assert described["trace"] == 3.75
    assert described["num_rows"] is None
    assert described["condition_number"] == pytest.approx(problem.cov.condition_number)
    assert "4 coordinates, rank 4" in problem.report
    assert repr(problem).startswith("LeastSquares(dim=4, noise=")


def test_singular_covariance_is_described_without_infinity():
    described = LeastSquares([[1, 1], [1, 1]]).describe()
    assert described["condition_number"] is None
    json.dumps(described, allow_nan=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": [1, 2]}, r"LeastSquares: `start` must have shape \(4,\), got \(2,\)"),
        ({"target": [1, 2, np.nan, 4]}, r"`target` must be finite.*target\[2\] = nan"),
        ({"target": "zero"}, "`target` must hold real numbers"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0"),
        ({"seed": 0.5}, "`seed`"),
        ({"rows": Rows(torch.zeros(5, 2), torch.zeros(5), torch.zeros(5))}, "`rows` have 2 columns"),
    ],
)
def test_bad_arguments_get_one_clear_line(options, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        LeastSquares(K, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("theta", [0.0, [1.0, 2.0], np.zeros((4, 3))])
def test_excess_risk_refuses_another_dimension(theta):
    with pytest.raises(InvalidInput, match=r"`theta` must have shape \(\.\.\., 4\)"):
        LeastSquares(K).excess_risk(theta)


def test_rows_must_fit_together():
    with pytest.raises(InvalidInput, match=r"got \(5, 2\), \(4,\), \(5,\)"):
        Rows(torch.zeros(5, 2), torch.zeros(4), torch.zeros(5))


class TestGaussianProblem:
    def test_has_the_spectrum_in_the_coordinate_basis(self):
        problem = gaussian_problem(50, spectrum="log:0.01,1", noise=0.1)
        assert problem.cov.is_diagonal
        assert torch.equal(problem.eigvals, spectra.log_spaced(50, low=0.01, high=1))

    def test_rotates_by_the_seed(self):
        one, same, other = (gaussian_problem(20, rotated=True, seed=s) for s in (1, 1, 2))
        assert torch.equal(one.cov.dense(), same.cov.dense())
        assert torch.equal(one.target, same.target)
        assert not torch.equal(one.cov.dense(), other.cov.dense())
        torch.testing.assert_close(one.eigvals, other.eigvals)
        assert torch.equal(one.target, gaussian_problem(20, seed=1).target), "basis and target are independent"

    def test_takes_eigenvalues_start_and_target(self):
        problem = gaussian_problem(2, spectrum=torch.tensor([1.0, 4.0]), start=[1, 1], target=[0, 0])
        assert float(problem.excess_risk(problem.start)) == 2.5

    @pytest.mark.parametrize(
        ("options", "words"),
        [({"dim": 0}, "`dim`"), ({"spectrum": "logs:1"}, "unknown name"), ({"spectrum": [1.0]}, r"shape \(3,\)")],
    )
    def test_refuses_nonsense(self, options, words):
        with pytest.raises(InvalidInput, match=words):
            gaussian_problem(**({"dim": 3} | options))


def test_public_name():
    assert ss.LeastSquares is LeastSquares
