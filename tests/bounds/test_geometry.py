"""The facts of the problem class: two smoothness constants, densities, and what can belong to one problem."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from signscope._core.errors import InvalidInput, Unsupported
from signscope.bounds import Constants, bregman_constant, density, lipschitz_constant

ENTRIES = st.floats(-3, 3).map(lambda v: round(v, 3))
MATRICES = st.integers(1, 4).flatmap(lambda d: arrays(float, (d, d), elements=ENTRIES)).map(lambda a: a + a.T)
few = settings(deadline=None, max_examples=30)


def brute_bregman(hessian, points=9):
    """Largest |u'Hu| over a grid of the cube: a lower estimate that shares nothing with the faces."""
    axis = np.linspace(-1, 1, points)
    grid = np.stack(np.meshgrid(*[axis] * len(hessian)), -1).reshape(-1, len(hessian))
    return np.abs(np.einsum("ni,ij,nj->n", grid, hessian, grid)).max()


@few
@given(MATRICES)
def test_the_two_constants_differ_by_two_at_most(hessian):
    bregman, lipschitz = bregman_constant(hessian), lipschitz_constant(hessian)
    slack = 1e-9 * (1 + lipschitz)
    assert bregman <= lipschitz + slack
    assert lipschitz <= 2 * bregman + slack
    assert brute_bregman(hessian) <= bregman + slack


@few
@given(MATRICES)
def test_convex_and_separable_quadratics(hessian):
    convex = hessian @ hessian.T
    assert bregman_constant(convex) == pytest.approx(lipschitz_constant(convex), abs=1e-9)
    diagonal = np.diag(np.diagonal(hessian))
    assert lipschitz_constant(diagonal) == pytest.approx(np.abs(np.diagonal(hessian)).sum())


@few
@given(MATRICES)
def test_norms_around_the_lipschitz_constant(hessian):
    lipschitz, values = lipschitz_constant(hessian), np.abs(np.linalg.eigvalsh(hessian))
    slack = 1e-9 * (1 + lipschitz)
    assert values.max() <= lipschitz + slack
    assert lipschitz <= len(hessian) * values.max() + slack
    assert np.abs(np.diagonal(hessian)).sum() <= lipschitz + slack
    assert values.sum() <= 1.783 * lipschitz + slack


@few
@given(MATRICES, arrays(float, 4, elements=ENTRIES))
def test_the_gradient_at_the_start_is_below_the_ceiling(hessian, start):
    convex, x = hessian @ hessian.T, start[: len(hessian)]
    gap = x @ convex @ x / 2
    if gap > 1e-6:
        known = Constants(gap, lipschitz_constant(convex))
        assert np.abs(convex @ x).sum() <= known.ceiling * (1 + 1e-9)


def test_the_saddle_has_constants_one_and_two():
    saddle = np.diag([1.0, -1.0])
    assert (bregman_constant(saddle), lipschitz_constant(saddle)) == (1.0, 2.0)
    inside = np.array([[-2.0, 1.0], [1.0, -0.5]])  # the largest |u'Hu| is inside an edge or a corner of the cube
    assert bregman_constant(inside) == pytest.approx(brute_bregman(inside, 401), rel=1e-4)


@few
@given(st.integers(1, 30).flatmap(lambda d: arrays(float, d, elements=ENTRIES)), st.floats(0.01, 100))
def test_density_lies_between_one_over_d_and_one(vector, factor):
    if np.abs(vector).max() > 0:
        assert 1 / len(vector) - 1e-12 <= density(vector) <= 1 + 1e-12
        assert density(factor * vector) == pytest.approx(density(vector))


def test_density_of_known_laws():
    grid = (np.arange(200_000) + 0.5) / 200_000
    from scipy.special import ndtri

    lognormal = np.exp(ndtri(grid))
    assert density(lognormal) == pytest.approx(math.exp(-1), abs=2e-3)
    assert density(np.ones(7)) == pytest.approx(1, rel=1e-15)  # noise of equal size, Gaussian or not
    assert density(ndtri(grid)) == pytest.approx(2 / math.pi, abs=1e-4)  # one Gaussian vector: another thing
    assert density([0, 0, 3.0, 0]) == 0.25


def test_separable_constants_are_the_sums():
    known = Constants.separable(2.0, [1.0, 4.0], noise=[3.0, 0.5])
    assert (known.smoothness, known.smoothness_l2, known.noise_l1, known.dim) == (5.0, 4.0, 3.5, 2)
    assert known.noise_l2 == pytest.approx(math.sqrt(9.25))
    assert known.noise_curvature == pytest.approx(3 + 0.5 * 2)
    assert known.noise_density == pytest.approx(density([3.0, 0.5]))
    assert known.curvature_density == pytest.approx(5 / 8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bregman": 0.3}, "bregman"),
        ({"dim": 4, "noise_l2": 0.9}, "noise_l2"),
        ({"noise_l2": 2.1}, "noise_l2"),
        ({"dim": 4, "smoothness_l2": 0.2}, "smoothness_l2"),
        ({"smoothness_l2": 1.1}, "smoothness_l2"),
        ({"dim": 0}, "dim"),
        ({"noise_curvature": -1.0}, "noise_curvature"),
    ],
)
def test_constants_that_cannot_belong_together_are_refused(wrong, message):
    with pytest.raises(InvalidInput, match=message):
        Constants(1.0, 1.0, 2.0, **wrong)


def test_bad_matrices_are_refused():
    with pytest.raises(InvalidInput, match="symmetric"):
        lipschitz_constant(np.array([[0.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(Unsupported, match="enumerates"):
        bregman_constant(np.eye(10))
    with pytest.raises(InvalidInput, match="other than 0"):
        density([0.0, 0.0])
    with pytest.raises(InvalidInput, match="one entry per coordinate"):
        Constants.separable(1.0, [1.0, 2.0], noise=[1.0])
