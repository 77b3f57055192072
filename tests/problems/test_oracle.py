"""Losses and gradient noise: gradients against autograd, moments against sampling, curvature against eigenvalues."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from signscope import InvalidInput
from signscope.problems.landscapes import DoubleWell, LogCosh, Quadratic, landscape
from signscope.problems.oracle import FunctionLoss
from signscope.problems.oracle_noise import GaussianNoise, LawNoise, as_gradient_noise

H = torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.7]], dtype=torch.float64)
LOSSES = [
    Quadratic(H, centre=[0.1, 0.2, 0.3]),
    Quadratic([1.0, 2.0, 3.0]),
    DoubleWell(3, height=2.0, tilt=0.3),
    LogCosh([1.0, 2.0, 0.5], width=0.3),
]
POINTS = torch.tensor([[0.3, -1.2, 0.4], [40.0, 0.0, -2.0]], dtype=torch.float64)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda v: type(v).__name__)
def test_gradients_are_those_of_autograd(loss):
    x = POINTS.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss.value(x).sum(), x)
    torch.testing.assert_close(loss.grad(POINTS), grad)
    by_function = FunctionLoss(lambda p: loss.value(p[None])[0], 3)
    torch.testing.assert_close(by_function.grad(POINTS), grad)
    torch.testing.assert_close(by_function.value(POINTS), loss.value(POINTS))
    single = loss.placed(torch.float32, torch.device("cpu"))
    assert single.grad(POINTS.float()).dtype == torch.float32


def test_curvature_is_the_largest_eigenvalue():
    scale = torch.tensor([1.0, 0.1, 2.0], dtype=torch.float64)
    wanted = float(torch.linalg.eigvals(torch.diag(1 / scale) @ H).abs().max())
    quadratic = Quadratic(H)
    assert quadratic.curvature(POINTS[0], scale) == pytest.approx(wanted)
    by_function = FunctionLoss(lambda x: 0.5 * x @ H @ x, 3)
    assert by_function.curvature(POINTS[0], scale) == pytest.approx(wanted, rel=1e-6)


def test_minima_and_names():
    assert Quadratic(H).minimum == 0.0
    assert Quadratic([-1.0]).minimum == -math.inf
    assert landscape("log-cosh", torch.ones(2).double()).minimum == 0.0
    with pytest.raises(InvalidInput, match="valley"):
        landscape("valley", torch.ones(2))
    with pytest.raises(InvalidInput, match="symmetric"):
        Quadratic([[1.0, 2.0], [0.0, 1.0]])


COV = [[1.0, 0.4, 0.0], [0.4, 0.5, 0.1], [0.0, 0.1, 0.3]]


@pytest.mark.parametrize(
    "noise",
    [
        GaussianNoise(3, std=[1.0, 0.5, 2.0], batch_size=4),
        GaussianNoise(3, cov=COV, scale=lambda t: 1 + t),
        GaussianNoise(3, cov=lambda x: 0.1 + x.square()),
        GaussianNoise(3, cov=lambda x: torch.tensor(COV, dtype=x.dtype) * (1 + x.square().sum())),
        LawNoise("laplace:1", 3, scales=[1.0, 2.0, 3.0]),
        LawNoise(scipy.stats.t(7), 3),
    ],
    ids=["std", "cov", "variance(x)", "cov(x)", "laplace", "t7"],
)
def test_samples_have_the_moments_that_are_told(noise):
    rng, count, time = np.random.default_rng(0), 40_000, 0.5
    raw = noise.draw(rng, (count, 3))
    raw = torch.from_numpy(rng.standard_normal((count, 3)) if raw is None else raw)
    x = torch.tensor([[0.3, -0.2, 0.4]], dtype=torch.float64).expand(count, 3)
    z = noise.shaped(raw, x, time)
    variance = noise.variance(x[:1], time).reshape(-1)
    kurtosis = 1 + 3 * (2 if isinstance(noise, LawNoise) else 1)
    assert ((z.var(0) - variance).abs() <= 4.5 * variance * math.sqrt(kurtosis / count)).all()
    if isinstance(noise, GaussianNoise) and not noise.is_diagonal:
        full = noise.covariance(x[:1], time).reshape(-1, 3, 3)[0]
        torch.testing.assert_close(torch.cov(z.T), full, rtol=0, atol=4.5 * float(full.max()) * math.sqrt(2 / count))
        square = noise.coloured_squares(raw, x, time)
        torch.testing.assert_close(
            torch.cov(square.T), 2 * full**2, rtol=0, atol=4.5 * 2 * float(full.max()) ** 2 * math.sqrt(2 / count)
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(3, std=[1.0, 2.0]),
        lambda: GaussianNoise(3, std=np.ones((3, 3))),
        lambda: LawNoise("laplace:1", 3, scales=[1.0, 2.0]),
        lambda: as_gradient_noise("t", np.ones((3, 3, 3)), 3),
    ],
)
def test_noise_of_another_size_is_told(make):
    with pytest.raises(InvalidInput, match=r"must be a number or have shape \(3,\), got"):
        make()


def test_what_stands_for_noise():
    assert as_gradient_noise("t", 0.5, 2).std(POINTS, 0.0).tolist() == [0.5, 0.5]
    assert as_gradient_noise("t", "gaussian:2", 2).is_gaussian
    assert not as_gradient_noise("t", scipy.stats.t(3), 2).is_gaussian
    assert as_gradient_noise("t", torch.eye(2), 2).is_diagonal
    assert as_gradient_noise("t", lambda x: x.square(), 2).depends_on_point
    law = LawNoise("student-t:3,2", 1)
    assert float(law.cdf(torch.tensor([[1.0]]), 0.0)) == pytest.approx(scipy.stats.t.cdf(0.5, 3))
    assert float(law.effective_std(POINTS, 0.0)) == pytest.approx(
        math.sqrt(2 / math.pi) / (2 * scipy.stats.t.pdf(0, 3) / 2), rel=1e-9
    )
    with pytest.raises(InvalidInput, match="either"):
        GaussianNoise(2)
    with pytest.raises(InvalidInput, match="`scale`"):
        GaussianNoise(2, std=1.0, scale=lambda t: -1.0).factor(0.0)
